"""The key file of a home, and the two ways to keep the database key: in the OS keyring, or under a passphrase.

A key file is deterministic CBOR: `{1: 1, 2: method, 3: name or salt, 4: operations, 5: memory in bytes, 6: sealed
key}`; 4 to 6 for a passphrase only. The database key is 32 random bytes and never written in the clear.
"""

from __future__ import annotations

import secrets
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import keyring
import keyring.backend
import keyring.backends.fail
import keyring.backends.null
import keyring.errors
from nacl.exceptions import CryptoError
from nacl.pwhash import argon2id

from sealkeep_protocol import cbor
from sealkeep_protocol.errors import AuthenticationError, MalformedError, StoreError, UsageError
from sealkeep_protocol.sealing import open_alone, seal_alone

KEY_SIZE = 32
MAX_KEY_FILE = 1024
_VERSION = 1
_SERVICE = "sealkeep"
_PURPOSE = "home"
_DAMAGED = "the key file is damaged or of a newer version"

Fields = Mapping[int, Any]


class Unlock(Protocol):
    """A way to keep a home's database key. `method` names it in the key file."""

    method: str

    def protect(self, key: bytes) -> dict[int, Any]:
        """Keep the key, and return the fields of the key file by which `reveal` finds it. Raises `StoreError`."""

    def reveal(self, fields: Fields) -> bytes:
        """The key that `protect` kept. Raises `StoreError`."""


@dataclass(frozen=True, slots=True)
class Strength:
    """Cost of Argon2id: passes over the memory, and memory in bytes."""

    operations: int
    memory: int


# RFC 9106 §4 for devices with little memory, with a pass more since libsodium has one lane: a phone must be able to open
# its vault, and to stay far below what it allows an app.
STANDARD = Strength(4, 64 << 20)
INTERACTIVE = Strength(argon2id.OPSLIMIT_INTERACTIVE, argon2id.MEMLIMIT_INTERACTIVE)
# A key file that asks for more than any profile of Argon2id is damaged: it must not take the device's memory.
_MOST = Strength(argon2id.OPSLIMIT_SENSITIVE, argon2id.MEMLIMIT_SENSITIVE)


class Passphrase:
    """Keeps the key under a passphrase: a text, or a function that asks for one when it is needed.

    `strength` counts when a home is made; an existing home has its own in its key file. Raises `UsageError` for an
    empty passphrase, `StoreError` for a wrong one.
    """

    method: str = "passphrase"
    __slots__ = ("_ask", "_strength")

    def __init__(self, passphrase: str | Callable[[], str], *, strength: Strength = STANDARD) -> None:
        self._ask: Callable[[], str] = (lambda: passphrase) if isinstance(passphrase, str) else passphrase
        self._strength = strength

    def __repr__(self) -> str:
        return "Passphrase(…)"

    def protect(self, key: bytes) -> dict[int, Any]:
        """Seal the key under the passphrase (Argon2id, then the sealing function of spec §3.5)."""
        fields: dict[int, Any] = {3: secrets.token_bytes(argon2id.SALTBYTES)}
        fields |= {4: self._strength.operations, 5: self._strength.memory}
        parent = self._derive(fields)
        fields[6] = seal_alone(parent, _PURPOSE, [], key, binding=_binding(fields), salt=secrets.token_bytes(32))
        return fields

    def reveal(self, fields: Fields) -> bytes:
        """Open the sealed key. Raises `StoreError` for a wrong passphrase or a damaged key file."""
        if not _is_passphrase(fields):
            raise StoreError(_DAMAGED)
        try:
            return open_alone(self._derive(fields), _PURPOSE, [], fields[6], binding=_binding(fields))
        except AuthenticationError:
            raise StoreError("wrong passphrase for this home: nothing was changed, try again") from None

    def _derive(self, fields: Fields) -> bytes:
        text = self._ask()
        if not text:
            raise UsageError("the passphrase is empty")
        # The same passphrase typed on another keyboard or system must be the same bytes.
        password = unicodedata.normalize("NFC", text).encode()
        try:
            return argon2id.kdf(KEY_SIZE, password, fields[3], opslimit=fields[4], memlimit=fields[5])
        except (CryptoError, ValueError, TypeError) as error:
            raise StoreError(
                f"there is not enough memory for the passphrase: {fields[5] >> 20} MiB are needed"
            ) from error


def _is_passphrase(fields: Fields) -> bool:
    return (
        fields.keys() == {1, 2, 3, 4, 5, 6}
        and type(fields[3]) is bytes
        and len(fields[3]) == argon2id.SALTBYTES
        and type(fields[4]) is int
        and type(fields[5]) is int
        and argon2id.OPSLIMIT_MIN <= fields[4] <= _MOST.operations
        and argon2id.MEMLIMIT_MIN <= fields[5] <= _MOST.memory
        and type(fields[6]) is bytes
    )


def _binding(fields: Fields) -> bytes:
    """Associated data of the sealed key: what the derivation used. It must never change."""
    return cbor.encode([_VERSION, Passphrase.method, fields[3], fields[4], fields[5]])


class Keyring:
    """Keeps the key in the operating system's keyring. `backend` is the system's own unless given."""

    method: str = "keyring"
    __slots__ = ("_backend",)

    _SILENT: ClassVar = (keyring.backends.fail.Keyring, keyring.backends.null.Keyring)

    def __init__(self, backend: keyring.backend.KeyringBackend | None = None) -> None:
        self._backend = backend

    def __repr__(self) -> str:
        return "Keyring()"

    def protect(self, key: bytes) -> dict[int, Any]:
        """Write the key, and read it back before it is trusted: some keyrings swallow what they are given."""
        backend, name = self._usable(), secrets.token_hex(16)
        try:
            backend.set_password(_SERVICE, name, key.hex())
            kept = backend.get_password(_SERVICE, name)
        except keyring.errors.KeyringError as error:
            raise StoreError("the keyring of this system refuses the key: unlock it, or use a passphrase") from error
        if kept is None or not secrets.compare_digest(kept.encode(), key.hex().encode()):
            raise StoreError("the keyring of this system does not keep what it is given: use a passphrase")
        return {3: name}

    def reveal(self, fields: Fields) -> bytes:
        """Read the key. Raises `StoreError` where the keyring is locked or has none."""
        if fields.keys() != {1, 2, 3} or type(fields[3]) is not str:
            raise StoreError(_DAMAGED)
        try:
            kept = self._usable().get_password(_SERVICE, fields[3])
        except keyring.errors.KeyringError as error:
            raise StoreError("the keyring of this system is locked: unlock it and try again") from error
        if kept is None:
            raise StoreError("the keyring of this system has no key for this home: restore with the recovery kit")
        try:
            key = bytes.fromhex(kept)
        except ValueError:
            key = b""
        if len(key) != KEY_SIZE:
            raise StoreError("the keyring of this system has something else in place of this home's key")
        return key

    def _usable(self) -> keyring.backend.KeyringBackend:
        try:
            backend = self._backend or keyring.get_keyring()
        except Exception as error:  # back ends raise what they like while they look for a service
            raise StoreError("this system has no keyring: use a passphrase") from error
        if isinstance(backend, self._SILENT):
            raise StoreError("this system has no keyring: use a passphrase")
        return backend


def write_key_file(unlock: Unlock, key: bytes) -> bytes:
    """The key file of a new home. Raises `StoreError`."""
    return cbor.encode({1: _VERSION, 2: unlock.method, **unlock.protect(key)})


def read_method(data: bytes) -> tuple[str, Fields]:
    """The method and the fields of a key file. Raises `StoreError`."""
    try:
        fields = cbor.decode(data, limit=MAX_KEY_FILE)
    except MalformedError:
        raise StoreError(_DAMAGED) from None
    if not isinstance(fields, dict) or fields.get(1) != _VERSION or not isinstance(fields.get(2), str):
        raise StoreError(_DAMAGED)
    return fields[2], fields


def read_key_file(unlock: Unlock, data: bytes) -> bytes:
    """The database key. Raises `StoreError` where the home is kept in another way, and as `unlock.reveal`."""
    method, fields = read_method(data)
    if method != unlock.method:
        raise StoreError(f"this home is kept under a {method}, not a {unlock.method}: give its {method}")
    key = unlock.reveal(fields)
    if len(key) != KEY_SIZE:
        raise StoreError(_DAMAGED)
    return key
