"""A pytest plugin for a run on a mutated copy: proves that the copy is what runs, and notes the first test that fails.

SEALKEEP_TREE      the copy
SEALKEEP_MUTATED   the files of it that must be loaded, relative to it, parted as in PATH
SEALKEEP_NOTED     where the ids of failed tests are written, one a line
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

import pytest

TREE = Path(os.environ["SEALKEEP_TREE"]).resolve()
NOTED = Path(os.environ["SEALKEEP_NOTED"])
MUTATED = [path for path in os.environ["SEALKEEP_MUTATED"].split(os.pathsep) if path]
NOT_THE_COPY = 70


def pytest_sessionstart() -> None:
    for path in MUTATED:
        # client/sealkeep_client/engine/_heads.py -> sealkeep_client.engine._heads
        importlib.import_module(".".join(Path(path).with_suffix("").parts[1:]).removesuffix(".__init__"))
    _prove()
    loaded = {str(Path(file).relative_to(TREE)) for file in _files().values()}
    if not loaded.issuperset(MUTATED):
        pytest.exit(f"not loaded: {', '.join(sorted(set(MUTATED) - loaded))}", returncode=NOT_THE_COPY)


def pytest_sessionfinish() -> None:
    _prove()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.failed:
        with NOTED.open("a", encoding="utf-8") as noted:
            noted.write(f"{report.nodeid}\n")


def _files() -> dict[str, str]:
    """The project's modules that this process has loaded, and from where."""
    ours = {name: module for name, module in sys.modules.items() if name.startswith("sealkeep_")}
    return {name: str(Path(module.__file__).resolve()) for name, module in ours.items() if module.__file__}


def _prove() -> None:
    for name, file in _files().items():
        if not Path(file).is_relative_to(TREE):
            pytest.exit(f"{name} was loaded from {file}, not from the copy", returncode=NOT_THE_COPY)
