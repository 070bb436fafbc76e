"""Does mixed data help? Pre-training at equal compute on parts of three institutions, judged on the same held-out patients.

hospital ─► shards, tokenizer ─► each setting and seed: pretrain ─► evaluate ─► table and figure

A setting is a file of the experiment's folder: which institutions are drawn from, and what of them. All of a seed begin with
the same weights, have the same recipe, go through the same number of tokens (so the steps differ), and are scored on the same
test patients of all labelled institutions. `scratch` is a run of one step at a rate of 0: its probes see fresh weights, and
its fine-tuning is training on the labels alone.

What is done is not done again: stopped, the same command goes on, and more seeds may be added. Runs lie in OUT/runs as all
runs do, their logs in OUT/logs.

    python benchmarks/mixed_data.py [--out mixed_data] [--seeds 0 1 2] [--settings pairs mixed ...] [--jobs 2]

With data of one's own, whose shards lie where the experiment's files say (below OUT):

    python benchmarks/mixed_data.py --experiment configs/experiments/mimic-nih14-openi --no-hospital --jobs 1 --ranks 8
"""

import argparse
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from mixed_data_table import SCRATCH, report

from cxrpt.config import load_config

ROOT = Path(__file__).parents[1]
SHARED = "common"
"""The file of an experiment that the others differ from."""

STUDIES, SHARES, SPLIT, SIZE, SEED = 6000, "0.2,0.5,0.3", "0.6,0.1,0.3", 256, 8
"""Of the made-up hospital: few pairs, more pictures, and reports of a third institution; many test patients."""


@dataclass(frozen=True)
class Job:
    """One setting with one seed."""

    setting: str
    seed: int
    config: Path
    words: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.setting}-{self.seed}"


def cxrpt(*words: str, log: Path | None = None, threads: int = 0) -> str:
    """What a `cxrpt` command printed; with `log` it is written there."""
    environment = os.environ | ({"OMP_NUM_THREADS": str(threads)} if threads else {})
    command = [sys.executable, "-m", "launch.cli", *words]
    errors = subprocess.STDOUT if log else None
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True)
    if log is not None:
        with log.open("a") as file:
            file.write(f"$ cxrpt {' '.join(words)}\n{done.stdout}")
    if done.returncode:
        raise SystemExit(f"cxrpt {' '.join(words)} ended with {done.returncode}{f': see {log}' if log else ''}")
    return done.stdout


def make_hospital(out: Path, studies: int, shares: str) -> None:
    """Shards of three institutions and a tokenizer, the same everywhere.

    Nobody is behind the pseudonyms, so that their key may be known.
    """
    export, shards, tokenizer, key = out / "export", out / "shards", out / "tokenizer.model", out / "nobody.key"
    key.write_text("6" * 64 + "\n")
    key.chmod(0o600)
    if not export.exists():
        made = ("--studies", str(studies), "--shares", shares, "--size", str(SIZE), "--seed", str(SEED))
        cxrpt("synth", str(export), *made)
    for name in ("north", "south", "west"):
        to = ("--out", str(shards), "--institution", name, "--split", SPLIT, "--key", str(key))
        cxrpt("prep", "hospital", str(export / name), *to)
    if not tokenizer.exists():
        cxrpt("tokenizer", str(shards / "north"), str(shards / "west"), "--out", str(tokenizer), "--vocab-size", "1000")


def tokens_a_step(config: Path, words: tuple[str, ...]) -> float:
    """Tokens of all samples of a step, on average."""
    plan = json.loads(cxrpt("plan", str(config), *words, "--json").splitlines()[-1])
    return sum(one["drawn"] * one["tokens_a_sample"] for one in plan["sources"]) / plan["shape"]["steps"]


def files_of(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> dict[str, Path]:
    """The file of each setting; ends with code 2 where one is asked for that is not there."""
    files = {path.stem: path for path in sorted(arguments.experiment.glob("*.yaml")) if path.stem != SHARED}
    if arguments.reference not in files:
        there = f"no {arguments.reference}.yaml is there, whose tokens all settings are given"
        parser.error(f"--experiment {arguments.experiment}: {there}; another can be named with --reference")
    if unknown := set(arguments.settings or ()) - {*files, SCRATCH}:
        parser.error(f"--settings {' '.join(sorted(unknown))}: there are {', '.join((*files, SCRATCH))}")
    return files


def jobs_of(arguments: argparse.Namespace, files: dict[str, Path]) -> list[Job]:
    """All runs, seed by seed; the steps of each setting are so many that its tokens are those of the reference."""
    settings = arguments.settings or [SCRATCH, *files]
    where = ("runs=runs", *arguments.words)
    reference = files[arguments.reference]
    budget = tokens_a_step(reference, where) * load_config(reference, list(arguments.words)).train.steps
    jobs = []
    for setting in settings:
        path, more = reference if setting == SCRATCH else files[setting], ()
        if setting == SCRATCH:
            length = 1
            more = ("optim.lr=1e-12", "optim.min_lr=0", "eval.classifiers=[linear,fine_tune]", "eval.tasks=[classify]")
        else:
            length = round(budget / tokens_a_step(path, where))
        print(f"{setting}: {length} steps", flush=True)
        for seed in arguments.seeds:
            words = (*where, f"train.steps={length}", *more, f"name={setting}-{seed}", f"seed={seed}")
            jobs.append(Job(setting, seed, path, words))
    return sorted(jobs, key=lambda job: job.seed)


def run(job: Job, ranks: int, threads: int) -> None:
    """Train and evaluate, each unless it is done."""
    began, log = time.monotonic(), Path("logs") / f"{job.name}.log"
    cxrpt("pretrain", str(job.config), *job.words, "--ranks", str(ranks), log=log, threads=threads)
    trained = time.monotonic()
    cxrpt("evaluate", f"runs/{job.name}", log=log, threads=threads)
    print(f"{job.name}: {trained - began:.0f} s of training, {time.monotonic() - trained:.0f} s of evaluation", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("mixed_data"))
    parser.add_argument("--experiment", type=lambda given: Path(given).resolve(), default=ROOT / "configs/experiments/small")
    parser.add_argument("--reference", default="mixed", help="the setting whose tokens all others are given")
    parser.add_argument("--settings", nargs="+")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=2, help="runs side by side")
    parser.add_argument("--ranks", type=int, default=1, help="ranks of a run")
    parser.add_argument("--studies", type=int, default=STUDIES, help="of the made-up hospital")
    parser.add_argument("--shares", default=SHARES, help="of its studies: pairs, pictures, reports")
    parser.add_argument("--no-hospital", action="store_true", help="shards and tokenizer are there")
    parser.add_argument("words", nargs="*", help="key=value for all runs")
    arguments = parser.parse_args()
    files = files_of(arguments, parser)
    (arguments.out / "logs").mkdir(parents=True, exist_ok=True)
    os.chdir(arguments.out)
    began = time.monotonic()
    if not arguments.no_hospital:
        make_hospital(Path(), arguments.studies, arguments.shares)
    jobs = jobs_of(arguments, files)
    threads = max(1, (os.cpu_count() or 1) // (arguments.jobs * arguments.ranks))
    with ThreadPoolExecutor(arguments.jobs) as pool:
        for done in [pool.submit(run, job, arguments.ranks, threads) for job in jobs]:
            done.result()
    print(f"all of it took {(time.monotonic() - began) / 60:.0f} min")
    report(Path("runs"), {job.name: (job.setting, job.seed) for job in jobs}, arguments.reference, Path())


if __name__ == "__main__":
    main()
