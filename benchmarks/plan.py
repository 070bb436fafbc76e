"""The plan at the size of a large cluster: 1,024 nodes x 8 ranks x 8 workers, 100 million samples in 20,000 shards, 8 sources.

No processes and no shards: the plan is a pure function, so every rank can be asked here. What is measured:

- building it from the manifests on disk, and what that costs in resident memory, each in a process of its own;
- the samples of a step, for one rank: steps one after the other (every rank in turn), and steps anywhere in the run;
- the same with ranks that exchange samples so that their tokens are balanced: lengths of the whole group looked up;
- seeking: a fresh process that asks for step 10,000,000;
- that no sample comes twice in a source epoch, and that every lane has each source within two of its quantised weight.

    python benchmarks/plan.py [--repeats 5]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from cxrpt.config import DataConfig, SourceConfig
from cxrpt.data.manifest import MANIFEST_NAME, Manifest, ShardEntry
from cxrpt.data.order.balance import balance, deal, group_ranks
from cxrpt.data.order.plan import Plan
from cxrpt.data.order.timeline import PlanSource, plan_segments
from cxrpt.data.storage.sources import open_sources

NODES, RANKS, WORKERS = 1024, 8, 8
LANES = NODES * RANKS
SLOTS = 32
"""Slots a lane of one step: as many samples a rank."""
FAR = 10_000_000
SIZES = (40_000_000, 25_000_000, 15_000_000, 10_000_000, 6_000_000, 3_500_000, 400_000, 100_000)
WEIGHTS = (30.0, 20.0, 15.0, 10.0, 10.0, 10.0, 4.0, 1.0)
SHARDS = 20_000


def write_manifests(root: Path) -> None:
    """Eight sources of uneven size, their 20,000 shards of uneven fill."""
    rng, total = np.random.default_rng(0), sum(SIZES)
    for number, size in enumerate(SIZES):
        shards = max(4, round(SHARDS * size / total))
        cuts = np.sort(rng.choice(size, shards - 1, replace=False))
        entries = tuple(
            ShardEntry(f"s{number}-train-{shard:06d}.tar", count, 0, 0, count * 60_000, f"{shard:064x}")
            for shard, count in enumerate(np.diff(cuts, prepend=0, append=size).tolist())
        )
        folder = root / f"s{number}" / "train"
        folder.mkdir(parents=True)
        (folder / MANIFEST_NAME).write_text(Manifest(f"s{number}", "train", {}, entries).to_json())


def make_sources(root: Path) -> list[PlanSource]:
    """Read the manifests, as a rank does."""
    sources = {f"s{number}": SourceConfig(str(root / f"s{number}"), weight) for number, weight in enumerate(WEIGHTS)}
    return [source.plan for source in open_sources(DataConfig(sources=sources))]


def make_plan(sources: list[PlanSource]) -> Plan:
    return Plan(sources, LANES, plan_segments(sources, 0, LANES, 1024, 0.0, SLOTS))


def rank_places(plan: Plan, step: int, rank: int):
    return plan.places(*plan.step_slots(step * SLOTS, SLOTS, rank, LANES))


def resident_bytes() -> int:
    with open("/proc/self/statm") as file:  # noqa: PTH123
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def child_build(root: Path) -> dict[str, float]:
    before, began = resident_bytes(), time.perf_counter()
    plan = make_plan(make_sources(root))
    built = time.perf_counter() - began
    rank_places(plan, 0, LANES // 2)
    return {"build_s": built, "build_mb": (resident_bytes() - before) / 1e6}


def child_seek(root: Path) -> dict[str, float]:
    began = time.perf_counter()
    rank_places(make_plan(make_sources(root)), FAR, 17)
    return {"seek_s": time.perf_counter() - began}


def in_child(name: str, root: Path) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, __file__, "--child", name, "--manifests", str(root)], check=True, capture_output=True, text=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def timed_ms(call) -> float:
    began = time.process_time()  # a slice that the kernel gives to others is no work of ours
    call()
    return (time.process_time() - began) * 1e3


def step_times(plan) -> dict[str, list[float]]:
    """Milliseconds of processor time that a rank needs for its samples of a step."""
    rng = np.random.default_rng(1)
    rank_places(plan, 0, 0)
    walked = [timed_ms(lambda s=step: rank_places(plan, s, 4321)) for step in range(1, 1001)]
    ranks = [timed_ms(lambda r=rank: rank_places(plan, 500, r)) for rank in range(0, LANES, 8)]
    anywhere = [timed_ms(lambda s=step: rank_places(plan, s, 99)) for step in rng.integers(0, 2000, 1000)]
    return {"one step after the other": walked, "one rank after the other": ranks, "steps in any order": anywhere}


def balanced_ms(plan) -> list[float]:
    """Milliseconds a rank needs for its samples of a step where ranks exchange some; lengths come from made indexes."""
    group = group_ranks(LANES, SLOTS, LANES)
    tables: dict[tuple[int, int], np.ndarray] = {}
    times = []
    for step in range(60):
        began = time.process_time()
        lane, slot = plan.step_slots(step * SLOTS, SLOTS, 3, LANES // group)
        places = plan.places(lane, slot)
        times.append(time.process_time() - began)
        # Indexes are made, not read, so making them is left out of the time; looking up is in it.
        for key in set(zip(places.source.tolist(), places.shard.tolist(), strict=True)) - tables.keys():
            size = int(plan.sources[key[0]].shard_counts[key[1]])
            tables[key] = np.random.default_rng(key).integers(60, 260, size)
        began = time.process_time()
        number = places.source << 32 | places.shard
        order = np.argsort(number, kind="stable")
        distinct, begins = np.unique(number[order], return_index=True)
        rows = np.empty(len(lane), np.int64)
        for one, at in zip(distinct.tolist(), np.split(order, begins[1:]), strict=True):
            rows[at] = tables[one >> 32, one & 0xFFFFFFFF][places.sample[at]]
        mine = balance(rows.reshape(SLOTS, group).T.copy())[5]
        deal(rows[mine], 1)
        times[-1] += time.process_time() - began
    return [1e3 * one for one in times[10:]]


def check_order(plan, slots: int) -> dict[str, float]:
    """Walk all lanes over `slots` slots: samples that came twice in their source epoch, and the worst of any lane's mix."""
    lanes = np.arange(LANES)
    starts = [np.concatenate([[0], np.cumsum(source.shard_counts)]) for source in plan.sources]
    seen: dict[tuple[int, int], np.ndarray] = {}
    shares = plan.segments[0].mixture().counts / plan.segments[0].mixture().slots
    taken, worst, repeats = np.zeros((LANES, len(SIZES)), np.int64), 0.0, 0
    for slot in range(slots):
        places = plan.places(lanes, np.full(LANES, slot))
        taken[lanes, places.source] += 1
        worst = max(worst, float(np.abs(taken - (slot + 1) * shares).max()))
        number = np.empty(LANES, np.int64)
        for source in range(len(SIZES)):
            at = places.source == source
            number[at] = starts[source][places.shard[at]] + places.sample[at]
        for source, epoch in {*zip(places.source.tolist(), places.epoch.tolist(), strict=True)}:
            at = (places.source == source) & (places.epoch == epoch)
            flags = seen.setdefault((source, epoch), np.zeros(SIZES[source], bool))
            repeats += int(flags[number[at]].sum()) + int(at.sum() - len(np.unique(number[at])))
            flags[number[at]] = True
    finished = [key for key, flags in seen.items() if flags.all()]
    return {"repeats": repeats, "worst": worst, "finished": len(finished), "samples": slots * LANES}


def check_workers(plan) -> bool:
    """The workers of a rank, each with its micro-batches, together read what the rank reads."""
    lane, slot = plan.step_slots(7 * SLOTS, SLOTS, 1234, LANES)
    whole = plan.places(lane, slot)
    parts = [plan.places(lane[worker::WORKERS], slot[worker::WORKERS]) for worker in range(WORKERS)]
    together = {*zip(whole.source.tolist(), whole.epoch.tolist(), whole.shard.tolist(), whole.sample.tolist(), strict=True)}
    listed = [
        one for p in parts for one in zip(p.source.tolist(), p.epoch.tolist(), p.shard.tolist(), p.sample.tolist(), strict=True)
    ]
    return len(listed) == SLOTS and set(listed) == together


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--slots", type=int, default=1500, help="slots of each lane that are checked for repeats")
    parser.add_argument("--child", choices=["build", "seek"])
    parser.add_argument("--manifests", type=Path, help="(for --child)")
    options = parser.parse_args()
    if options.child:
        print(json.dumps({"build": child_build, "seek": child_seek}[options.child](options.manifests)))
        return
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_manifests(root)
        builds = [in_child("build", root) for _ in range(options.repeats)]
        seeks = [in_child("seek", root) for _ in range(options.repeats)]
        sources = make_sources(root)
    plan = make_plan(sources)
    shards, samples = sum(len(s.shard_counts) for s in sources), sum(SIZES)
    print(f"{samples:,} samples, {shards:,} shards, {len(sources)} sources, {LANES:,} lanes, {SLOTS} samples a rank and step")
    times = step_times(plan)
    for name, values in times.items():
        print(f"{name:26} median {statistics.median(values):.3f} ms, 99 % below {np.percentile(values, 99):.3f} ms, "
              f"largest {max(values):.3f} ms")  # fmt: skip
    balanced = balanced_ms(plan)
    print(f"{'balanced over ranks':26} median {statistics.median(balanced):.3f} ms, largest {max(balanced):.3f} ms")
    order = check_order(plan, options.slots)
    print(f"{order['samples']:,} samples walked: {order['repeats']} repeats, {order['finished']} source epochs gone through "
          f"whole, worst deviation of a lane {order['worst']:.3f}; workers agree: {check_workers(plan)}")  # fmt: skip
    slowest = max(float(np.percentile(values, 99)) for values in times.values())
    claims = [
        claim("plan, build, manifests read", max(b["build_s"] for b in builds), 2.0, "2 s", "s"),
        claim("plan, memory of a build", max(b["build_mb"] for b in builds), 200.0, "200 MB", "MB"),
        claim("plan, samples of a step for a rank, 99 % of the steps, processor time", slowest, 1.0, "1 ms", "ms"),
        claim(
            "plan, seek to step 10 million, manifests read and plan built first",
            max(s["seek_s"] for s in seeks),
            1.0,
            "1 s",
            "s",
        ),
        claim("plan, repeats within a source epoch", order["repeats"], 0, "none", "samples"),
        claim("plan, a lane's mix off its quantised weights", order["worst"], 2.0, "2 samples", "samples"),
    ]
    print(json.dumps(claims))


def claim(name: str, value: float, goal: float, against: str, unit: str) -> dict[str, object]:
    return {"claim": name, "value": round(value, 3), "goal": goal, "met": value <= goal, "against": against, "unit": unit}


if __name__ == "__main__":
    main()
