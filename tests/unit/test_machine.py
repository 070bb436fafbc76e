"""What is free, read from made-up `proc` and `sys` folders."""

import os

from cxrpt.machine import free_memory_bytes, num_cores, private_bytes

GIB = 2**30


def machine(root, files, available=100 * GIB):
    for name, text in {"proc/meminfo": f"MemTotal: 1 kB\nMemAvailable: {available // 1024} kB\n", **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_without_a_limit_the_machine_counts(tmp_path):
    assert free_memory_bytes(machine(tmp_path / "a", {})) == 100 * GIB
    none = {"proc/self/cgroup": "0::/job\n", "sys/fs/cgroup/job/memory.max": "max\n", "sys/fs/cgroup/job/memory.current": "5\n"}
    assert free_memory_bytes(machine(tmp_path / "b", none)) == 100 * GIB


def test_the_tightest_group_counts_and_cached_files_are_free(tmp_path):
    group = "sys/fs/cgroup/slurm/job_7"
    files = {
        "proc/self/cgroup": "0::/slurm/job_7/step_0\n",
        f"{group}/step_0/memory.max": "max\n",
        f"{group}/memory.max": f"{16 * GIB}\n",
        f"{group}/memory.current": f"{10 * GIB}\n",
        f"{group}/memory.stat": f"anon {5 * GIB}\nactive_file {1 * GIB}\ninactive_file {3 * GIB}\n",
    }
    assert free_memory_bytes(machine(tmp_path, files)) == 10 * GIB
    assert free_memory_bytes(machine(tmp_path, {}, available=2 * GIB)) == 2 * GIB


def test_groups_of_version_1_in_a_container(tmp_path):
    files = {
        "proc/self/cgroup": "4:memory:/docker/0123\n3:cpu,cpuacct:/docker/0123\n0::/\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{8 * GIB}\n",
        "sys/fs/cgroup/memory/memory.usage_in_bytes": f"{3 * GIB}\n",
        "sys/fs/cgroup/memory/memory.stat": f"total_inactive_file {1 * GIB}\ntotal_active_file 0\n",
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "100000\n",
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
    }
    root = machine(tmp_path, files)
    assert free_memory_bytes(root) == 6 * GIB
    assert num_cores(root) == 1


def test_processors_of_a_quota(tmp_path):
    whole = len(os.sched_getaffinity(0))
    files = {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}
    assert num_cores(machine(tmp_path, files)) == whole
    assert num_cores(machine(tmp_path, files | {"sys/fs/cgroup/cpu.max": "50000 100000\n"})) == 1
    assert num_cores(tmp_path / "nothing") == whole


def test_what_a_process_holds_alone_is_measured():
    before = private_bytes(os.getpid())
    block = bytearray(os.urandom(1 << 16) * 512)
    assert len(block) - (1 << 20) < private_bytes(os.getpid()) - before
