"""What a transaction changed, for whoever shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

MOST = 256
"""Messages of one conversation that are named one by one; beyond, a reader loads the conversation again."""


@dataclass(slots=True)
class Changes:
    """What one transaction changed. `messages`: by conversation (its id), ids of messages, or None: too many to name.

    `conversations` are those whose own record changed, or that got their first message.
    """

    messages: dict[bytes, set[bytes] | None] = field(default_factory=dict)
    conversations: set[bytes] = field(default_factory=set)
    contacts: bool = False
    outbox: bool = False

    def __bool__(self) -> bool:
        return bool(self.messages or self.conversations or self.contacts or self.outbox)

    def touch(self, conversation: bytes, ids: Iterable[bytes]) -> None:
        """Note messages of a conversation."""
        known = self.messages.setdefault(conversation, set())
        if known is None:
            return
        known.update(ids)
        if len(known) > MOST:
            self.messages[conversation] = None

    def touch_all(self, conversation: bytes) -> None:
        """Note that too many messages of a conversation changed to name them."""
        self.messages[conversation] = None


Listener = Callable[[Changes], None]


class Tracker:
    """Gathers the changes of the open transaction and tells them when it is committed, all at once."""

    __slots__ = ("_listeners", "now")

    def __init__(self) -> None:
        self.now = Changes()
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` after each commit that changed something, on the committing thread; returns how to stop."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener) if listener in self._listeners else None

    def committed(self) -> None:
        """Tell and forget."""
        changes, self.now = self.now, Changes()
        if changes:
            for listener in tuple(self._listeners):
                listener(changes)

    def rolled_back(self) -> None:
        """Forget."""
        self.now = Changes()
