"""Whether the shards of a run can be read: found once, where a run is launched, and not by each of its ranks."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cxrpt.data.manifest import ShardEntry
from cxrpt.data.order.source_order import SMALL_SOURCE_LANES
from cxrpt.data.shards import INDEX_DTYPE, index_path
from cxrpt.data.storage.shard_folder import RemoteShard, read_index
from cxrpt.data.storage.sources import Source
from cxrpt.errors import InputError

_THREADS = 64
"""Asking a network file system is waiting."""
_NAMED = 3
_STALL_S = 20.0


def check_shards(sources: list[Source], lanes: int, nodes: int = 1) -> None:
    """Look whether all local shards are there, and what can be known beforehand of the remote ones.

    Args:
        sources: of the run.
        lanes: of the run, over all nodes.
        nodes: machines that share the lanes; each has a cache of its own.

    Raises:
        InputError: shards are missing, truncated or not readable; the first shard of a remote source cannot be fetched; the
            cache is smaller than what a node has open.
    """
    for source in sources:
        if source.is_remote:
            _check_remote(source)
        else:
            _check_local(source)
    _check_room([source for source in sources if source.is_remote and source.plan.is_drawn], lanes, nodes)


def _check_local(source: Source) -> None:
    with ThreadPoolExecutor(_THREADS) as pool:
        found = [problem for problem in pool.map(_local_problem, source.shards, source.manifest.shards) if problem]
    if found:
        more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        raise InputError(
            f"source {source.name!r}: {len(found)} of {len(source.shards)} shards of {source.where} cannot be used: "
            f"{'; '.join(found[:_NAMED])}{more}: copy or build them again"
        )


def _local_problem(shard: Path, entry: ShardEntry) -> str:
    """What is wrong with a shard; empty if nothing is. Both files are opened, as only that tells whether they can be."""
    path = shard
    try:
        with path.open("rb", buffering=0) as file:
            size, wanted = file.seek(0, 2), entry.num_bytes
        if size == wanted:
            path = index_path(shard)
            with path.open("rb", buffering=0) as file:
                # An npy file of version 1: magic, length of the header, header, records.
                start = file.read(10)
                size = file.seek(0, 2)
            wanted = len(start) + int.from_bytes(start[8:], "little") + entry.num_samples * INDEX_DTYPE.itemsize
            if start[:8] != b"\x93NUMPY\x01\x00":
                return f"{path.name} is no index"
    except FileNotFoundError:
        return f"{path.name} is missing"
    except OSError as error:
        return f"{path.name} cannot be opened ({error.strerror})"
    if size == wanted:
        return ""
    state = "truncated" if size < wanted else "changed"
    return f"{path.name} is {state} ({size} bytes, by its manifest {wanted})"


def _check_remote(source: Source) -> None:
    if not source.shards:
        return
    try:
        read_index(source.shards[0], _STALL_S)
    except InputError as error:
        raise InputError(f"source {source.name!r}: {error}") from None
    except OSError as error:
        raise InputError(f"source {source.name!r}: {source.shards[0].name}: its index cannot be fetched ({error})") from None


def _check_room(sources: list[Source], lanes: int, nodes: int) -> None:
    """A node has open, of each source, a shard a lane, two at a change; of a small source, which lanes share, any."""
    if not sources:
        return
    here, needs = -(-lanes // nodes), {}
    for source in sources:
        sizes = [shard.num_bytes + shard.num_samples * INDEX_DTYPE.itemsize for shard in source.manifest.shards]
        is_small = source.plan.num_samples < SMALL_SOURCE_LANES * lanes
        needs[source.name] = sum(sizes) if is_small else min(sum(sizes), 2 * here * max(sizes))
    shard = sources[0].shards[0]
    assert isinstance(shard, RemoteShard)
    room, need = shard.cache.max_bytes, sum(needs.values())
    if need > room:
        each = ", ".join(f"{name} {num_bytes / 1e9:.3g}" for name, num_bytes in needs.items())
        raise InputError(
            f"data.cache_gb={room / 1e9:g}: the {here} lanes of a node hold {need / 1e9:.3g} GB of remote shards ({each}): "
            f"raise it to {need * 1.05 / 1e9:.3g}, use more nodes or fewer data.lanes, or build smaller shards"
        )
