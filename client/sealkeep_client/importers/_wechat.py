"""WeChat exports of WeChatMsg and MemoTrace: CSV files with the columns `localId, TalkerId, Type, …, Sender` (spec §7.4).

One file is one chat, in a folder `nick(wxid)` or alone; a file of all one-to-one chats is told apart by its talkers. It is
read twice: first for whom it is with and whether it is in order, then for its messages.

What changes from one export to the next without a message having changed never enters an id: `localId` and `Status` stay
in the message's extension map and are named volatile, `TalkerId` is only compared inside one file and kept with the
conversation, and remark and nick belong to the sender's contact.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from hashlib import sha256

from sealkeep_protocol.errors import SourceError
from sealkeep_protocol.records import (
    Attachment,
    Contact,
    ContactKey,
    Conversation,
    ConversationKey,
    ConversationType,
    Direction,
    Kind,
    Message,
    Value,
)

from ._csv import Row, rows
from ._fit import bounded, bounded_entity
from ._model import BATCH, Batch, Export, Problem
from ._places import Places
from ._source import Source
from ._wechat_content import FOLDERS, SUFFIXES, read_content

APP = "wechat"
REQUIRED = ("Type", "SubType", "IsSender", "CreateTime", "StrContent")
KNOWN = (
    "localId",
    "TalkerId",
    *REQUIRED[:4],
    "Status",
    "StrContent",
    "StrTime",
    "Remark",
    "NickName",
    "Sender",
)
OWN = "self"  # author of one's own lines where the export does not give one's wxid

_FOLDER = re.compile(r"\A(?P<nick>.*)\((?P<wxid>[^()]+)\)\Z", re.DOTALL)
_EPOCH = datetime(1970, 1, 1)  # naive: civil times are reckoned as if they were UTC
_SHORT = 4_000  # characters of a row that fit into a record however often they stand in it
_MAX_NAME = 4_096
_MAX_TIME = 253_000_000_000  # seconds; the year 9987


def columns(header: list[str]) -> dict[str, int] | None:
    """Where the columns are, by name; None where this is not such a file's first row."""
    found = {name.strip(): index for index, name in enumerate(header)}
    return found if all(name in found for name in REQUIRED) else None


class WeChatExport(Export):
    """One CSV file."""

    app = APP
    volatile = frozenset({"localId", "Status"})

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self._source = source

    def places(self, attachment: Attachment) -> Iterator[str]:
        """The exporters put files into a folder for each kind, under their name, or their MD5 and a suffix."""
        name = attachment.name
        if name is None or "/" in name or "\\" in name:
            return
        for folder in FOLDERS.get(attachment.role, ()):
            yield f"{folder}/{name}"
            for suffix in SUFFIXES.get(attachment.role, ()):
                yield f"{folder}/{name}{suffix}"

    def batches(self, size: int = BATCH) -> Iterator[Batch]:
        survey = _Survey(self._source)
        with self._source.open() as stream:
            all_rows = rows(stream, survey.fewest)
            next(all_rows, None)
            reading = _Reading(self._source, survey)
            if survey.is_empty:
                reading.batch.problems.append(Problem(self.path, None, "holds no messages"))
            for row in all_rows:
                reading.take(row)
                if reading.batch.is_full(size):
                    reading.batch.position = stream.position
                    batch, reading.batch = reading.batch, Batch()
                    yield batch
            reading.tell()
            reading.batch.position = stream.position
            yield reading.batch


class _Survey:
    """What the first pass finds: the columns, whom the file is with, and whether its times only grow."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.is_sorted = True
        # talker -> the senders of what was received from it
        self.senders: dict[str, set[str]] = {}
        with source.open() as stream:
            self._read(source, rows(stream, 1))
        folder = next((match for part in (source.stem, *source.parents[:1]) if (match := _FOLDER.match(part))), None)
        self.nick = folder["nick"] if folder else None
        self._wxid = folder["wxid"] if folder else None
        self._peers = {talker: self._peer(talker) for talker in self.senders}

    def _read(self, source: Source, all_rows: Iterator[Row]) -> None:
        first = next(all_rows, None)
        found = columns(first.cells) if first else None
        if found is None:
            raise SourceError(
                f"{source.path}: not a WeChat export: its first line has no such columns", path=source.path
            )
        self.columns = found
        self.fewest = max(found[name] for name in REQUIRED) + 1
        talker, sender, kind = (found.get(name) for name in ("TalkerId", "Sender", "Type"))
        sent, time = found["IsSender"], found["CreateTime"]
        last = taken = spoilt = timed = 0
        for _, cells, _ in all_rows:
            if len(cells) < self.fewest:
                continue
            taken += 1
            spoilt += not _is_text(cells)
            moment = _seconds(cells[time])
            if moment is not None:
                timed += 1
                self.is_sorted &= moment >= last
                last = moment
            senders = self.senders.setdefault(_cell(cells, talker), set())
            name = _cell(cells, sender)
            if name and cells[sent] == "0" and _cell(cells, kind) not in ("10000", "10002"):
                senders.add(name)
        if taken and not timed:
            raise SourceError(f"{source.path}: no line of it can be read; export the chat again", path=source.path)
        self.is_empty = not taken
        if spoilt and spoilt > taken // 10:
            raise SourceError(
                f"{source.path}: not UTF-8; export it again, or save it as UTF-8 in a text editor", path=source.path
            )

    def peer(self, talker: str) -> str | None:
        """Whom the lines of this talker are with; None where only rows name him that the first pass read otherwise."""
        return self._peers.get(talker) or self._wxid

    def _peer(self, talker: str) -> str:
        if self._wxid:
            return self._wxid
        senders = self.senders[talker]
        if len(senders) == 1:
            return next(iter(senders))
        if len(self.senders) == 1:
            return self.source.stem
        raise SourceError(
            f"{self.source.path}: several chats, and not clear whose; export each chat to a file of its own",
            path=self.source.path,
        )


class _Reading:
    """The second pass."""

    def __init__(self, source: Source, survey: _Survey) -> None:
        self.batch = Batch()
        self._path = source.path
        self._survey = survey
        self._columns = survey.columns
        self._extra = [(name, index) for name, index in survey.columns.items() if name not in KNOWN and name]
        self._width = len(survey.columns)
        self._places = Places(survey.is_sorted)
        # sender -> [remark, nick, time of the newest message]
        self._people: dict[str, tuple[str, str, int]] = {}
        # peer -> (key, talkers, time of the newest message)
        self._chats: dict[str, tuple[ConversationKey, set[str], int]] = {}

    def take(self, row: Row) -> None:
        """Add one row to the batch: a message or a problem."""
        line, cells, reason = row
        self.batch.characters += sum(map(len, cells))
        if reason is None:
            reason = self._message(line, cells)
        if reason is not None:
            self.batch.problems.append(Problem(self._path, line, f"{reason}: left out"))

    def _message(self, line: int, cells: list[str]) -> str | None:
        at = self._columns
        kind_number, sub = _whole(cells[at["Type"]]), _whole(cells[at["SubType"]] or "0")
        seconds = _seconds(cells[at["CreateTime"]])
        content, sent = cells[at["StrContent"]], cells[at["IsSender"]]
        if kind_number is None or sub is None:
            return "a type that is no number"
        if seconds is None:
            return "a time that is no number of seconds"
        if sent not in ("0", "1"):
            return "neither sent nor received"
        if not _is_text(cells):
            return "not UTF-8"
        talker = _cell(cells, at.get("TalkerId"))
        peer = self._survey.peer(talker)
        if peer is None:
            return "not clear whose chat it is"
        sender = _cell(cells, at.get("Sender"))
        is_group = peer.endswith("@chatroom")
        if not sender and sent == "0" and not is_group and kind_number not in (10000, 10002):
            sender = peer  # a one-to-one chat has no other
        digest = sha256(content.encode()).digest()
        same = (peer, seconds, sender, kind_number, sub, digest)
        rank, equal = self._places.take(seconds, same)
        key = self._conversation(peer, talker, seconds * 1000)
        extension: dict[str, Value] = {}
        offset = self._offset(_cell(cells, at.get("StrTime")), seconds, extension)
        for name in ("localId", "Status"):
            if value := _cell(cells, at.get(name)):
                whole = _whole(value)
                extension[name] = value if whole is None else whole
        for name, index in self._extra:
            if value := _cell(cells, index):
                extension[name] = value
        if len(cells) > self._width:
            extension["more"] = list(cells[self._width :])
        self._person(cells, sender, seconds * 1000, extension)
        read = read_content(kind_number, sub, content)
        if read.raw is not None:
            extension["StrContent"] = read.raw
        message: Message | None = Message(
            conversation=key,
            time=seconds * 1000,
            kind=int(read.kind),
            # §7.4: [CreateTime, Sender, Type, SubType, SHA-256(StrContent), k]
            source=(seconds, sender, kind_number, sub, digest, equal),
            offset=offset,
            rank=rank,
            author=sender or (OWN if sent == "1" and read.kind is not Kind.SERVICE else None),
            direction=int(Direction.SENT if sent == "1" else Direction.RECEIVED),
            text=read.text,
            attachments=read.attachments,
            quote=read.quote,
            details=read.details,
            extension=extension or None,
        )
        if sum(map(len, cells)) > _SHORT and message is not None:
            message, reason = bounded(message)
            if message is None:
                return "longer than a record may be (64 KiB)"
            if reason is not None:
                self.batch.problems.append(Problem(self._path, line, reason))
        if message is not None:
            self.batch.add(message)
        return None

    def _offset(self, shown: str, seconds: int, extension: dict[str, Value]) -> int:
        """Minutes east of UTC that turn the time into the one shown; a shown time that none turns it into is kept."""
        try:
            since = datetime.fromisoformat(shown) - _EPOCH if shown else None
        except (ValueError, TypeError):
            since = None
        if since is not None and len(shown) == 19 and shown[10] == " ":
            offset, odd = divmod(since.days * 86_400 + since.seconds - seconds, 60)
            if not odd and -1439 <= offset <= 1439:
                return offset
        if shown:
            extension["StrTime"] = shown
        return 0

    def _person(self, cells: list[str], sender: str, time: int, extension: dict[str, Value]) -> None:
        """Remark and nick make the sender's contact; a row that says another one keeps it."""
        remark, nick = (_cell(cells, self._columns.get(name)) for name in ("Remark", "NickName"))
        if not sender:
            extension.update((name, value) for name, value in (("Remark", remark), ("NickName", nick)) if value)
            return
        known = self._people.get(sender)
        if known is None or (known[0] == remark and known[1] == nick):
            self._people[sender] = (remark, nick, max(time, known[2] if known else 0))
        elif remark or nick:
            extension["Remark"], extension["NickName"] = remark, nick

    def _conversation(self, peer: str, talker: str, time: int) -> ConversationKey:
        known = self._chats.get(peer)
        if known is None:
            known = (ConversationKey(APP, "", peer), set(), time)
        known[1].add(talker)
        self._chats[peer] = (known[0], known[1], max(time, known[2]))
        return known[0]

    def tell(self) -> None:
        """The contacts and conversations of what was read."""
        for sender, (remark, nick, newest) in self._people.items():
            key = ContactKey(APP, "", sender)
            contact, reason = bounded_entity(
                Contact(key, name=nick[:_MAX_NAME] or None, remark=remark[:_MAX_NAME] or None, rank=newest)
            )
            self._tell_reason("a contact", reason)
            if contact is not None:
                self.batch.contacts.append(contact)
        for peer, (conversation, talkers, newest) in self._chats.items():
            remark, nick, _ = self._people.get(peer, ("", "", 0))
            title = self._survey.nick or remark or nick or self._survey.source.stem
            talkers.discard("")
            received = self._survey.senders
            is_group = peer.endswith("@chatroom") or any(len(received.get(talker, ())) > 1 for talker in talkers)
            told, reason = bounded_entity(
                Conversation(
                    conversation,
                    title[:_MAX_NAME],
                    int(ConversationType.GROUP if is_group else ConversationType.ONE_TO_ONE),
                    newest,
                    {"TalkerId": sorted(talkers)} if talkers else None,
                )
            )
            self._tell_reason("a chat", reason)
            if told is not None:
                self.batch.conversations.append(told)

    def _tell_reason(self, what: str, reason: str | None) -> None:
        if reason is not None:
            self.batch.problems.append(Problem(self._path, None, f"{what}: {reason}"))


def _cell(cells: list[str], index: int | None) -> str:
    return cells[index] if index is not None and index < len(cells) else ""


def _is_text(cells: list[str]) -> bool:
    """Whether the bytes were UTF-8: others have become lone surrogates."""
    try:
        "".join(cells).encode()
    except UnicodeEncodeError:
        return False
    return True


def _whole(text: str) -> int | None:
    """The number that a cell is, where it reads exactly as the number is written."""
    if len(text) > 18 or not (text.isascii() and text.removeprefix("-").isdecimal()):
        return None
    number = int(text)
    return number if str(number) == text else None


def _seconds(text: str) -> int | None:
    number = _whole(text)
    return number if number is not None and 0 < number < _MAX_TIME else None
