"""Pseudonyms: a keyed hash in place of every identifier, and the key file that makes them.

    HMAC-SHA256(key, institution 0x00 kind 0x00 value) -> 24 hexadecimal digits

The key lies outside the output, mode 0600. Who has it can tell which pseudonym belongs to an identifier that they
already know; who has it not cannot, nor try identifiers out.
"""

import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from cxrpt.errors import InputError

KEY_BYTES = 32
PSEUDONYM_DIGITS = 24


@dataclass(frozen=True)
class Pseudonyms:
    """The keyed hash of one institution; equal values of different institutions or kinds get different pseudonyms."""

    institution: str
    key: bytes = field(repr=False)

    def _digest(self, kind: str, value: str) -> bytes:
        return hmac.new(
            self.key, f"{self.institution}\0{kind}\0{value}".encode("utf-8", "surrogateescape"), hashlib.sha256
        ).digest()

    def of(self, kind: str, value: str) -> str:
        """The pseudonym of a value; `kind` is its domain (patient, study, sample, input)."""
        return self._digest(kind, value).hex()[:PSEUDONYM_DIGITS]

    def fraction(self, kind: str, value: str) -> float:
        """A number in [0, 1), uniform over values, for splits."""
        return int.from_bytes(self._digest(kind, value)[:6], "big") / 2**48


def read_or_make_key(path: Path) -> bytes:
    """The key of a file; made with mode 0600 where there is none.

    Raises:
        InputError: the file is no key, or others may read it.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return _read_key(path)
    except OSError as error:
        raise InputError(f"the key file {path} cannot be made ({error.strerror}): name another with --key") from None
    key = passing_key()
    with os.fdopen(handle, "w") as file:
        file.write(key.hex() + "\n")
        file.flush()
        os.fsync(file.fileno())
    return key


def passing_key() -> bytes:
    """A key for what is not kept."""
    return secrets.token_bytes(KEY_BYTES)


def _read_key(path: Path) -> bytes:
    if path.is_dir():
        raise InputError(f"the key {path} is a folder: name a file with --key")
    if path.stat().st_mode & 0o077:
        raise InputError(f"the key file {path} is open to other users: run `chmod 600` on it")
    try:
        key = bytes.fromhex(path.read_text().strip())
    except (ValueError, UnicodeDecodeError):
        key = b""
    if len(key) < 16:
        raise InputError(
            f"{path} is no key file (at least 32 hexadecimal digits): name another with --key, or none to have one made"
        )
    return key
