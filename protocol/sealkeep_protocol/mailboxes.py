"""What a relay and its clients agree on about mailboxes (spec §10.1, §8.8)."""

from __future__ import annotations

from typing import Final

MAX_NUMBER: Final = 99_999
MAX_MESSAGE: Final = 4096  # bytes
MAX_MESSAGES: Final = 8
MAX_SECONDS: Final = 3600
PASS_SIZE: Final = 32
