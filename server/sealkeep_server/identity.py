"""The relay's secrets on disk: its long-term identity, and the keys of its tokens. Both are files that only their owner
reads, made when missing."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path

from sealkeep_protocol.primitives import KEY_SIZE, SigningKey
from sealkeep_server.stores import OpenError


def load_identity(data: Path) -> SigningKey:
    """The Ed25519 identity of §8.1, from `identity` in the data directory. Raises `OpenError`."""
    seed = _load_or_make(data / "identity", lambda: secrets.token_bytes(KEY_SIZE))
    if len(seed) != KEY_SIZE:
        raise OpenError(f"{data / 'identity'} does not hold an identity")
    return SigningKey(seed)


KEY_ID_SIZE = 4
_TIME_SIZE = 8
_RECORD = KEY_ID_SIZE + _TIME_SIZE + KEY_SIZE


class TokenKeys:
    """The keys that tokens are made with, in `token-keys`: records of id ‖ time (s, big-endian) ‖ key, newest last.

    A new one is made when the newest is older than `max_age` seconds; the one before stays for the tokens that it made.
    Raises `OpenError`.
    """

    def __init__(self, data: Path, *, now: float, max_age: float) -> None:
        self._path = data / "token-keys"
        self._max_age = max_age
        stored = _load_or_make(self._path, lambda: _new_key(now))
        if not stored or len(stored) % _RECORD:
            raise OpenError(f"{self._path} does not hold token keys")
        self._use([stored[start : start + _RECORD] for start in range(0, len(stored), _RECORD)])
        self.renew(now)

    def renew(self, now: float) -> None:
        """Replace the newest key when it is too old. Raises `OpenError` where that cannot be written: the old one stays."""
        made = int.from_bytes(self._newest[KEY_ID_SIZE : KEY_ID_SIZE + _TIME_SIZE], "big")
        if now - made > self._max_age:
            records = [self._newest, _new_key(now)]
            _write(self._path, b"".join(records))
            self._use(records)

    def _use(self, records: list[bytes]) -> None:
        self._newest = records[-1]
        self._keys = {record[:KEY_ID_SIZE]: record[-KEY_SIZE:] for record in records}

    @property
    def newest(self) -> bytes:
        """The id of the key that tokens are made with now."""
        return self._newest[:KEY_ID_SIZE]

    def __getitem__(self, key_id: bytes) -> bytes:
        """The key of an id. Raises `KeyError`."""
        return self._keys[key_id]


def _new_key(now: float) -> bytes:
    return secrets.token_bytes(KEY_ID_SIZE) + int(now).to_bytes(_TIME_SIZE, "big") + secrets.token_bytes(KEY_SIZE)


def _load_or_make(path: Path, make: Callable[[], bytes]) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        pass
    except OSError as error:
        raise OpenError(f"{path}: {error.strerror or error}") from error
    content = make()
    _write(path, content)
    return content


def _write(path: Path, content: bytes) -> None:
    """Replace a file so that a power cut leaves the old one or the new one, whole, mode 0600."""
    temporary = path.with_name(path.name + ".new")
    try:
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(descriptor, content)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.rename(temporary, path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise OpenError(f"{path}: {error.strerror or error}") from error
