"""The relay's log: one JSON object a line on standard error, with nothing in it about whom it serves.

REL-12 is kept by construction: without the debug flag an event carries only the fields of `_FIELDS`, and libraries,
which format their messages from what they parse, are not heard at all.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

# Counts, durations, and words of our own. Never an id, a token, an address or anything that a peer sent.
_FIELDS = frozenset(
    {"event", "level", "timestamp", "error", "code", "status", "count", "seconds", "bytes", "version", "signal"}
)

_debug = False


def configure(*, debug: bool) -> None:
    """Set logging up for this process. With `debug` everything may appear, libraries' messages and tracebacks too."""
    global _debug
    _debug = debug
    processors: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        *([structlog.processors.format_exc_info] if debug else [_only_ours]),
        structlog.processors.JSONRenderer(),
    ]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG if debug else logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    if debug:
        logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
    else:
        # No handler of theirs, and none of last resort.
        root = logging.getLogger()
        root.handlers[:] = [logging.NullHandler()]
        root.setLevel(logging.CRITICAL + 1)


def _only_ours(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {name: value for name, value in event.items() if name in _FIELDS}


def info(event: str, **fields: object) -> None:
    """Say what happened; fields beyond `_FIELDS` appear only with the debug flag."""
    structlog.get_logger().info(event, **fields)


def warning(event: str, **fields: object) -> None:
    structlog.get_logger().warning(event, **fields)


def fault(event: str, error: BaseException | None) -> None:
    """A fault of the relay's own: names the exceptions' types; messages and traceback only with the debug flag."""
    names: list[str] = []
    cause = error
    while cause is not None and len(names) < 4:
        names.append(getattr(cause, "sqlite_errorname", None) or type(cause).__name__)
        cause = cause.__cause__
    detail: dict[str, Any] = {"exc_info": error} if _debug and error is not None else {}
    structlog.get_logger().error(event, error=" < ".join(names) or "unknown", **detail)


def loop_exception(_: object, context: dict[str, Any]) -> None:
    """For `loop.set_exception_handler`: its own would print addresses and objects."""
    fault("loop-fault", context.get("exception"))
