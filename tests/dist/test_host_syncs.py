"""Between log steps our code asks for no number that a GPU would have to be waited for."""

import json
import subprocess
import sys

from cxrpt.config import load_config
from cxrpt.preflight import check_launch
from cxrpt.rundir import write_run_files

from ..small_runs import ROOT

COUNTS = """
import json, sys, traceback
from pathlib import Path
import torch
from torch.utils._python_dispatch import TorchDispatchMode
import cxrpt.train
from cxrpt.config import load_config
from cxrpt.preempt import StopFlag

# Operators whose result's size or value the host must know; on the CPU `.cpu()` and `.tolist()` reach no operator.
WAITING = {"_local_scalar_dense", "nonzero", "masked_select", "equal", "_unique2", "is_nonzero", "unique_dim"}
OURS = f"{Path(cxrpt.__file__).parent}/"
step, asked = [0], {}

def note(what):
    for frame in reversed(traceback.extract_stack()[:-2]):
        if "/deepspeed/" in frame.filename or "/torch/optim/" in frame.filename:
            return asked.setdefault(step[0], []).append(["deepspeed", what])
        if frame.filename == OURS + "agreement.py" and what == "tolist":
            return  # of a tensor that is made on the CPU, wherever the model is
        if frame.filename.startswith(OURS):
            return asked.setdefault(step[0], []).append([f"{frame.filename}:{frame.lineno}", what])

class Ask(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        is_mask = name == "index" and any(i is not None and i.dtype == torch.bool for i in args[1])
        if name in WAITING or is_mask:
            note(name)
        return func(*args, **(kwargs or {}))

def noting(name):
    method = getattr(torch.Tensor, name)
    def noted(self, *arguments, **options):
        note(name)
        return method(self, *arguments, **options)
    setattr(torch.Tensor, name, noted)

for name in ("cpu", "tolist", "item"):
    noting(name)

learning_rate = cxrpt.train.learning_rate
def stepping(number, *rest):
    step[0] = number
    return learning_rate(number, *rest)
cxrpt.train.learning_rate = stepping
agree = cxrpt.train.agree
def agreeing(*arguments):
    step[0] += 1  # what is asked for before the learning rate is known belongs to the step that begins
    return agree(*arguments)
cxrpt.train.agree = agreeing

with Ask():
    cxrpt.train.train(load_config(Path(sys.argv[1])), StopFlag())
print("ASKED", json.dumps(asked))
sys.stdout.flush()
import os
os._exit(0)
"""


def test_no_host_sync_of_ours_but_on_log_steps(runs):
    words = ["name=asked", f"runs={runs.root}/runs", "train.steps=8", "train.log_every=4", "train.checkpoint_every=100"]
    words += ["engine.precision=bf16", "engine.micro_batch=8", "engine.hang_timeout_s=0"]
    config = load_config(runs.root / "c.yaml", words)
    prepared = check_launch(config, 1, False)
    write_run_files(config, prepared.plan.fingerprint(), prepared.sources)
    done = subprocess.run(
        [sys.executable, "-c", COUNTS, str(config.run_dir / "config.yaml")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    asked = json.loads(done.stdout.split("ASKED ")[1])
    ours = {int(step): [where for where, _ in seen if where != "deepspeed"] for step, seen in asked.items()}
    assert ours[4] and ours[8], "the count sees what log steps ask for"
    assert {step: ours.get(step, []) for step in (2, 3, 5, 6, 7)} == {step: [] for step in (2, 3, 5, 6, 7)}
    assert any(where == "deepspeed" for where, _ in asked["2"]), "DeepSpeed's own wait is seen, and not ours to spare"
