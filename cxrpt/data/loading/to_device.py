"""Micro-batches on the trainer's device, copied while it computes.

    loader     | n+1 (pinned) | n+2 ...
    copies     | n+1 ──►      |               a stream of their own
    compute    | n            | n+1 ...

Reviewed, and never run: no GPU was at hand.
"""

from collections.abc import Generator, Iterable

import torch

from cxrpt.data.batch import Batch


def on_device(batches: Iterable[Batch], device: torch.device) -> Generator[Batch, None, None]:
    """The same micro-batches on `device`; on a GPU, one is on its way there while the one before it is handed out.

    Batches that come pinned are copied without holding the host; see `flat_batch.move_buffers`, which copies a batch in one
    piece. On the CPU they pass as they are, and none is taken ahead.
    """
    if device.type != "cuda":
        yield from batches
        return
    copies = torch.cuda.Stream(device)
    ahead: tuple[Batch, torch.cuda.Event] | None = None
    for batch in batches:
        with torch.cuda.stream(copies):
            moved = batch.to(device)
            arrived = torch.cuda.Event()
            arrived.record()
        if ahead is not None:
            yield _hand_over(*ahead, device)
        ahead = moved, arrived
    if ahead is not None:
        yield _hand_over(*ahead, device)


def _hand_over(batch: Batch, arrived: torch.cuda.Event, device: torch.device) -> Batch:
    """Let the computing stream wait for the copy, and keep the memory from the next copy until it has used it."""
    computing = torch.cuda.current_stream(device)
    computing.wait_event(arrived)

    def use(tensor: torch.Tensor) -> torch.Tensor:
        tensor.record_stream(computing)
        return tensor

    return batch.map(use)
