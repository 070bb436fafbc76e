"""Does training wait for evaluation? Step times of a run alone and beside its worker, on two nodes of a SLURM cluster.

    alone       one rank on n1
    own         the same, while a worker on n2 evaluates each checkpoint of this run
    other       the same, while a worker on n2 evaluates the checkpoints of another run, which this one knows nothing of

The nodes are namespaces of this machine with a core each (tests/slurm/lab.py), so that a worker takes no processor time from
the trainer, but shares its memory, caches and disk: that is what `other` costs. What `own` costs beyond it would be waiting.

    python -m benchmarks.beside_evaluation [--steps 240] [--rounds 3]        as root, after tests/slurm/install.sh
"""

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from cxrpt.checkpoint.store import committed_steps
from cxrpt.track.journal import read_journal
from tests.slurm.lab import Lab, what_is_missing
from tests.small_runs import CONFIG, ROOT, Runs

SETTINGS = ("alone", "own", "other")
CLUSTER = """
train: {partition: main, time_min: 60, signal_delay_s: 60, options: {nodelist: n1}}
evaluate: {partition: aside, workers: 0, time_min: 60, options: {nodelist: n2}}
"""
LARGER = ("model.width=128", "model.depth=4", "data.image_size=64")
SAVES = ("train.checkpoint_every=20", "train.keep_last=0", "train.log_every=1")
NOT_COUNTED = 20
"""Steps at the start, in which memory is taken for the first time."""


class Bench(Runs):
    """Runs on the cluster, one after the other."""

    def __init__(self, root: Path, lab: Lab, steps: int):
        super().__init__(root)
        self.lab, self.words = lab, (*LARGER, *SAVES, f"train.steps={steps}", f"runs={root}/runs")
        (root / "cluster.yaml").write_text(CLUSTER)
        (root / "c.yaml").write_text(CONFIG.format(root=root))

    def submit(self, name: str, *words: str) -> None:
        command = [sys.executable, "-m", "launch.cli", "submit", str(self.root / "c.yaml"), f"name={name}", *self.words, *words]
        self.lab.run(*command, "--cluster", str(self.root / "cluster.yaml"), cwd=ROOT)

    def wait(self, name: str, steps: int) -> None:
        while steps not in committed_steps(self.folder(name)):
            time.sleep(0.5)

    def wait_for_the_end(self) -> None:
        while self.lab.run("squeue", "-h", "-o", "%i"):
            time.sleep(0.5)

    def evaluated(self, name: str) -> int:
        return len(list(self.folder(name).glob("evals/*/results.json")))

    def step_times(self, name: str) -> list[float]:
        """Seconds of each step that is counted."""
        entries = [entry for entry in read_journal(self.folder(name) / "journal.jsonl") if entry.kind == "train"]
        return [entry.metrics["speed/step_s"] for entry in entries if entry.step > NOT_COUNTED]


def measure(bench: Bench, setting: str, number: int, steps: int) -> dict[str, float]:
    """One run; gives its step times and how many evaluations ended beside it."""
    name = f"{setting}-{number}"
    if setting == "other":
        shutil.rmtree(bench.folder("watched") / "evals", ignore_errors=True)
        bench.submit("watched", "cluster.evaluate.workers=1")
        while not list(bench.folder("watched").glob("evals/*/claim")):
            time.sleep(0.2)
    bench.submit(name, f"cluster.evaluate.workers={int(setting == 'own')}")
    bench.wait(name, steps)
    evaluations = bench.evaluated("watched" if setting == "other" else name)
    bench.lab.run("scancel", "-u", "root", "-p", "aside")
    bench.wait_for_the_end()
    times = bench.step_times(name)
    return {"median_s": statistics.median(times), "sum_s": sum(times), "evaluations": evaluations}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=240)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    if missing := what_is_missing():
        sys.exit(missing)
    seen: dict[str, list[dict[str, float]]] = {setting: [] for setting in SETTINGS}
    with tempfile.TemporaryDirectory(prefix="cxrpt-bench-") as folder, Lab() as lab:
        bench = Bench(Path(folder), lab, given.steps)
        bench.finish("watched", *bench.words, ranks=1)
        for number in range(given.rounds):
            # In turn, and each round begins with another.
            for setting in SETTINGS[number % 3 :] + SETTINGS[: number % 3]:
                seen[setting].append(measure(bench, setting, number, given.steps))
                print(setting, number, seen[setting][-1], flush=True)

    def of(setting: str, what: str, against: str) -> dict[str, object]:
        pairs = zip(seen[setting], seen[against], strict=True)
        return claim(setting, what, against, [one[what] / other[what] for one, other in pairs])

    print(json.dumps([of("own", "median_s", "other"), of("own", "sum_s", "other"), of("other", "median_s", "alone")]))


def claim(setting: str, what: str, against: str, ratios: list[float]) -> dict[str, object]:
    value = statistics.median(ratios)
    goal = 1.05 if against == "other" else None
    return {
        "claim": f"step time beside evaluation: {setting}, {what}", "value": round(value, 3), "goal": goal,
        "met": None if goal is None else value <= goal, "against": against, "unit": "ratio", "all": ratios,
    }  # fmt: skip


if __name__ == "__main__":
    main()
