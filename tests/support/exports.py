"""What has to be found of a hand-made export after any round trip, reckoned by its writer and not by an importer.

The writers `write_telegram`, `write_wechat` and `write_whatsapp` stand in modules of their own. They use every key and type
of their formats. `rebuild_telegram` and `rebuild_wechat` go the other way: from a record back to the source's own entry.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sealkeep_protocol.records import Kind

Json = Any


@dataclass(frozen=True)
class Expected:
    """One entry: chat title, author's shown name, civil time and offset, text and kind; `entry` is the source's own."""

    chat: str
    author: str | None
    time: datetime
    text: str | None
    kind: Kind
    entry: Json = None
    offset: int | None = None

    @property
    def milliseconds(self) -> int:
        """The record's field 4."""
        return int((self.time - timedelta(minutes=self.offset or 0)).replace(tzinfo=UTC).timestamp() * 1000)


@dataclass(frozen=True)
class Written:
    """An export on disk."""

    path: Path
    entries: list[Expected]
    names: Mapping[str, str | None] = field(default_factory=dict)


def civil(time: int, offset: int) -> str:
    """A record's time as the source's clock showed it, in ISO 8601."""
    return datetime.fromtimestamp(time // 1000 + offset * 60, UTC).replace(tzinfo=None).isoformat()


def without_floats(value: Json) -> Json:
    """The JSON value as records keep it: fractions as their decimal text."""
    return json.loads(json.dumps(value), parse_float=str)
