"""Telegram Desktop's `result.json`: one chat, or a full export with `chats` and `left_chats` (spec §7.4).

The document is walked in one pass, one entry in memory at a time. Where a chat's name stands behind its messages, or the
account behind the chats, as in files that other programs sorted, the heads are read in a pass before.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from sealkeep_protocol.errors import SourceError
from sealkeep_protocol.records import Contact, ContactKey, Conversation, ConversationKey, ConversationType

from ._fit import INT_MAX, INT_MIN, SHORT, bounded, bounded_entity, fitted, mark_fits, whole_pairs
from ._json import JsonReader
from ._model import BATCH, Batch, Export, Problem
from ._source import Source
from ._telegram_entry import Chat, EntryError, MessageValues, columns_of, values_of

APP = "telegram"

# Chat type -> class of the peer's id, type of the conversation, and the title of a chat that has none in the format.
_TYPES = {
    "personal_chat": ("user", ConversationType.ONE_TO_ONE),
    "bot_chat": ("user", ConversationType.BOT),
    "saved_messages": ("user", ConversationType.NOTES),
    "replies": ("user", ConversationType.UNKNOWN),
    "verification_codes": ("user", ConversationType.UNKNOWN),
    "private_group": ("chat", ConversationType.GROUP),
    "private_supergroup": ("channel", ConversationType.GROUP),
    "public_supergroup": ("channel", ConversationType.GROUP),
    "private_channel": ("channel", ConversationType.CHANNEL),
    "public_channel": ("channel", ConversationType.CHANNEL),
}
_TITLES = {"saved_messages": "Saved Messages", "replies": "Replies", "verification_codes": "Verification Codes"}
_LISTS = ("chats", "left_chats")
_MAX_EXTENSION = 48_000  # bytes of JSON that surely leave room for the rest of a record
_MAX_NAME = 4_096
_MAX_AUTHORS = 50_000  # kept in memory; beyond, contacts are told in parts


class TelegramExport(Export):
    """One `result.json`."""

    app = APP

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self._source = source

    def batches(self, size: int = BATCH) -> Iterator[Batch]:
        with self._source.open() as stream:
            yield from _Walk(self._source, JsonReader(stream), size).run()


class _Heads:
    """What a pass over the whole file finds beside the messages: the account, and each chat's keys in order."""

    def __init__(self, source: Source) -> None:
        self.account: Any = None
        self.chats: list[dict[str, Any]] = []
        with source.open() as stream:
            reader = JsonReader(stream)
            single: dict[str, Any] = {}
            for key in reader.object():
                if key == "personal_information":
                    self.account = reader.value()
                elif key in _LISTS and reader.peek() == "{":
                    for part in reader.object():
                        if part == "list" and reader.peek() == "[":
                            self._read_list(reader)
                        else:
                            reader.skip()
                elif key in ("name", "type", "id"):
                    single[key] = reader.value()
                else:
                    reader.skip()
            self.single = single

    def _read_list(self, reader: JsonReader) -> None:
        for _ in reader.array():
            head: dict[str, Any] = {}
            self.chats.append(head)
            if reader.peek() != "{":
                reader.skip()
                continue
            for key in reader.object():
                if key == "messages":
                    reader.skip()
                else:
                    head[key] = reader.value()


class _Walk:
    """One pass over the document."""

    def __init__(self, source: Source, reader: JsonReader, size: int) -> None:
        self._source = source
        self._reader = reader
        self._size = size
        self._batch = Batch()
        self._rows: list[MessageValues] = []  # the batch's messages
        self._heads: _Heads | None = None
        self._account: dict[str, Any] = {}
        self._scope = ""
        self._own: str | None = None
        self._authors: dict[str, dict[str, list[Any]]] = {}
        self._saved: dict[str, dict[str, Any]] = {}
        self._rest: dict[str, Any] = {}
        self._chats = 0
        self._taken = 0
        self._is_sought = False

    def run(self) -> Iterator[Batch]:
        reader = self._reader
        if reader.peek() != "{":
            raise SourceError(f"{self._source.path}: not a Telegram export", path=self._source.path)
        single: dict[str, Any] = {}
        for key in reader.object():
            if key == "personal_information":
                self._know_account(reader.value())
            elif key in _LISTS and reader.peek() == "{":
                for part in reader.object():
                    if part == "list" and reader.peek() == "[":
                        for _ in reader.array():
                            yield from self._listed(is_left=key == "left_chats")
                    else:
                        self._keep_rest(f"{key}.{part}", reader.value())
            elif key == "messages" and reader.peek() == "[":
                if not {"id", "type"} <= single.keys():
                    single |= self._all_heads().single
                if type(single.get("id")) is not int:
                    raise SourceError(
                        f"{self._source.path}: JSON, but not a Telegram export: the chat has no number",
                        path=self._source.path,
                    )
                yield from self._chat(single, is_left=False)
            elif key == "contacts":
                self._know_contacts(reader.value())
            elif key in ("name", "type", "id"):
                single[key] = reader.value()
            else:
                self._keep_rest(key, reader.value())
        reader.finish()
        if not self._chats:
            raise SourceError(
                f"{self._source.path}: this Telegram export holds no chats; choose chats in the export's settings",
                path=self._source.path,
            )
        if self._batch.problems and not self._taken:
            raise SourceError(
                f"{self._source.path}: no entry of it can be read ({self._batch.problems[0].reason}); "
                "export the chats again",
                path=self._source.path,
            )
        if self._rows:
            yield self._flush()  # to be stored while there is still something to be made
        self._tell_account()
        self._tell_authors()
        yield self._flush()

    def _flush(self) -> Batch:
        batch, self._batch = self._batch, Batch()
        rows, self._rows = self._rows, []
        batch.messages = columns_of(rows)
        batch.position = self._reader.position
        return batch

    def _problem(self, line: int | None, reason: str) -> None:
        self._batch.problems.append(Problem(self._source.path, line, reason))

    def _all_heads(self) -> _Heads:
        if self._heads is None:
            self._heads = _Heads(self._source)
        return self._heads

    # --- the account and its contacts

    def _know_account(self, account: Any) -> None:
        if type(account) is not dict or type(account.get("user_id")) is not int:
            self._keep_rest("personal_information", account)
            return
        self._account = whole_pairs(account)
        self._scope = str(account["user_id"])
        self._own = f"user{account['user_id']}"

    def _need_account(self) -> None:
        """The scope of ids has to be known before the first message, wherever the account stands in the file."""
        if self._own is not None or self._is_sought:
            return
        self._is_sought = True
        marker = b'"personal_information"'
        with self._source.open() as stream:
            tail = b""
            while chunk := stream.read(1 << 20):
                if marker in tail + chunk:
                    if type(self._all_heads().account) is dict:
                        self._know_account(self._all_heads().account)
                    return
                tail = chunk[-len(marker) :]

    def _know_contacts(self, contacts: Any) -> None:
        """The address book: kept by user id; entries without one have nobody to belong to and are told as left out."""
        if type(contacts) is not dict or type(contacts.get("list")) is not list:
            self._keep_rest("contacts", contacts)
            return
        strays = 0
        for contact in whole_pairs(contacts["list"]):
            if type(contact) is dict and type(contact.get("user_id")) is int:
                self._saved[f"user{contact.pop('user_id')}"] = contact
            else:
                strays += 1
        if strays:
            self._problem(None, f"{strays} saved contacts without a Telegram account: left out")

    def _keep_rest(self, key: str, value: Any) -> None:
        """A part of the export that is no chat: kept with the account's own contact, where it has one and room."""
        if key.rpartition(".")[2] == "about":
            self._batch.left_out.append(key)
        else:
            self._rest[key] = whole_pairs(value)

    def _tell_account(self) -> None:
        """The account's own contact, with all that the export says of the account."""
        if self._own is None:
            self._batch.left_out.extend(self._rest)
            return
        extension: dict[str, Any] = {}
        room = _MAX_EXTENSION
        for key, value in self._rest.items():
            taken = len(json.dumps(value)) + len(key)
            if taken > room:
                self._batch.left_out.append(key)
                continue
            room -= taken
            extension[key] = fitted(value)
        self._saved[self._own] = {"personal_information": self._account, **extension}

    def _tell_authors(self) -> None:
        """One contact for everybody who wrote, was saved, or is the account itself."""
        authors, self._authors = self._authors, {}
        saved, self._saved = self._saved, {}
        for author in saved:
            authors.setdefault(self._scope, {}).setdefault(author, [None, 0])
        for scope, names in authors.items():
            for author, (name, newest) in names.items():
                known = saved.get(author) if scope == self._scope else None
                contact: Contact | None
                contact, reason = _contact(ContactKey(APP, scope, author), name, newest, known), None
                if known is not None or len(author) > _MAX_NAME:  # others are short
                    contact, reason = bounded_entity(contact)
                if reason is not None:
                    self._problem(None, f"a contact: {reason}")
                if contact is not None:
                    self._batch.contacts.append(contact)

    # --- chats

    def _listed(self, *, is_left: bool) -> Iterator[Batch]:
        """One element of `chats.list`."""
        reader = self._reader
        self._need_account()
        index = self._chats
        if reader.peek() != "{":
            self._chats += 1
            self._problem(reader.line, "a chat that is no object: left out")
            reader.skip()
            return
        head: dict[str, Any] = {}
        late: list[str] = []  # keys that came when the conversation was told already
        has_messages = False
        for key in reader.object():
            if key == "messages" and reader.peek() == "[":
                has_messages = True
                if not {"id", "type"} <= head.keys():
                    heads = self._all_heads().chats
                    head = heads[index] if index < len(heads) else head
                yield from self._chat(dict(head), is_left=is_left)
            else:
                value = reader.value()
                if has_messages and key not in head:
                    late.append(f"{'left_chats' if is_left else 'chats'}.list.{key}")
                head[key] = value
        self._batch.left_out += late
        if not has_messages:
            self._chats += 1
            self._problem(reader.line, "a chat without messages: left out")

    def _chat(self, head: dict[str, Any], *, is_left: bool) -> Iterator[Batch]:
        """The messages of one chat, then its conversation."""
        reader = self._reader
        self._need_account()
        self._chats += 1
        head = whole_pairs(head)
        chat = self._open_chat(head)
        if chat is None:
            self._problem(reader.line, "a chat without a number: left out")
            reader.skip()
            return
        batch, rows, size, path = self._batch, self._rows, self._size, self._source.path
        for entry in reader.values():
            try:
                if reader.surrogates:
                    entry, damaged = whole_pairs(entry), entry
                    if entry != damaged:
                        batch.problems.append(Problem(path, reader.line, "half a character: replaced"))
                values, marks = chat.read(entry)
                batch.characters += reader.length
                if reader.length > SHORT:
                    whole, reason = bounded(columns_of([values])[0])
                    if reason:
                        batch.problems.append(Problem(path, reader.line, reason))
                    if whole is None:
                        continue
                    values = values_of(whole)
                    if marks and not all(mark_fits(mark.mark) for mark in marks):
                        marks = [mark for mark in marks if mark_fits(mark.mark)]
                        reason = "a reaction that is longer than a record may be (64 KiB): left out"
                        batch.problems.append(Problem(path, reader.line, reason))
            except EntryError as error:
                batch.problems.append(Problem(path, reader.line, f"{error}: left out"))
                continue
            except RecursionError:
                batch.problems.append(Problem(path, reader.line, "an entry that is nested too deeply: left out"))
                continue
            rows.append(values)
            self._taken += 1
            if marks:
                batch.marks += marks
            if len(rows) + len(batch.marks) >= size or batch.is_full(size):
                yield self._flush()
                batch, rows = self._batch, self._rows
        conversation, reason = bounded_entity(_conversation(chat, head, is_left=is_left))
        if reason is not None:
            self._problem(reader.line, f"a chat's own keys: {reason}")
        if conversation is not None:
            batch.conversations.append(conversation)
        if sum(map(len, self._authors.values())) > _MAX_AUTHORS:
            self._tell_authors()

    def _open_chat(self, head: dict[str, Any]) -> Chat | None:
        ident, chat_type = head.get("id"), head.get("type")
        if type(ident) is not int or not INT_MIN <= ident <= INT_MAX:
            return None
        peer_class = _TYPES[chat_type][0] if type(chat_type) is str and chat_type in _TYPES else "unknown"
        # §7.4: ids of users' and groups' messages count per account, those of channels per channel.
        scope = "" if peer_class == "channel" else self._scope
        peer = f"user{ident}" if chat_type in ("personal_chat", "bot_chat") else None
        chat = Chat(ConversationKey(APP, scope, f"{peer_class}:{ident}"), own=self._own, peer=peer)
        chat.authors = self._authors.setdefault(scope, {})
        return chat


def _conversation(chat: Chat, head: dict[str, Any], *, is_left: bool) -> Conversation:
    """A chat as a conversation; `type`, and whatever else the head says, is in the extension."""
    rest = {key: value for key, value in head.items() if key not in ("id", "messages")}
    name, chat_type = rest.get("name"), rest.get("type")
    known = chat_type if type(chat_type) is str else ""
    title = _TITLES.get(known, "")
    if type(name) is str and len(name) <= _MAX_NAME:
        title = name
        del rest["name"]
    if is_left:
        rest["left"] = True
    conversation_type = _TYPES[known][1] if known in _TYPES else ConversationType.UNKNOWN
    extension = {key: fitted(value) for key, value in rest.items()}
    return Conversation(chat.key, title, int(conversation_type), chat.newest, extension or None)


def _contact(key: ContactKey, name: str | None, newest: int, saved: dict[str, Any] | None) -> Contact:
    """A contact: its name as messages show it, and what the address book or the account says."""
    if saved is None:
        return Contact(key, name=name[:_MAX_NAME] if name else None, rank=newest)
    person = saved.get("personal_information", saved)
    full = " ".join(part for part in (person.get("first_name"), person.get("last_name")) if part and type(part) is str)
    alias = person.get("username")
    fields = {part: fitted(value) for part, value in saved.items()}
    return Contact(
        key,
        name=(name or full or "")[:_MAX_NAME] or None,
        alias=alias if type(alias) is str and len(alias) <= _MAX_NAME else None,
        rank=newest,
        extension=fields or None,
    )
