"""WeChat CSV: every type comes back, identities are stable, bad rows cost one line (spec §7.4)."""

from __future__ import annotations

import csv
import random
from pathlib import Path
from typing import Any

import pytest

from sealkeep_client.importers import open_exports
from sealkeep_protocol.errors import SourceError
from sealkeep_protocol.records import ConversationType, Message, encoded_size, message_to_fields
from support.exports_wechat import WECHAT_COLUMNS, rebuild_wechat, write_wechat


def _write(path: Path, *rows: list[Any], columns: tuple[str, ...] = WECHAT_COLUMNS) -> Path:
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    return path


def _row(time: int, text: str, *, sent: int = 0, sender: str = "wxid_a", number: int = 1, talker: int = 3) -> list[Any]:
    return [number, talker, 1, 0, sent, time, 2, text, "", "", "", sender]


def _ids(messages: list[Message]) -> list[Any]:
    return [(message.conversation, message.source) for message in messages]


def test_every_type_comes_back(tmp_path: Path, read: Any) -> None:
    written = write_wechat(tmp_path)
    batch = read(tmp_path)
    assert batch.problems == []
    names = {contact.key.source: contact.name for contact in batch.contacts}
    remarks = {contact.key.source: contact.remark for contact in batch.contacts}
    assert [conversation.title for conversation in batch.conversations] == ["安"]
    assert batch.conversations[0].key == ("wechat", "", "wxid_ann")
    assert batch.conversations[0].extension == {"TalkerId": ["7"]}
    assert batch.conversations[0].type == ConversationType.ONE_TO_ONE
    for message, expected in zip(batch.messages, written.entries, strict=True):
        assert (message.kind, message.text) == (expected.kind, expected.text)
        assert (message.time, message.offset) == (expected.milliseconds, 480)
        assert names[message.author] == expected.author
        row = dict(expected.entry)
        assert row.pop("TalkerId") == "7"
        assert rebuild_wechat(message, remarks, names) == row
        message_to_fields(message)


def test_what_is_read_of_xml(tmp_path: Path, read: Any) -> None:
    write_wechat(tmp_path)
    messages = read(tmp_path).messages
    quoted = next(message for message in messages if message.quote)
    assert quoted.quote == {"from": "wxid_ann", "name": "安", "type": "1", "text": "去吗？", "time": "1600000000"}
    link = next(message for message in messages if message.text == "题")
    assert link.details == {"title": "题", "description": "述", "url": "https://e.org/?a=1&b=2"}
    money = next(message for message in messages if message.text == "微信转账")
    assert money.details == {"title": "微信转账", "amount": "￥1.00"}
    voice = next(message for message in messages if message.kind == 6)
    assert voice.attachments is not None
    assert (voice.attachments[0].duration, voice.attachments[0].size) == (2500, 999)
    bomb = next(message for message in messages if message.extension and "DOCTYPE" in str(message.extension))
    assert bomb.details is None


def test_the_last_columns_may_be_empty(tmp_path: Path, read: Any) -> None:
    write_wechat(tmp_path, people=False)
    batch = read(tmp_path)
    assert {message.author for message in batch.messages} == {"wxid_ann", "self", None}
    assert batch.conversations[0].title == "安"


def test_the_last_columns_may_be_absent(tmp_path: Path, read: Any) -> None:
    path = _write(tmp_path / "Bo.csv", _row(1_600_000_000, "hi")[:9], columns=WECHAT_COLUMNS[:9])
    batch = read(path)
    assert batch.conversations[0].key.source == "Bo"
    assert batch.messages[0].author == "Bo"


def test_row_numbers_never_enter_ids(tmp_path: Path, read: Any) -> None:
    rows = [_row(1_600_000_000 + number // 3, "好", number=number) for number in range(9)]
    first = read(_write(tmp_path / "a.csv", *rows))
    for number, row in enumerate(rows):
        row[:2] = [number + 5_000, 99]
    second = read(_write(tmp_path / "b.csv", *rows))
    assert _ids(first.messages) == _ids(second.messages)
    assert len(set(_ids(first.messages))) == 9
    (export,) = open_exports([tmp_path / "a.csv"])
    assert export.volatile == {"localId", "Status"}
    for one, other in zip(first.messages, second.messages, strict=True):
        assert {k: v for k, v in one.extension.items() if k not in export.volatile} == {
            k: v for k, v in other.extension.items() if k not in export.volatile
        }


def test_talkers_of_one_contact_are_one_chat(tmp_path: Path, read: Any) -> None:
    folder = tmp_path / "Bo(wxid_a)"
    folder.mkdir()
    _write(folder / "x.csv", _row(1_600_000_000, "好", talker=1), _row(1_600_000_000, "好", talker=2))
    batch = read(folder)
    assert [message.source[-1] for message in batch.messages] == [0, 1]
    assert batch.conversations[0].extension == {"TalkerId": ["1", "2"]}


def test_overlapping_exports_join(tmp_path: Path, read: Any) -> None:
    rows = [_row(1_600_000_000 + number // 2, "好") for number in range(40)]
    early, late = read(_write(tmp_path / "a.csv", *rows[:30])), read(_write(tmp_path / "b.csv", *rows[10:]))
    whole = read(_write(tmp_path / "c.csv", *rows))
    assert set(_ids(early.messages)) | set(_ids(late.messages)) == set(_ids(whole.messages))
    assert len(set(_ids(whole.messages))) == 40


def test_an_unsorted_file_counts_the_same(tmp_path: Path, read: Any) -> None:
    rows = [_row(1_600_000_000 + number // 5, "好") for number in range(50)]
    in_order = read(_write(tmp_path / "a.csv", *rows))
    random.Random(1).shuffle(rows)
    shuffled = read(_write(tmp_path / "b.csv", *rows))
    assert set(_ids(in_order.messages)) == set(_ids(shuffled.messages))


def test_a_file_of_all_chats_is_told_by_its_talkers(tmp_path: Path, read: Any) -> None:
    path = _write(
        tmp_path / "messages.csv",
        _row(1_600_000_000, "to b", sent=1, sender="wxid_me", talker=2),
        _row(1_600_000_001, "from a", talker=1),
        _row(1_600_000_002, "from b", sender="wxid_b", talker=2),
    )
    assert [message.conversation.source for message in read(path).messages] == ["wxid_b", "wxid_a", "wxid_b"]
    _write(path, _row(1, "x", talker=1), _row(2, "y", sender="wxid_b", talker=1), _row(3, "z", talker=2))
    with pytest.raises(SourceError, match="each chat to a file"):
        read(path)


def test_a_group(tmp_path: Path, read: Any) -> None:
    folder = tmp_path / "群(123@chatroom)"
    folder.mkdir()
    _write(
        folder / "群.csv",
        _row(1_600_000_000, "a"),
        _row(1_600_000_001, "b", sender="wxid_b"),
        _row(1_600_000_002, "c", sender=""),
    )
    batch = read(tmp_path)
    assert batch.conversations[0].key.source == "123@chatroom"
    assert batch.conversations[0].type == ConversationType.GROUP
    assert [message.author for message in batch.messages] == ["wxid_a", "wxid_b", None]


def test_bad_rows_cost_one_line_each(tmp_path: Path, read: Any) -> None:
    path = _write(tmp_path / "a.csv", *(_row(1_600_000_000 + number, f"t{number}") for number in range(20)))
    lines = path.read_bytes().split(b"\r\n")
    lines[3] = b'1,3,1,0,0,1600000002,2,"never closed,,,,wxid_a'
    lines[5] = b"1,3,1"
    lines[7] = b"1,3,x,0,0,1600000006,2,t,,,,wxid_a"
    lines[9] = b"1,3,1,0,0,yesterday,2,t,,,,wxid_a"
    lines[11] = b"1,3,1,0,7,1600000010,2,t,,,,wxid_a"
    lines[13] = b"1,3,1,0,0,1600000012,2,\xff\xfe,,,,wxid_a"
    path.write_bytes(b"\r\n".join(lines))
    batch = read(path)
    assert [problem.line for problem in batch.problems] == [4, 6, 8, 10, 12, 14]
    assert len(batch.messages) == 14


@pytest.mark.parametrize("folder", ["nick(wxid_a)", "plain"])
def test_a_talker_of_a_row_inside_a_broken_one(tmp_path: Path, read: Any, folder: str) -> None:
    """The first pass takes the row for a part of the quoted cell around it; the second, which wants columns, does not."""
    (tmp_path / folder).mkdir()
    path = _write(tmp_path / folder / "a.csv", _row(1_600_000_000, "x"))
    inside = ",".join(map(str, _row(1_600_000_001, "y", talker=47)))
    path.write_text(f'{path.read_text("utf-8")}"\n{inside}\n"\n', encoding="utf-8")
    batch = read(path)
    whose = folder != "plain"
    assert [message.text for message in batch.messages] == (["x", "y"] if whose else ["x"])
    assert ("not clear whose chat it is: left out" in [problem.reason for problem in batch.problems]) is not whose


def test_unknown_columns_and_cells_are_kept(tmp_path: Path, read: Any) -> None:
    columns = (*WECHAT_COLUMNS, "MsgSvrID")
    path = _write(tmp_path / "a.csv", [*_row(1_600_000_000, "x"), "987", "more"], columns=columns)
    assert read(path).messages[0].extension == {"localId": 1, "Status": 2, "MsgSvrID": "987", "more": ["more"]}


def test_times_shown_otherwise_are_kept(tmp_path: Path, read: Any) -> None:
    shown = ["2020-09-13 20:26:40", "2020-09-13 20:26:41", "soon", ""]
    rows = [_row(1_600_000_000, str(number)) for number in range(4)]
    for row, time in zip(rows, shown, strict=True):
        row[8] = time
    messages = read(_write(tmp_path / "a.csv", *rows)).messages
    assert [message.offset for message in messages] == [480, 0, 0, 0]
    assert [message.extension.get("StrTime") for message in messages] == [None, *shown[1:3], None]


def test_other_names_in_a_row_are_kept(tmp_path: Path, read: Any) -> None:
    rows = [_row(1_600_000_000 + number, str(number)) for number in range(2)]
    rows[0][9:11], rows[1][9:11] = ["备注", "昵称"], ["备注", "新昵称"]
    batch = read(_write(tmp_path / "a.csv", *rows))
    assert (batch.contacts[0].remark, batch.contacts[0].name) == ("备注", "昵称")
    assert batch.messages[1].extension["NickName"] == "新昵称"


def test_long_contents_are_cut(tmp_path: Path, read: Any) -> None:
    xml = f"<msg><appmsg><title>t</title><des>{'长' * 30_000}</des></appmsg></msg>"
    rows = [_row(1_600_000_000, "长" * 40_000), _row(1_600_000_001, xml)]
    rows[1][2:4] = [49, 5]
    batch = read(_write(tmp_path / "a.csv", *rows))
    assert len(batch.problems) == 2
    assert all(encoded_size(message) <= 65_536 for message in batch.messages)
    assert batch.messages[1].text == "t"


@pytest.mark.parametrize("encoding", ["gb18030", "utf-16"])
def test_other_encodings_are_refused(tmp_path: Path, encoding: str) -> None:
    path = write_wechat(tmp_path).path
    path.write_bytes(path.read_text(encoding="utf-8-sig").encode(encoding))
    with pytest.raises(SourceError, match="not UTF-8"):
        [list(export.batches()) for export in open_exports([path])]


def test_a_header_alone_is_told(tmp_path: Path, read: Any) -> None:
    assert "no messages" in str(read(_write(tmp_path / "a.csv")).problems[0])


def test_a_file_without_any_valid_line_is_refused(tmp_path: Path, read: Any) -> None:
    with pytest.raises(SourceError, match="no line of it"):
        read(_write(tmp_path / "a.csv", _row(-1, "x"), _row(-2, "y")))
