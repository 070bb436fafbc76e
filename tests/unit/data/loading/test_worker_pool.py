"""What the trainer hears of its workers beside batches."""

import logging
from contextlib import closing
from itertools import islice

from cxrpt.data.loading import worker_pool
from cxrpt.data.loading.micro_batches import micro_batches

from .test_micro_batches import config_of, dataset, shards  # noqa: F401  # a fixture


class Runs:
    """Runs code where it is unpickled: in the worker."""

    def __init__(self, code):
        self.code = code

    def __reduce__(self):
        return exec, (self.code,)


def test_what_a_worker_logs_goes_to_the_trainers_log(shards, caplog):  # noqa: F811
    said = dataset(config_of(shards))
    said.said = Runs("import logging, warnings; logging.getLogger('cxrpt.x').warning('a %s', 7); warnings.warn('beware')")
    with caplog.at_level(logging.INFO), closing(micro_batches(said, 1, 1, False)) as stream:
        next(stream)
    told = [(record.name, record.getMessage().splitlines()[0]) for record in caplog.records]
    assert told[0] == ("cxrpt.x", "a 7") and told[1][0] == "py.warnings" and "beware" in told[1][1]


def test_a_worker_that_keeps_the_trainer_waiting_is_told_of(shards, caplog, monkeypatch):  # noqa: F811
    monkeypatch.setattr(worker_pool, "_SILENCE_S", 0.2)
    slow = dataset(config_of(shards))
    slow.slow = Runs("import time; time.sleep(0.7)")
    with caplog.at_level(logging.WARNING), closing(micro_batches(slow, 1, 1, False)) as stream:
        assert len(list(islice(stream, 2))) == 2
    assert "waiting for loader worker 0 (pid " in caplog.text


def test_a_worker_that_does_not_listen_is_killed(shards, monkeypatch):  # noqa: F811
    monkeypatch.setattr(worker_pool, "_FAREWELL_S", 0.3)
    deaf = dataset(config_of(shards))
    deaf.deaf = Runs("import os; os._exit = lambda code: None; import time; time.sleep(60)")
    with worker_pool.worker_pool(deaf, 1, 1) as (worker,):
        assert not worker._line.poll(1.0)
    assert worker.process.returncode is not None
