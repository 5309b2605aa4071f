"""What the tests of attacks share: one hostile relay, the stages played once, and the table."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sealkeep_conformance.relay import HostileRelay
from support import attack_table
from support.attack_table import AttackTable
from support.household import Household


@pytest.fixture(scope="package")
def household(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Household]:
    with HostileRelay() as relay:
        yield Household(tmp_path_factory.mktemp("household"), relay)


@pytest.fixture(scope="package")
def table(pytestconfig: pytest.Config) -> Iterator[AttackTable]:
    writes = pytestconfig.getoption("--write-docs")
    table = AttackTable(None if writes else attack_table.PATH.read_text(encoding="utf-8"))
    yield table
    if writes:
        attack_table.PATH.write_text(table.render(), encoding="utf-8")
