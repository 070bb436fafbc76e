"""The list of a run's jobs."""

import pytest

from launch.cluster import new_job, note_job, slurm_folder, submitted_jobs


@pytest.mark.parametrize("torn", ['{"kind": "train", "jo', '"7"', '{"kind": "train"}', "\x00\x00"])
def test_a_torn_line_costs_that_line_alone(tmp_path, torn):
    slurm_folder(tmp_path).mkdir()
    note_job(tmp_path, new_job("train", "7"))
    with (slurm_folder(tmp_path) / "jobs.jsonl").open("a") as file:
        file.write(torn)  # a full disk
    assert [job.job for job in submitted_jobs(tmp_path)] == ["7"]
    note_job(tmp_path, new_job("train", "9"))
    assert [job.job for job in submitted_jobs(tmp_path)] == ["7", "9"]
