"""Where the passphrase comes from: the environment, then the system's keyring, then a prompt on a terminal."""

from __future__ import annotations

import getpass
import os
import secrets
import sys
from pathlib import Path
from typing import Final

import click

from sealkeep_client.store import Keyring, Passphrase, Unlock, is_held, unlock_method
from sealkeep_protocol.errors import StoreError, UsageError

VARIABLE: Final = "SEALKEEP_PASSPHRASE"
_NOWHERE: Final = (
    f"no passphrase: set {VARIABLE}, or run this on a terminal to be asked; this system has no keyring that keeps one"
)
_BEGUN: Final = "this device has begun to join an account in {home}: go on with the command that began it"


def for_home(home: Path, *, held: bool = False) -> Unlock:
    """How a home is opened, or with `held` one that was begun to join an account. Raises `StoreError` where there is none,
    `UsageError` without a passphrase."""
    method = unlock_method(home, held=held)
    if method is None and is_held(home):
        raise StoreError(f"{_BEGUN.format(home=home)}: only then is there a vault")
    if method is None:
        raise StoreError(
            f"there is no vault in {home}: `sealkeep init` begins one, `sealkeep recover` restores one,"
            " --home names another"
        )
    if method == Keyring.method:
        return Keyring()
    given = os.environ.get(VARIABLE)
    if given is None and _is_terminal():
        given = _ask(f"Passphrase of {home}: ")
    if given is None:
        raise UsageError(f"this vault needs its passphrase: set {VARIABLE}, or run this on a terminal to be asked")
    return Passphrase(_not_empty(given))


def for_new_home(home: Path) -> Unlock:
    """How a home that is about to be made is kept. Raises `StoreError` where one is there already."""
    if unlock_method(home) is not None:
        raise StoreError(f"there is a vault in {home} already: go on with it, or give another directory with --home")
    if is_held(home):
        raise StoreError(f"{_BEGUN.format(home=home)}, or give another directory with --home")
    given = os.environ.get(VARIABLE)
    if given is not None:
        return Passphrase(_not_empty(given))
    if _keyring_keeps():
        return Keyring()
    if not _is_terminal():
        raise UsageError(_NOWHERE)
    click.echo("A passphrase protects what is kept on this device. Nobody can tell you a forgotten one.", err=True)
    chosen = _not_empty(_ask("New passphrase: "))
    if _ask("The same again: ") != chosen:
        raise UsageError("the two passphrases differ; nothing was made, try again")
    return Passphrase(chosen)


def _not_empty(passphrase: str) -> str:
    if not passphrase:
        raise UsageError("the passphrase is empty")
    return passphrase


def _is_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def _ask(prompt: str) -> str:
    try:
        return getpass.getpass(prompt, stream=sys.stderr)
    except EOFError:
        raise UsageError("no passphrase was given") from None


def _keyring_keeps() -> bool:
    """Whether the system's keyring keeps what it is given: some take everything and keep nothing."""
    import keyring
    import keyring.backends.fail
    import keyring.backends.null

    service, name, probe = "sealkeep", "probe", secrets.token_hex(16)
    try:
        backend = keyring.get_keyring()
        if isinstance(backend, (keyring.backends.fail.Keyring, keyring.backends.null.Keyring)):
            return False
        backend.set_password(service, name, probe)
        kept = backend.get_password(service, name)
        backend.delete_password(service, name)
    except Exception:  # back ends raise what they like
        return False
    return kept == probe
