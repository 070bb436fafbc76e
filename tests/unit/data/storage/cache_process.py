"""A process that reads through the cache, for tests that start several by `python -m tests.unit.data.storage.cache_process`."""

import contextlib
import fcntl
import json
import os
import random
import sys
import time
from pathlib import Path

from cxrpt.data.storage.shard_cache import CacheFullError, RemoteFile, ShardCache


def main(folder: str, max_bytes: str, files: str, rounds: str, seed: str, hold_s: str) -> None:
    """Read the files in an order of its own, `rounds` times; print how often each was wrong, and the most bytes seen."""
    cache, wanted = ShardCache(folder, int(max_bytes)), [RemoteFile(*fields) for fields in json.loads(files)]
    rng, most, full = random.Random(int(seed)), 0, 0
    print("ready", flush=True)
    sys.stdin.readline()
    for _ in range(int(rounds)):
        file = rng.choice(wanted) if len(wanted) > 1 else wanted[0]
        while True:
            try:
                with cache.held(file) as path:
                    time.sleep(float(hold_s))
                    assert path.stat().st_size == file.num_bytes, "evicted while it was held"
                    most = max(most, used_bytes(path.parent))
                break
            except CacheFullError:
                full += 1
                time.sleep(0.005)
    print(json.dumps({"most": most, "full": full}), flush=True)


def used_bytes(folder: Path) -> int:
    """What lies in the cache at a moment when nobody makes room."""
    total = 0
    with (folder / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for entry in os.scandir(folder):
            with contextlib.suppress(FileNotFoundError):
                total += entry.stat().st_size
    return total


if __name__ == "__main__":
    main(*sys.argv[1:])
