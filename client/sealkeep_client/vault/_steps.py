"""Carrying steps of the engine through where there is no account yet, or nothing of it is needed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import Any, TypeVar

from sealkeep_protocol.errors import SealkeepError

Action = TypeVar("Action")
T = TypeVar("T")


async def carry(steps: Generator[Action, Any, T], do: Callable[[Action], Awaitable[Any]]) -> T:
    """Have every action done and its answer, or the error that it met, sent back. Raises what the steps raise."""
    answer: Any = None
    failure: SealkeepError | None = None
    while True:
        try:
            action = steps.send(answer) if failure is None else steps.throw(failure)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        try:
            answer, failure = await do(action), None
        except SealkeepError as error:
            answer, failure = None, error
