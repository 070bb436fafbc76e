"""Whether this machine can hold a run, told before it starts."""

import re

import pytest

from cxrpt import machine
from cxrpt.check_machine import LoaderCost, check_machine, check_memory, measure_worker
from cxrpt.config import DataConfig
from cxrpt.errors import InputError
from cxrpt.preflight import prepare

from .data.loading.test_micro_batches import config_of, shards  # noqa: F401  # a fixture

MIB = 2**20
COST = LoaderCost(private_bytes=100 * MIB, batch_bytes=10 * MIB)


def test_what_is_needed_is_refused_when_it_is_more_than_is_free():
    data = DataConfig(workers=8, prefetch=4)
    needed = 2 * (300 + 8 * (100 + 4 * 10)) * MIB
    check_memory(needed, 300 * MIB, COST, 2, data)
    with pytest.raises(InputError, match=r"2 ranks need 2\.8 GiB .* and 2\.8 GiB are free .*: set data\.workers=7, lower"):
        check_memory(needed - 1, 300 * MIB, COST, 2, data)
    with pytest.raises(InputError, match=r"10\.0 MiB\): give the job more memory$"):
        check_memory(400 * MIB, 300 * MIB, COST, 2, data)


def test_a_number_of_workers_that_is_advised_is_accepted():
    free = 1500 * MIB
    with pytest.raises(InputError) as refused:
        check_memory(free, 300 * MIB, COST, 2, DataConfig(workers=8, prefetch=4))
    advised = int(re.search(r"set data\.workers=(\d+)", str(refused.value))[1])
    check_memory(free, 300 * MIB, COST, 2, DataConfig(workers=advised, prefetch=4))
    with pytest.raises(InputError):
        check_memory(free, 300 * MIB, COST, 2, DataConfig(workers=advised + 1, prefetch=4))


def test_a_worker_is_measured(shards):  # noqa: F811
    config = config_of(shards)
    dataset = prepare(config, 0, 1).micro_batches(0, (1.0, 0.0, 1.0))
    cost = measure_worker(dataset)
    batch = dataset.micro_batch(0)
    assert batch.patches_PE.nbytes + batch.order_N.nbytes < cost.batch_bytes < 1 << 20
    assert 5 * MIB < cost.private_bytes < 120 * MIB, "a worker that imports torch takes more than 120 MiB"


def test_open_files_processors_and_unreadable_data_are_told(shards, monkeypatch, capsys):  # noqa: F811
    config = config_of(shards, "data.workers=1")
    dataset = prepare(config, 0, 1).micro_batches(0)
    check_machine(dataset, config.data, 1)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(machine, "num_cores", lambda: 1)
    check_machine(dataset, config.data, 2)
    told = capsys.readouterr().err
    assert "2 loader workers" in told and "share 1 cores" in told and len(told.splitlines()) == 1
    monkeypatch.setattr(machine, "raise_open_files", lambda: 256)
    with pytest.raises(InputError, match=r"may open 256 files here and a rank needs up to \d+: raise the limit"):
        check_machine(dataset, config.data, 1)
