"""The two orders of records (spec §7.7): what views show, and what decides conflicts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias

from sealkeep_protocol.records._model import Message, Precision

OrderKey: TypeAlias = tuple[int, int, bytes]

_UNIT: Final[Mapping[int, int]] = {
    Precision.MILLISECONDS: 1,
    Precision.SECONDS: 1_000,
    Precision.MINUTES: 60_000,
    Precision.DAYS: 86_400_000,
}


def order_key(message: Message, record_id: bytes) -> OrderKey:
    """What views, exports and pages of history are ordered by: (time at its precision in ms, rank, id)."""
    unit = _UNIT[message.precision]
    return message.time // unit * unit, message.rank, record_id


def conflict_key(clock: int | None, record_id: bytes) -> tuple[int, bytes]:
    """What conflicts between native records are ordered by: (hybrid logical clock, 0 where there is none; id)."""
    return clock or 0, record_id
