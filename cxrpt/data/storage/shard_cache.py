"""A bounded folder of files that were fetched from elsewhere, shared by the processes of a node.

    north-train-000000.<sha256>.tar         whole and verified; whoever reads it holds a shared lock on it
    north-train-000000.<sha256>.tar.part    being written by the holder of its exclusive lock; dead if nobody holds one
    lock                                    held while files are counted, take room or get their name

A name holds the first 32 hexadecimal digits of the tar's sha256, so a shard that changes has another name and never meets a
stale file. A file gets its name only when it is whole, verified and on the disk. All locks are flocks, which the kernel takes
back when their holder dies: there is no state that a crash could leave wrong.

The bound holds for all files together, those under way included: a file under way takes its whole size at once. The least
recently opened go first, and none that a process has open. Where all are open there is no room (CacheFullError).
"""

import errno
import fcntl
import hashlib
import os
import random
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cxrpt.data.storage.remote import STALL_S, redact, stream
from cxrpt.errors import InputError

_OURS = re.compile(r".+\.[0-9a-f]{32}\.(tar|idx\.npy)(\.part)?")
_PART = ".part"
_TRIES = 3
_FULL = (errno.ENOSPC, errno.EDQUOT)
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
_NO_ALLOCATION = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)


class CacheFullError(OSError):
    """There is no room for a file, now; the message is one line that says what to change."""


@dataclass(frozen=True)
class RemoteFile:
    """A file that can be fetched."""

    url: str = field(repr=False)
    name: str
    """Its name in the cache, which says what its content is."""
    num_bytes: int
    """Its size; without a `sha256`, the most that it may have."""
    sha256: str = ""
    """Of its content, where that is known beforehand."""

    @property
    def shown(self) -> str:
        """What messages call it."""
        return f"{re.sub(r'[.][0-9a-f]{32}[.]', '.', self.name)} of {redact(self.url)}"


@dataclass(frozen=True)
class ShardCache:
    """The cache as a process sees it; all its state lies in the folder, so that it can be pickled and copied."""

    folder: str
    """May hold `~` and `$NAME`, filled in on the machine that uses it; empty is `cxrpt-cache-UID` in TMPDIR or /tmp."""
    max_bytes: int

    def path(self) -> Path:
        """The folder, made if need be.

        Raises:
            InputError: it cannot be made, or somebody else could write to it.
        """
        folder = Path(os.path.expandvars(self.folder) or _default_folder()).expanduser()
        if "$" in str(folder):
            raise InputError(
                f"data.cache_dir={self.folder}: it names a variable that is not set here: set it, or name a folder"
            )
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            about, link = folder.stat(), folder.lstat()
        except OSError as error:
            raise InputError(f"data.cache_dir: {folder} cannot be made ({error.strerror}): name another folder") from None
        # What another user can write to, another user can poison, and what lies in it is medical.
        if {about.st_uid, link.st_uid} != {os.getuid()} or about.st_mode & 0o022:
            raise InputError(
                f"data.cache_dir: {folder} is not yours, or others can write to it: name a folder of your own, with mode 0700"
            )
        return folder

    @contextmanager
    def held(self, file: RemoteFile, stall_s: float = STALL_S) -> Iterator[Path]:
        """The path of a file, which is fetched if need be and stays there while the block runs.

        Raises:
            InputError: what the URL holds is not what it should be, or the folder cannot be used.
            CacheFullError: there is no room.
            OSError: it cannot be fetched, or the file system failed.
        """
        while True:
            path = self.path() / file.name
            handle = _open_whole(path, file)
            if handle is None:
                handle = self._fetch(path, file, stall_s, wait=True)
            if handle is not None:
                break
            # Another process fetched it, or died of it, or it was evicted at once: all who waited look again, in no order.
            time.sleep(random.uniform(0.001, 0.02))
        try:
            yield path
        finally:
            os.close(handle)

    def prefetch(self, file: RemoteFile) -> None:
        """Fetch a file, unless it is there or another process is at it. Raises as `held`."""
        path = self.path() / file.name
        try:
            os.utime(path)  # soon in use: not to be evicted before
        except FileNotFoundError:
            handle = self._fetch(path, file, STALL_S, wait=False)
            if handle is not None:
                os.close(handle)

    def discard(self, file: RemoteFile, handle: int | None = None) -> None:
        """Remove a file that turned out bad; with a handle of it, only if the file still is that one."""
        path = self.path() / file.name
        if handle is None or _is_at(handle, path):
            path.unlink(missing_ok=True)

    def _fetch(self, path: Path, file: RemoteFile, stall_s: float, wait: bool) -> int | None:
        """Fetch a file and return its handle, with a shared lock; None if another process was at it: look again."""
        part = path.with_name(path.name + _PART)
        with ExitStack() as closing_handle, _no_room(path.parent):
            handle = os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            closing_handle.callback(os.close, handle)
            if not _lock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB):
                if wait:
                    # Shared, as who fetches it keeps a shared lock on the finished file for as long as it is open.
                    _lock(handle, fcntl.LOCK_SH)
                return None
            if not _is_at(handle, part):
                return None
            if path.exists():
                part.unlink()
                return None
            try:
                self._make_room(handle, part, file.num_bytes)
                _fill(handle, file, stall_s)
                os.fsync(handle)
                # Nobody who counts the files may miss this one under both of its names.
                with _room_lock(path.parent):
                    part.rename(path)
            except BaseException:
                part.unlink(missing_ok=True)
                raise
            _lock(handle, fcntl.LOCK_SH)
            if not _is_at(handle, path):
                return None
            closing_handle.pop_all()
            return handle

    def _make_room(self, handle: int, part: Path, num_bytes: int) -> None:
        """Evict until `num_bytes` fit, and take them for the file under way."""
        folder = part.parent
        if num_bytes > self.max_bytes:
            raise InputError(
                f"data.cache_gb={self.max_bytes / 1e9:g}: {part.stem} alone has {num_bytes / 1e9:.3g} GB: raise it"
            )
        with _room_lock(folder):
            os.ftruncate(handle, 0)
            total, evictable, full = 0, [], None
            for path in folder.iterdir():
                if path == part or not _OURS.fullmatch(path.name):
                    continue
                try:
                    about = path.lstat()
                except FileNotFoundError:
                    continue
                if path.suffix == _PART:
                    total += 0 if _evict(path) else about.st_size
                else:
                    total += about.st_size
                    evictable.append((about.st_mtime_ns, about.st_size, path))
            evictable.sort(reverse=True)
            while True:
                if total + num_bytes <= self.max_bytes and (full := _allocate(handle, num_bytes)) is None:
                    return
                if not evictable:
                    break
                _, size, path = evictable.pop()
                total -= size if _evict(path) else 0
        if full is not None:
            raise _disk_full(folder, full)
        raise CacheFullError(
            f"data.cache_gb={self.max_bytes / 1e9:g}: processes of this node hold all {total / 1e9:.3g} GB in {folder} and "
            f"need {num_bytes / 1e9:.3g} GB more: raise it, or give each run a data.cache_dir of its own"
        )


def is_intact(file: RemoteFile, handle: int) -> bool:
    """Whether the content of an open file is still the one it was fetched for."""
    digest, offset = hashlib.sha256(), 0
    while chunk := os.pread(handle, 1 << 20, offset):
        digest.update(chunk)
        offset += len(chunk)
    return digest.hexdigest() == file.sha256


def _default_folder() -> str:
    return f"{os.environ.get('TMPDIR') or '/tmp'}/cxrpt-cache-{os.getuid()}"


def _open_whole(path: Path, file: RemoteFile) -> int | None:
    """The handle of a file, with a shared lock; None if it is not there."""
    with ExitStack() as closing_handle:
        try:
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        closing_handle.callback(os.close, handle)
        _lock(handle, fcntl.LOCK_SH)
        if not _is_at(handle, path):
            return None
        if file.sha256 and os.fstat(handle).st_size != file.num_bytes:
            path.unlink(missing_ok=True)
            return None
        os.utime(handle)
        closing_handle.pop_all()
        return handle


def _fill(handle: int, file: RemoteFile, stall_s: float) -> None:
    """Write what the URL holds, and again if that is not what it should be."""
    for _ in range(_TRIES):
        os.lseek(handle, 0, os.SEEK_SET)
        digest, num_bytes = hashlib.sha256(), 0
        with closing(stream(file.url, stall_s)) as chunks:
            for chunk in chunks:
                num_bytes += len(chunk)
                if num_bytes > file.num_bytes:
                    break
                digest.update(chunk)
                view = memoryview(chunk)
                while view:
                    view = view[os.write(handle, view) :]
        if not file.sha256 and num_bytes <= file.num_bytes:
            os.ftruncate(handle, num_bytes)
            return
        if num_bytes == file.num_bytes and digest.hexdigest() == file.sha256:
            return
    longer = "more than " if num_bytes > file.num_bytes else ""
    found = f"{longer}{min(num_bytes, file.num_bytes)} bytes" + ("" if longer else f" of sha256 {digest.hexdigest()[:16]}...")
    wanted = f"{file.num_bytes} bytes" + (f" of sha256 {file.sha256[:16]}..." if file.sha256 else " at most")
    raise InputError(
        f"{file.shown} has {found}, its manifest says {wanted} (read {_TRIES} times): "
        "it was damaged or changed there: copy or build the folder again, its manifest last"
    )


def _allocate(handle: int, num_bytes: int) -> OSError | None:
    """Take room for a file at once, so that others count it; the error if the disk has none."""
    try:
        os.posix_fallocate(handle, 0, num_bytes)
    except OSError as error:
        if error.errno in _FULL:
            os.ftruncate(handle, 0)
            return error
        if error.errno not in _NO_ALLOCATION:
            raise
        os.ftruncate(handle, num_bytes)
    return None


def _evict(path: Path) -> bool:
    """Remove a file that no process holds; False if one does. The index of a tar goes by the locks of both."""
    tar = path.with_name(re.sub(r"\.idx\.npy$", ".tar", path.name))
    with ExitStack() as closing_handles:
        for one in dict.fromkeys((tar, path)):
            try:
                handle = os.open(one, os.O_RDWR | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            closing_handles.callback(os.close, handle)
            if not _lock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB) or not _is_at(handle, one):
                return False
        path.unlink(missing_ok=True)
        return True


def _lock(handle: int, how: int) -> bool:
    """Lock a file; False if `how` says not to wait and another holds it."""
    try:
        fcntl.flock(handle, how)
        return True
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _NO_LOCKS:
            raise InputError(f"data.cache_dir lies on a file system without locks ({error.strerror}): name another") from None
        raise


def _is_at(handle: int, path: Path) -> bool:
    """Whether an open file is still the one that a path names."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


@contextmanager
def _room_lock(folder: Path) -> Iterator[None]:
    handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _lock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextmanager
def _no_room(folder: Path) -> Iterator[None]:
    """Turn a disk that is full into the error that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise _disk_full(folder, error) from None
        raise


def _disk_full(folder: Path, error: OSError) -> CacheFullError:
    return CacheFullError(
        f"data.cache_dir: {folder} is full ({error.strerror}), though the cache has not reached data.cache_gb: "
        "free space, name a folder on a larger disk, or lower data.cache_gb"
    )
