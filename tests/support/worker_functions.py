"""What the tests of the worker have it call: a worker imports its functions by name."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from sealkeep_protocol.errors import SourceError

T = TypeVar("T")


def process_ids() -> Iterator[int]:
    """Without end, the number of the process that makes it."""
    while True:
        yield os.getpid()


def broken_stream(path: str) -> Iterator[int]:
    yield 1
    raise SourceError("broken", path=path, line=3)


def locks() -> Iterator[object]:
    """What cannot be sent from one process to another."""
    yield threading.Lock()


def called(function: Callable[..., T], *arguments: Any) -> Iterator[T]:
    """What a function returns in the process that makes the stream; a single call might be taken back."""
    yield function(*arguments)


def out_of_memory() -> Iterator[int]:
    yield 1
    raise MemoryError
