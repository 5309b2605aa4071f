"""Stores for the tests here: small, and without the cost of a passphrase."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sealkeep_client.store import Passphrase, Store, Strength
from sealkeep_protocol.records import RecordIds

CHEAP = Strength(1, 8192)
IDS = RecordIds(bytes(range(32)))


@pytest.fixture
def unlock() -> Passphrase:
    return Passphrase("correct horse", strength=CHEAP)


@pytest.fixture
def ids() -> RecordIds:
    return IDS


@pytest.fixture
def store(tmp_path: Path, unlock: Passphrase) -> Iterator[Store]:
    """A complete, open home in `tmp_path / "home"`."""
    with Store.create(tmp_path / "home", unlock) as opened:
        opened.ids = IDS
        opened.publish()
        yield opened
