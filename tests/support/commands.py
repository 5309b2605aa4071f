"""The commands run in this process, and what they said."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

CHAT = "Plans"
CHATS, MESSAGES = "chats", "messages"


class Said(NamedTuple):
    """What a command printed, and its exit status."""

    status: int
    out: str
    err: str

    @property
    def objects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


Sealkeep = Callable[..., Said]
