import pytest

from cxrpt.attempts import ATTEMPTS, read_attempts, recorded, starts_without_progress
from cxrpt.errors import InputError


def test_each_start_and_end_is_kept(tmp_path):
    with recorded(tmp_path, "7", 4, 0) as record:
        assert read_attempts(tmp_path)[0].code is None
        record.code = 75
    with pytest.raises(InputError), recorded(tmp_path, "7", 4, 20):
        raise InputError("a=1: must be 2")
    with pytest.raises(ZeroDivisionError), recorded(tmp_path, "", 1, 20):
        _ = 1 / 0
    first, second, third = read_attempts(tmp_path)
    assert (first.code, first.step, first.job, first.ranks) == (75, 0, "7", 4) and first.ended >= first.time
    assert (second.attempt, second.code, second.why) == (2, 2, "a=1: must be 2")
    assert (third.code, third.why) == (1, "ZeroDivisionError: division by zero")


def test_a_kill_that_tore_a_line_costs_that_line(tmp_path):
    with recorded(tmp_path, "", 1, 0):
        pass
    with (tmp_path / ATTEMPTS).open("a") as file:
        file.write('{"event": "sta')
    with recorded(tmp_path, "", 1, 0):
        pass
    assert [one.attempt for one in read_attempts(tmp_path)] == [1, 2]
    assert read_attempts(tmp_path / "nowhere") == []


def test_only_starts_of_the_same_job_at_the_same_step_are_without_progress(tmp_path):
    for job, step in (("6", 0), ("7", 0), ("7", 20), ("7", 20)):
        with recorded(tmp_path, job, 1, step):
            pass
    assert starts_without_progress(tmp_path, "7", 20) == 2
    assert starts_without_progress(tmp_path, "7", 40) == 0
    assert starts_without_progress(tmp_path, "8", 20) == 0
