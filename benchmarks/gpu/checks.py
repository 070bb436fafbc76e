"""Is the CUDA path right? Attention, ZeRO stages, precisions, checkpoints."""

import hashlib
from collections.abc import Callable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call

from benchmarks.gpu.machine import Machine, Row, check
from benchmarks.gpu.work import batches, engine_step, new_engine, new_model
from benchmarks.packing import Optimizer, loss
from cxrpt.model.attention import packed_attention
from cxrpt.model.transformer import LayerNorm
from cxrpt.track.journal import read_journal
from tests.small_runs import Runs

ROUNDING = {torch.bfloat16: 2.0**-8, torch.float16: 2.0**-11}


def attention(machine: Machine) -> list[Row]:
    """The pack against each sequence alone, in fp32 from the same rounded numbers: outputs and gradients."""
    batch = batches(machine, 224, 8, 1)[0]
    ends = batch.cu_seqlens.tolist()
    rows = []
    for dtype in (torch.bfloat16, torch.float16, torch.float32):
        if dtype == torch.float16 and machine.device.type == "cpu":
            continue
        torch.manual_seed(0)
        given = [torch.randn(batch.num_tokens, 12, 64, device=machine.device).to(dtype) for _ in range(4)]
        found = _outputs(lambda q, k, v: packed_attention(q, k, v, batch), given)
        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
            right = _outputs(lambda q, k, v: _one_by_one(q, k, v, ends), [x.float() for x in given])
        for what, one, other in zip(("output", "dq", "dk", "dv"), found, right, strict=True):
            name = f"attention, {str(dtype).removeprefix('torch.')}, {what}, against each sequence alone in fp32"
            if dtype == torch.float32:
                rows.append(check(name, float((one - other).abs().max()), 1e-5, "largest difference"))
            else:  # the outputs are rounded once, what gradients are made of once more
                bound = ROUNDING[dtype] * (1 if what == "output" else 2)
                rows.append(check(name, float((one.float() - other).norm() / other.norm()), bound, "relative difference"))
    return rows


def _outputs(function: Callable[..., Tensor], given: list[Tensor]) -> list[Tensor]:
    """What it makes of the first three tensors, and their gradients if the fourth is that of the output."""
    inputs = [x.clone().requires_grad_() for x in given[:3]]
    out = function(*inputs)
    return [out.detach(), *torch.autograd.grad(out, inputs, given[3])]


def _one_by_one(q: Tensor, k: Tensor, v: Tensor, ends: list[int]) -> Tensor:
    pieces = []
    for begin, end in pairwise(ends):
        one = (x[begin:end].transpose(0, 1) for x in (q, k, v))
        pieces.append(F.scaled_dot_product_attention(*one).transpose(0, 1))
    return torch.cat(pieces)


def norms(machine: Machine) -> list[Row]:
    """Layer normalisation against fp64 from the same rounded numbers: output, and gradients of rows, weights and biases."""
    width, layer = 768, LayerNorm(768)
    rows = []
    for dtype in ROUNDING:
        torch.manual_seed(0)
        shapes = ((7000, width), (width,), (width,), (7000, width))
        given = [torch.randn(shape, device=machine.device).to(dtype) for shape in shapes]
        found = _outputs(lambda x, w, b: functional_call(layer, {"weight": w, "bias": b}, (x,)), given)
        right = _outputs(lambda x, w, b: F.layer_norm(x, (width,), w, b), [x.double() for x in given])
        for what, one, other in zip(("output", "dx", "dweight", "dbias"), found, right, strict=True):
            name = f"layer norm, {str(dtype).removeprefix('torch.')}, {what}, against fp64"
            difference = float((one.double() - other).norm() / other.norm())
            rows.append(check(name, difference, 2 * ROUNDING[dtype], "relative difference"))
    return rows


def waits(machine: Machine) -> list[Row]:
    """Nothing of the forward and backward pass waits for the GPU."""
    name = "forward and backward without a wait for the GPU"
    if machine.device.type == "cpu":
        return [Row(name, "skipped", "no GPU to wait for")]
    model, batch = new_model(machine, "tiny", 64).to(machine.device, torch.bfloat16), batches(machine, 64, 8, 1)[0]
    loss(model, batch).backward()  # the first call may build what it needs
    torch.cuda.set_sync_debug_mode("error")
    try:
        loss(model, batch).backward()
    except RuntimeError as error:
        return [Row(name, "failed", str(error).splitlines()[0])]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return [Row(name, "ok", "none")]


def stages(machine: Machine) -> list[Row]:
    """Losses of some steps against a plain loop in fp32: every stage, and half precision."""
    work = batches(machine, 64, 8, 5)
    plain = new_model(machine, "tiny", 64).to(machine.device)
    optimizer, right = Optimizer(plain), []
    for batch in work:
        value = loss(plain, batch)
        value.backward()
        optimizer.step()
        right.append(float(value.detach()))
    # Half precision is compared with fp32 itself: what rounding of weights and activations does to a loss of about 10.
    cases = [("fp32", stage, 1e-5) for stage in range(4)] + [("bf16", stage, 2e-2) for stage in (1, 2, 3)]
    if machine.device.type == "cuda":
        cases += [("fp16", stage, 5e-3) for stage in (1, 2, 3)]
    rows = []
    for precision, stage, bound in cases:
        scale = {"initial_loss_scale_power": 10} if precision == "fp16" else {}
        engine = new_engine(machine, new_model(machine, "tiny", 64), 8, precision=precision, zero_stage=stage, **scale)
        found = [float(engine_step(engine, batch)) for batch in work]
        worst = max(abs(one / other - 1) for one, other in zip(found, right, strict=True))
        rows.append(check(f"{precision}, ZeRO {stage}, losses of 5 steps against a plain loop in fp32", worst, bound, "worst"))
    return rows


def resume(machine: Machine) -> list[Row]:
    """A run that was stopped and resumed is bitwise one that was not, by the command line; so is a run made twice."""
    runs = Runs(machine.folder)
    rows = []
    for precision in ("bf16",) if machine.small else ("fp32", "bf16"):
        like = (f"engine.precision={precision}", f"engine.device={machine.device.type}", "optim.schedule=constant")
        like += (
            "train.checkpoint_every=6",
            "train.log_every=1",
            "model.width=128",
            "model.heads=2",
            "engine.deterministic=true",
        )
        for name, lengths in (("once", (12,)), ("twice", (12,)), ("resumed", (6, 12))):
            for steps in lengths:
                runs.finish(f"{name}-{precision}", *like, f"train.steps={steps}", ranks=1)
        right = _end_of(runs, f"once-{precision}")
        for name, what in (("twice", "a run made twice"), ("resumed", "a run that was resumed")):
            same = _end_of(runs, f"{name}-{precision}") == right
            text = "bitwise equal" if same else "losses or weights differ"
            rows.append(Row(f"{what}, {precision}, deterministic", "ok" if same else "failed", text, "bitwise equal"))
    return rows


def _end_of(runs: Runs, name: str) -> tuple[list[float], str]:
    """Losses of the second half, and what identifies the last weights and the optimizer's state."""
    entries = read_journal(runs.folder(name) / "journal.jsonl")
    losses = [entry.metrics["loss/mlm"] for entry in entries if entry.step > 6]
    # The weights for evaluation, and below `shards` every piece of weights and of Adam's state.
    files = sorted((runs.folder(name) / "checkpoints" / "step-00000012").rglob("*.safetensors"))
    assert len(files) > 1, "the optimizer's state is among them"
    return losses, hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def several_gpus(machine: Machine) -> list[Row]:
    """Two ranks over NCCL against one, where there are two GPUs."""
    count = torch.cuda.device_count() if machine.device.type == "cuda" else 0
    if count < 2:
        return [Row("several GPUs over NCCL", "skipped", f"{count} GPUs here: never run")]
    runs = Runs(machine.folder / "nccl")
    like = ("engine.precision=fp32", "train.steps=8", "train.log_every=1")
    for ranks in (1, 2):
        runs.finish(f"ranks-{ranks}", *like, ranks=ranks)
    one, two = (
        [entry.metrics["loss/mlm"] for entry in read_journal(runs.folder(f"ranks-{n}") / "journal.jsonl")] for n in (1, 2)
    )
    worst = max(abs(b / a - 1) for a, b in zip(one, two, strict=True))
    return [check("two ranks over NCCL against one, losses of 8 steps, fp32", worst, 1e-4, "worst")]


ITEMS = (
    ("attention", 20, attention),
    ("norms", 5, norms),
    ("waits", 5, waits),
    ("ZeRO stages and precisions", 60, stages),
    ("resume", 120, resume),
    ("NCCL", 60, several_gpus),
)
