"""Reading what this device has: conversations, their history, single records, search."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import islice
from typing import Final

from sealkeep_client.vault._core import Core
from sealkeep_client.vault._shown import Shown, show_chat
from sealkeep_client.vault._types import Chat, Record

_HITS: Final = 50
_ID: Final = 16  # bytes
_LIKE: Final = 8  # records


class Reading:
    """The methods of `Vault` that read; each is described there."""

    def __init__(self, core: Core, shown: Shown) -> None:
        self._core = core
        self._shown = shown

    async def conversations(self) -> list[Chat]:
        def load() -> list[Chat]:
            store = self._core.store
            awaited = store.awaited.by_conversation()
            chats = [show_chat(view, awaited=awaited.of(view.id)) for view in store.views.conversations()]
            return sorted(chats, key=lambda chat: (-(chat.last or -(1 << 62)), chat.id))

        return await self._core.in_store(load)

    async def history(self, chat: Chat, *, before: Record | None, limit: int) -> AsyncIterator[list[Record]]:
        views = self._core.store.views
        place = before.place if before is not None else None
        while True:
            entries = await self._core.in_store(
                lambda place=place: self._shown.records(  # type: ignore[misc]
                    views.history(chat.id, before=place, limit=limit)
                )
            )
            if not entries:
                return
            yield entries
            place = entries[0].place

    async def record(self, identifier: bytes) -> Record | None:
        return await self._core.in_store(lambda: self._shown.find(identifier))

    async def records_like(self, beginning: str) -> list[Record]:
        low, high = beginning.ljust(2 * _ID, "0"), beginning.ljust(2 * _ID, "f")
        try:
            first, last = bytes.fromhex(low), bytes.fromhex(high)
        except ValueError:
            return []
        if len(first) != _ID:
            return []
        return await self._core.in_store(
            lambda: self._shown.records(self._core.store.views.between(first, last, _LIKE))
        )

    async def search(self, words: str, *, chat: Chat | None, limit: int | None) -> AsyncIterator[Record]:
        views = self._core.store.views
        hits = await self._core.in_store(
            lambda: views.search(words, conversation=chat.id if chat else None, limit=limit)
        )
        while page := await self._core.in_store(lambda: self._shown.records(islice(hits, _HITS))):
            for record in page:
                yield record
