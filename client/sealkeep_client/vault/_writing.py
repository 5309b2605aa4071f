"""Writing on this device: conversations and messages."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from sealkeep_client.store import UploadClass
from sealkeep_client.vault._core import Core
from sealkeep_client.vault._files import Files, describe, role_of
from sealkeep_client.vault._shown import Shown, show_chat
from sealkeep_client.vault._types import Chat, Draft, OnProgress, Record
from sealkeep_protocol.errors import UsageError
from sealkeep_protocol.records import (
    Attachment,
    AttachmentState,
    Conversation,
    ConversationKey,
    ConversationType,
    Kind,
    Mark,
    MarkType,
    Message,
    NativeIdentity,
    SourceIdentity,
    encode_body,
)


class Writing:
    """The methods of `Vault` that write; each is described there. `written` is called after a message was added."""

    def __init__(self, core: Core, shown: Shown, files: Files, written: Callable[[], None]) -> None:
        self._core = core
        self._shown = shown
        self._files = files
        self._written = written

    async def conversation(self, name: str, *, title: str | None, type: ConversationType) -> Chat:
        app, colon, source = name.partition(":")
        if not (app and colon and source):
            raise UsageError("a conversation is named app:identifier, for example telegram:user:42")
        key = ConversationKey(app, "", source)
        return await self._core.in_store(lambda: self._open_conversation(key, title, type))

    def _open_conversation(self, key: ConversationKey, title: str | None, kind: ConversationType) -> Chat:
        store = self._core.store
        found = store.views.conversation(store.ids.conversation(key))
        known = found.record if found is not None and isinstance(found.record, Conversation) else None
        wanted = Conversation(
            key=key,
            title=title or (known.title if known else key.source),
            type=kind or (known.type if known else ConversationType.UNKNOWN),
            # The newest rank counts: also within one millisecond, and where the clock went back.
            rank=max(self._core.sources.now(), known.rank + 1 if known else 0),
            extension=known.extension if known else None,
        )
        if known is None or (wanted.title, wanted.type) != (known.title, known.type):
            with _fitting():
                encode_body(conversations=[wanted])
            store.put(conversations=[wanted], upload=UploadClass.LIVE)
            found = store.views.conversation(store.ids.conversation(key))
        if found is None:
            raise UsageError("the conversation could not be made")
        return show_chat(found)

    async def append(
        self,
        chat: Chat,
        content: Draft,
        *,
        source: SourceIdentity | None,
        files: Sequence[Path],
        progress: OnProgress | None,
    ) -> Record:
        for path in files:
            attachment = describe(path, await self._files.take_in(path, progress))
            kind = role_of(attachment.media_type)[1]
            if content.kind == Kind.TEXT and not content.text and not content.attachments:
                content = replace(content, kind=kind)
            content = replace(content, attachments=(*(content.attachments or ()), attachment))
        record = await self._core.in_store(lambda: self._append(chat, content, source))
        self._written()
        return record

    def _append(self, chat: Chat, content: Draft, source: SourceIdentity | None) -> Record:
        store, local, now = self._core.store, self._core.local, self._core.sources.now()
        with store.transaction():
            native = None
            stamp = local.clock.stamp(now)
            if source is None:
                native = NativeIdentity(local.account.device, stamp, self._core.sources.random(16), 0)
                local.put("clock", local.clock.last)
            message = Message(
                conversation=chat.key,
                time=now if content.time is None else content.time,
                kind=content.kind,
                source=source,
                native=native,
                precision=content.precision,
                rank=stamp & 0xFFFF if content.time is None else 0,  # the order within a millisecond of now
                offset=content.offset,
                received=content.received,
                author=content.author,
                author_name=content.author_name,
                direction=content.direction,
                text=content.text,
                ranges=content.ranges,
                reply_to=content.reply_to,
                attachments=_named(content.attachments),
                details=content.details,
                extension=content.extension,
            )
            if source is not None and content.time is None:
                message = self._timed_as_before(message)
            with _fitting():
                encode_body(messages=[message])
            store.put([message], marks=self._stored(message, content), upload=UploadClass.LIVE)
        entry = store.views.message(store.ids.message(message))
        if entry is None:
            raise UsageError("the message could not be added")
        return self._shown.record(entry)

    def _stored(self, message: Message, content: Draft) -> list[Mark]:
        """What says that files of a message are stored: each by itself, once it is at the relay."""
        store = self._core.store
        target = store.ids.message(message)
        stored = [one for one in content.attachments or () if one.root is not None]
        for one in stored:
            root = one.root or b""
            if not store.media.is_whole(root) and not store.records.has(root):
                raise UsageError("a file that is to be sent along is not on this device, nor is it known where it is")
        return [Mark(MarkType.SUPPLEMENT, target, attachments=(one,)) for one in stored]

    def _timed_as_before(self, message: Message) -> Message:
        """The message at the time at which it was added first, if it was: the same call says nothing new."""
        with _fitting():
            known = self._core.store.views.message(self._core.store.ids.message(message))
        if known is None:
            return message
        before = known.view.message
        return replace(message, time=before.time, precision=before.precision, offset=before.offset, rank=before.rank)


def _named(attachments: tuple[Attachment, ...] | None) -> tuple[Attachment, ...] | None:
    """Attachments as the message itself names them: it does not wait for their contents."""
    if attachments is None:
        return None
    return tuple(
        one if one.root is None else replace(one, state=AttachmentState.NAMED, root=None) for one in attachments
    )


@contextlib.contextmanager
def _fitting() -> Iterator[None]:
    """What no record can hold is a mistake of the caller."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise UsageError(f"this cannot be kept: {error}") from error
