"""Fixtures of the importers' tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sealkeep_client.importers import Batch, ImportOptions, open_exports

Reader = Callable[..., Batch]


@pytest.fixture
def read() -> Reader:
    """Reads all exports under paths into one batch, in steps of `size`."""

    def read_all(*paths: Path, size: int = 7, **options: Any) -> Batch:
        exports = open_exports(paths, options=ImportOptions(**options))
        whole = Batch(problems=list(exports.problems))
        for export in exports:
            for batch in export.batches(size):
                assert batch.position <= export.size
                for name in ("contacts", "conversations", "messages", "marks", "problems", "left_out"):
                    getattr(whole, name).extend(getattr(batch, name))
        return whole

    return read_all
