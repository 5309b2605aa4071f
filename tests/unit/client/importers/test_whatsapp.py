"""WhatsApp text: patterns of locales, day and month, the app's own lines, overlaps (spec §7.4)."""

from __future__ import annotations

import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealkeep_client.importers import Problem, open_exports
from sealkeep_client.importers._whatsapp_dates import read_header
from sealkeep_protocol.errors import SourceError
from sealkeep_protocol.records import AttachmentState, ConversationType, Kind, Message, RangeType, message_to_fields
from support.exports_whatsapp import us, write_whatsapp


def _write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _utc(*parts: int) -> int:
    return int(datetime(*parts, tzinfo=UTC).timestamp() * 1000)  # type: ignore[arg-type,misc]


def _ids(messages: list[Message]) -> list[Any]:
    return [(message.conversation, message.source) for message in messages]


def _line(problem: Problem) -> int:
    return problem.line or 0


def test_every_kind_of_line(tmp_path: Path, read: Any) -> None:
    for written in write_whatsapp(tmp_path):
        batch = read(written.path)
        assert batch.problems == []
        assert [conversation.title for conversation in batch.conversations] == [written.entries[0].chat]
        for message, expected in zip(batch.messages, written.entries, strict=True):
            assert (message.kind, message.author, message.text) == (expected.kind, expected.author, expected.text)
            assert (message.time, message.offset) == (expected.milliseconds, None)
            message_to_fields(message)
        assert len(set(_ids(batch.messages))) == len(batch.messages)


def test_a_folder_of_exports(tmp_path: Path, read: Any) -> None:
    written = write_whatsapp(tmp_path)
    (tmp_path / "picture.jpg").write_bytes(b"\xff\xd8\xff")
    assert len(read(tmp_path).messages) == sum(len(part.entries) for part in written)


def test_files_edits_and_mentions(tmp_path: Path, read: Any) -> None:
    messages = read(write_whatsapp(tmp_path)[0].path).messages
    attached = next(message for message in messages if message.text == "our dog").attachments[0]
    assert (attached.name, attached.role, attached.state) == ("00000003-VIDEO-2023.mp4", "video", AttachmentState.NAMED)
    omitted = next(message for message in messages if message.kind == Kind.STICKER).attachments[0]
    assert (omitted.path, omitted.state) == ("sticker omitted", AttachmentState.MISSING)
    edited = next(message for message in messages if message.text == "better")
    assert edited.extension == {"edited": "<This message was edited>"}
    mention = next(message for message in messages if message.ranges)
    assert mention.ranges == ((RangeType.MENTION, 3, 6, None),)


HEADERS = [
    ("[23.12.05, 00:21:07] ", (2005, 12, 23, 0, 21, 7)),
    ("\u200e[23.12.2005, 00:21:07] ", (2005, 12, 23, 0, 21, 7)),
    ("[12/23/05, 12:31:07\u202fAM] ", (2005, 12, 23, 0, 31, 7)),
    ("[12/23/05, 12:31:07 PM] ", (2005, 12, 23, 12, 31, 7)),
    ("[23/12/2005, 9:05:07 p.\u202fm.] ", (2005, 12, 23, 21, 5, 7)),
    ("[2005/12/23 下午9:05:07] ", (2005, 12, 23, 21, 5, 7)),
    ("[2005-12-23, 21:05:07] ", (2005, 12, 23, 21, 5, 7)),
    ("[2005. 12. 23. 오후 9:05:07] ", (2005, 12, 23, 21, 5, 7)),
    ("[23.12.2005 klo 21.05.07] ", (2005, 12, 23, 21, 5, 7)),
    ("[23-12-2005 21:05:07] ", (2005, 12, 23, 21, 5, 7)),
    ("[23/12/2548 21:05:07] ", (2005, 12, 23, 21, 5, 7)),
    ("[٢٣/١٢/٢٠٠٥, ٩:٠٥:٠٧ م] ", (2005, 12, 23, 21, 5, 7)),
    ("12/23/05, 9:05\u202fPM - ", (2005, 12, 23, 21, 5)),
    ("23/12/2005, 21:05 - ", (2005, 12, 23, 21, 5)),
    ("23/12/2005 21:05 - ", (2005, 12, 23, 21, 5)),
    ("23.12.05, 21:05 - ", (2005, 12, 23, 21, 5)),
    ("23.12.2005 klo 21.05 - ", (2005, 12, 23, 21, 5)),
    ("23/12/05, 9:05 pm - ", (2005, 12, 23, 21, 5)),
    ("23/12/2005, 9:05 p. m. - ", (2005, 12, 23, 21, 5)),
    ("2005/12/23 21:05 - ", (2005, 12, 23, 21, 5)),
    ("2005年12月23日 21:05 - ", (2005, 12, 23, 21, 5)),
    ("2005-12-23, 21:05 - ", (2005, 12, 23, 21, 5)),
    ("2005. 12. 23. 21:05 - ", (2005, 12, 23, 21, 5)),
]


@pytest.mark.parametrize(("head", "civil"), HEADERS)
def test_patterns_of_locales(tmp_path: Path, read: Any, head: str, civil: tuple[int, ...]) -> None:
    batch = read(_write(tmp_path / "x.txt", f"{head}Ann: one", "two", f"{head}Ann: three"))
    assert [message.text for message in batch.messages] == ["one\ntwo", "three"]
    assert batch.messages[0].time == _utc(*civil)
    assert batch.messages[0].precision == (1 if len(civil) == 6 else 2)


@pytest.mark.parametrize(
    "line",
    [
        "[25:61] x",
        "12/23/05 hello",
        "[12/23/05] x",
        "1/2/3, 25:00 - A: x",
        "13:00 PM",
        "1/2/05, 14:00 PM - A: x",
        "- a",
    ],
)
def test_what_is_no_header(line: str) -> None:
    assert read_header(line) is None


# --- day and month


def _android(civil: datetime, text: str = "x", form: str = "%d/%m/%Y, %H:%M") -> str:
    return f"{civil.strftime(form)} - Ann: {text}"


def _order(*lines: str, folder: Path, name: str = "x.txt") -> str | None:
    (export,) = open_exports([_write(folder / name, *lines)])
    return export.date_order  # type: ignore[attr-defined,no-any-return]


def test_days_above_twelve_settle(tmp_path: Path) -> None:
    assert _order("01/02/2020, 10:00 - A: x", "13/02/2020, 10:00 - A: x", folder=tmp_path) == "dmy"
    assert _order("02/01/2020, 10:00 - A: x", "02/13/2020, 10:00 - A: x", folder=tmp_path) == "mdy"


def test_the_order_of_lines_settles(tmp_path: Path) -> None:
    assert _order("12/05/2020, 10:00 - A: x", "01/06/2020, 10:00 - A: x", folder=tmp_path) == "dmy"
    assert _order("05/12/2020, 10:00 - A: x", "06/01/2020, 10:00 - A: x", folder=tmp_path) == "mdy"


def test_the_pattern_of_the_locale_settles(tmp_path: Path) -> None:
    assert _order("6/12/05, 1:00\u202fAM - A: x", folder=tmp_path) == "mdy"
    assert _order("06.12.05, 01:00 - A: x", folder=tmp_path) == "dmy"
    assert _order("06-12-2005, 01:00 - A: x", folder=tmp_path) == "dmy"
    assert _order("2005-06-12, 01:00 - A: x", folder=tmp_path) == "ymd"


@pytest.mark.parametrize(
    "line",
    ["6/12/05, 1:00 AM - A: x", "6/12/05, 13:00 - A: x", "06/12/05, 1:00\u202fAM - A: x", "05-06-07, 13:00 - A: x"],
)
def test_what_stays_ambiguous_asks(tmp_path: Path, read: Any, line: str) -> None:
    path = _write(tmp_path / "x.txt", line)
    with pytest.raises(SourceError, match="--date-order") as caught:
        open_exports([path])
    assert "\n" not in str(caught.value)
    assert len(read(path, date_order="dmy").messages) == 1


def test_the_option_settles(tmp_path: Path, read: Any) -> None:
    path = _write(tmp_path / "x.txt", "06/12/2005, 13:00 - A: x")
    assert read(path, date_order="dmy").messages[0].time == _utc(2005, 12, 6, 13)
    assert read(path, date_order="mdy").messages[0].time == _utc(2005, 6, 12, 13)
    with pytest.raises(SourceError, match="--date-order"):
        read(path, date_order="ymd")


def test_the_option_does_not_overrule_the_file(tmp_path: Path, read: Any) -> None:
    path = _write(tmp_path / "x.txt", "23/12/2005, 13:00 - A: x")
    assert read(path, date_order="mdy").messages[0].time == _utc(2005, 12, 23, 13)


def test_other_files_of_the_import_settle(tmp_path: Path, read: Any) -> None:
    open_ = _write(tmp_path / "a.txt", "06/12/2005, 13:00 - A: x")
    clear = _write(tmp_path / "b.txt", "23/12/2005, 13:00 - A: x")
    assert read(open_, clear).messages[0].time == _utc(2005, 12, 6, 13)
    other = _write(tmp_path / "c.txt", "12/23/2005, 13:00 - A: x")
    with pytest.raises(SourceError, match="--date-order"):
        read(open_, clear, other)


@given(
    st.lists(st.integers(0, 60 * 24 * 800), min_size=1, max_size=30),
    st.sampled_from(["%d/%m/%Y", "%m/%d/%Y", "%d/%m/%y"]),
)
def test_an_order_that_is_found_is_the_true_one(tmp_path_factory: Any, minutes: list[int], form: str) -> None:
    folder = tmp_path_factory.mktemp("order")
    times = [datetime(2019, 1, 1) + timedelta(minutes=minute) for minute in sorted(minutes)]
    path = _write(folder / "x.txt", *(_android(time, form=f"{form}, %H:%M") for time in times))
    try:
        (export,) = open_exports([path])
    except SourceError:
        return  # it asks
    got = [message.time for batch in export.batches() for message in batch.messages]
    assert got == [_utc(*time.timetuple()[:5]) for time in times]


# --- titles and senders


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("WhatsApp Chat with Ann & Bob.txt", "Ann & Bob"),
        ("WhatsApp-Chat mit Anna.txt", "Anna"),
        ("Chat de WhatsApp con Ana.txt", "Ana"),
        ("Discussion WhatsApp avec Anne.txt", "Anne"),
        ("Чат WhatsApp с Аней.txt", "Аней"),
        ("与安的WhatsApp聊天.txt", "安"),
        ("whatever.txt", "whatever"),
    ],
)
def test_titles(tmp_path: Path, read: Any, name: str, title: str) -> None:
    batch = read(_write(tmp_path / name, "23/12/2005, 13:00 - A: x"))
    assert batch.conversations[0].title == title
    assert batch.conversations[0].key == ("whatsapp", "", title)


def test_title_of_the_first_ios_line(tmp_path: Path, read: Any) -> None:
    path = _write(tmp_path / "_chat.txt", "[23.12.05, 00:21:00] A: x", "[23.12.05, 00:21:00] #town: \u200eB joined")
    batch = read(path)
    assert batch.conversations[0].title == "#town"
    assert [(message.author, message.kind) for message in batch.messages] == [("A", Kind.TEXT), (None, Kind.SERVICE)]


def test_a_chat_file_without_a_name_takes_its_folders(tmp_path: Path, read: Any) -> None:
    folder = tmp_path / "WhatsApp Chat - Bo"
    folder.mkdir()
    assert read(_write(folder / "_chat.txt", "[23.12.05, 00:21:00] A: x")).conversations[0].title == "Bo"


def test_ios_lines_under_a_persons_name(tmp_path: Path, read: Any) -> None:
    path = _write(
        tmp_path / "WhatsApp Chat - Other.txt",
        "[23.12.05, 00:21:00] Old name: \u200eA created this group",
        "[23.12.05, 00:21:00] B: \u200eB changed the icon",
    )
    first, second = read(path).messages
    assert (first.author, first.details) == (None, {"label": "Old name"})
    assert (second.author, second.kind) == ("B", Kind.SERVICE)


@pytest.mark.parametrize(("labels", "kind"), [(["A"], 0), (["A", "x"], 1), (["A", "B", "C"], 2)])
def test_types_of_conversations(tmp_path: Path, read: Any, labels: list[str], kind: int) -> None:
    batch = read(_write(tmp_path / "x.txt", *(f"23/12/2005, 13:00 - {label}: hi" for label in labels)))
    assert batch.conversations[0].type == ConversationType(kind)


def test_lines_that_only_look_like_headers(tmp_path: Path, read: Any) -> None:
    path = _write(
        tmp_path / "x.txt", "23/12/2005, 13:00 - A: pasted:", "[23.12.05, 00:21:00] B: y", "1/2/05, 3:00 PM - C: z"
    )
    assert len(read(path).messages) == 1


# --- overlaps


def _lines(count: int) -> list[str]:
    start = datetime(2020, 1, 30, 10, 0)
    return [
        _android(start + timedelta(minutes=number // 6), "ok" if number % 2 else f"{number % 3}")
        for number in range(count)
    ]


@given(st.integers(0, 59), st.integers(1, 60))
def test_overlapping_exports_join(tmp_path_factory: Any, begin: int, end: int) -> None:
    folder, lines = tmp_path_factory.mktemp("joined"), _lines(60)

    def ids(part: list[str]) -> dict[Any, int]:
        (export,) = open_exports([_write(folder / "x.txt", *part)])
        return {
            key: message.rank for batch in export.batches() for message in batch.messages for key in _ids([message])
        }

    whole = ids(lines)
    assert len(whole) == 60
    early, late = ids(lines[:end]), ids(lines[begin:])
    assert early.keys() <= whole.keys()
    assert late.keys() <= whole.keys()
    if begin <= end and begin % 6 == 0:  # not in the middle of a minute
        assert early.keys() | late.keys() == whole.keys()


def test_an_export_that_begins_in_a_minute_stays_behind_the_earlier(tmp_path: Path, read: Any) -> None:
    lines = [_android(datetime(2020, 1, 30, 10, 0), text) for text in ("a", "b", "c", "d")]
    lock = "30/01/2020, 10:00 - Messages are encrypted."
    ranks: dict[Any, int] = {}
    for part in ([lock, *lines[:3]], lines[2:]):
        for message in read(_write(tmp_path / "x.txt", *part)).messages:
            ranks[message.text] = max(message.rank, ranks.get(message.text, 0))
    assert sorted(ranks, key=ranks.__getitem__) == [lock[20:], "a", "b", "c", "d"]


def test_platforms_agree_on_ids(tmp_path: Path, read: Any) -> None:
    android = read(
        _write(
            tmp_path / "WhatsApp Chat with Bo.txt", "23/12/2005, 13:00 - A: x", "23/12/2005, 13:00 - A: <Media omitted>"
        )
    )
    ios = read(
        _write(
            tmp_path / "WhatsApp Chat - Bo.txt",
            "[12/23/05, 1:00:07\u202fPM] A: x",
            "\u200e[12/23/05, 1:00:09\u202fPM] A: \u200e<attached: 0001-PHOTO.jpg>",
        )
    )
    assert _ids(android.messages) == _ids(ios.messages)


def test_marks_do_not_enter_ids(tmp_path: Path, read: Any) -> None:
    one = read(_write(tmp_path / "x.txt", "23/12/2005, 13:00 - A B: \u2068x\u2069\u202fy"))
    other = read(_write(tmp_path / "x.txt", "23/12/2005, 13:00 - A\u00a0B: x y"))
    assert _ids(one.messages) == _ids(other.messages)


# --- damage


def test_bad_lines_are_counted(tmp_path: Path, read: Any) -> None:
    path = tmp_path / "x.txt"
    good = [f"23/12/2005, 13:{number:02} - A: x".encode() for number in range(30)]
    path.write_bytes(
        b"\n".join([b"stray", *good, b"31/02/2006, 13:00 - A: no such day", b"24/12/2005, 13:00 - A: \xff"])
    )
    batch = read(path)
    assert [(problem.line, problem.reason.partition(":")[0]) for problem in sorted(batch.problems, key=_line)] == [
        (1, "before the first message"),
        (32, "no such date"),
        (33, "not UTF-8"),
    ]
    assert batch.messages[-1].text == "\ufffd"
    assert len(batch.messages) == 31


def test_very_long_messages(tmp_path: Path, read: Any) -> None:
    path = _write(
        tmp_path / "x.txt",
        "23/12/2005, 13:00 - A: " + "安" * 30_000,
        "23/12/2005, 13:01 - B: " + "y\n" * 200_000,
        "23/12/2005, 13:02 - A: z",
    )
    batch = read(path)
    assert [len(message.text) for message in batch.messages[1:]] == [1]
    assert len(batch.problems) == 2
    message_to_fields(batch.messages[0])


def test_wrong_encodings_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    text = "\n".join(f"23/12/2005, 13:{number:02} - Jürgen: ä" for number in range(60))
    for encoding in ("latin-1", "utf-16"):
        path.write_bytes(text.encode(encoding))
        with pytest.raises(SourceError, match="not UTF-8"):
            open_exports([path])


def test_damaged_and_locked_zips(tmp_path: Path) -> None:
    written = write_whatsapp(tmp_path)[0]
    whole = written.path.read_bytes()
    for content in (whole[: len(whole) // 2], whole[:60] + b"\0" * 40 + whole[100:], b"PK\x03\x04"):
        written.path.write_bytes(content)
        with pytest.raises(SourceError, match=r"damaged|no chat") as caught:
            [list(export.batches()) for export in open_exports([written.path])]
        assert "\n" not in str(caught.value)
    with zipfile.ZipFile(written.path, "w") as archive:
        archive.writestr("photo.jpg", b"\xff\xd8")
    with pytest.raises(SourceError, match="no chat export in this zip"):
        open_exports([written.path])


_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\n\r"), min_size=1, max_size=40)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 10_000),
            st.text("abc xyz", min_size=1, max_size=9).map(str.strip).filter(bool),
            st.lists(_TEXT, min_size=1, max_size=3),
        ),
        min_size=1,
        max_size=12,
    ),
    st.sampled_from(["ios", "android", "us"]),
)
def test_lines_round_trip(tmp_path_factory: Any, chat: list[tuple[int, str, list[str]]], form: str) -> None:
    folder = tmp_path_factory.mktemp("lines")
    expected, lines = [], []
    for minutes, label, parts in sorted(chat, key=lambda entry: entry[0]):
        civil = datetime(2021, 5, 20, 7, 30, 11) + timedelta(minutes=minutes)
        body = "\n".join(part if number == 0 else f"·{part}" for number, part in enumerate(parts))
        if any(sign in body for sign in "\u200e\u200f<(") or body.startswith("http"):
            continue
        head = {
            "ios": f"[{civil:%d.%m.%y, %H:%M:%S}] ",
            "android": f"{civil:%d/%m/%Y, %H:%M} - ",
            "us": f"[{us(civil, seconds=True)}] ",
        }[form]
        lines.append(f"{head}{label}: {body}")
        expected.append((civil if form != "android" else civil.replace(second=0), label, body))
    if not lines:
        return
    (export,) = open_exports([_write(folder / "x.txt", *lines)])
    got = [message for batch in export.batches(3) for message in batch.messages]
    assert [(m.time, m.author, m.text) for m in got] == [
        (_utc(*time.timetuple()[:6]), label, body) for time, label, body in expected
    ]
