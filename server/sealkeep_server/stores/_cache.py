"""What the only writer of a store remembers of what it wrote, so that the commonest questions need no thread."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class WrittenCache(Generic[Key, Value]):
    """A bounded cache that is always right, provided that every write calls `put` or `drop` before its caller hears of
    it. To be used on one event loop only."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: OrderedDict[Key, Value] = OrderedDict()
        self._writes = 0

    def __len__(self) -> int:
        return len(self._values)

    async def get(self, key: Key, load: Callable[[], Awaitable[Value | None]]) -> Value | None:
        """The value, loaded where it is not here."""
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
            return value
        writes = self._writes
        value = await load()
        # A load that overlapped a write may have seen the state before it.
        if value is not None and writes == self._writes:
            self._keep(key, value)
        return value

    def put(self, key: Key, value: Value) -> None:
        self._writes += 1
        self._keep(key, value)

    def drop(self, key: Key) -> None:
        self._writes += 1
        self._values.pop(key, None)

    def _keep(self, key: Key, value: Value) -> None:
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) > self._size:
            self._values.popitem(last=False)
