"""Recognition by content; files that are none; fuzz (spec §7.4)."""

from __future__ import annotations

import errno
import io
import os
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sealkeep_client.importers as importers
from sealkeep_client.importers import ImportOptions, open_exports
from sealkeep_client.importers._source import Stream
from sealkeep_client.importers._xml import fields
from sealkeep_protocol.errors import SourceError
from support.exports_telegram import write_telegram
from support.exports_wechat import write_wechat
from support.exports_whatsapp import write_whatsapp


def test_public_face() -> None:
    assert (
        sorted(importers.__all__)
        == importers.__all__
        == [
            "BATCH",
            "Batch",
            "DateOrder",
            "Export",
            "Exports",
            "ImportOptions",
            "Problem",
            "SourceMark",
            "open_exports",
        ]
    )


def test_names_do_not_matter(tmp_path: Path) -> None:
    paths = [write_telegram(tmp_path).path, write_wechat(tmp_path).path, write_whatsapp(tmp_path)[2].path]
    for number, path in enumerate(paths):
        path.rename(tmp_path / f"{number}.bin")
    exports = open_exports([tmp_path / f"{number}.bin" for number in range(3)])
    assert [export.app for export in exports] == ["telegram", "wechat", "whatsapp"]
    assert "0.bin" in repr(exports[0])


def test_a_folder_of_everything(tmp_path: Path) -> None:
    write_telegram(tmp_path / "a" / "b")
    write_wechat(tmp_path)
    write_whatsapp(tmp_path / "w")
    (tmp_path / "notes.txt").write_text("just notes\n")
    (tmp_path / "empty.csv").write_bytes(b"")
    (tmp_path / "image.jpg").write_bytes(bytes(100))
    (tmp_path / "loop").symlink_to(tmp_path)
    exports = open_exports([tmp_path, tmp_path / "a"])
    assert len(exports) == 6
    assert [Path(problem.path).name for problem in exports.problems] == ["empty.csv", "notes.txt"]


def test_a_zip_of_everything(tmp_path: Path) -> None:
    telegram, wechat = write_telegram(tmp_path / "t").path, write_wechat(tmp_path / "w").path
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(telegram, "t/result.json")
        archive.write(wechat, "安(wxid_ann)/安.csv")
    inside = [batch for export in open_exports([path]) for batch in export.batches(10_000)]
    outside = [batch for export in open_exports([telegram, wechat]) for batch in export.batches(10_000)]
    assert [list(batch.messages) for batch in inside] == [list(batch.messages) for batch in outside]
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("broken.json", "")
    with pytest.raises(SourceError, match=r"broken\.json: empty"):
        open_exports([path])


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "empty"),
        (b"\n\n", "empty"),
        (b"hello", "not a chat export"),
        (b"a,b,c\n1,2,3\n", "not a chat export"),
        (b'{"a": 1}', "JSON, but not"),
        (b"\xff\xfeh\0i\0", "not UTF-8"),
        (b"\0" * 50 + b"x", "not UTF-8"),
        (b"\x89PNG\r\n\x1a\n" + b"x" * 100, "not a chat export"),
    ],
)
def test_what_is_no_export(tmp_path: Path, content: bytes, what: str) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=what) as caught:
        open_exports([path])
    assert str(caught.value).startswith(str(path))
    assert caught.value.path == str(path)


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be read: No such file"):
        open_exports([tmp_path / "absent"])
    with pytest.raises(SourceError, match="no chat export in this folder"):
        open_exports([tmp_path])
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SourceError, match="not a file or folder"):
        open_exports([tmp_path / "pipe"])


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_what_must_not_be_read(tmp_path: Path) -> None:  # pragma: no cover
    path = write_telegram(tmp_path).path
    path.chmod(0)
    with pytest.raises(SourceError, match="cannot be read: Permission denied"):
        open_exports([path])


def test_a_folder_is_read_once(tmp_path: Path) -> None:
    write_wechat(tmp_path)
    assert len(open_exports([tmp_path, tmp_path])) == 1


def _import(path: Path) -> int:
    exports = open_exports([path], options=ImportOptions(date_order="dmy"))
    return sum(len(batch.messages) for export in exports for batch in export.batches())


_STARTS = [
    b"",
    b"{",
    b'{"name":"x","type":"private_group","id":1,"messages":[',
    b'{"chats":{"list":[{"id":1,"messages":[{"id":1,',
    b"localId,TalkerId,Type,SubType,IsSender,CreateTime,Status,StrContent\n1,1,1,0,0,1600000000,2,x\n",
    b"[23.12.05, 00:21:00] A: x\n",
    b"06/12/2005, 13:00 - A: x\n",
    b"PK\x03\x04",
]


@given(st.sampled_from(_STARTS), st.binary(max_size=200))
def test_arbitrary_bytes_never_crash(tmp_path_factory: Any, start: bytes, rest: bytes) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "x"
    path.write_bytes(start + rest)
    with suppress(SourceError):
        _import(path)


@given(st.data())
def test_damaged_exports_never_crash(tmp_path_factory: Any, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("damage")
    written = data.draw(
        st.sampled_from(
            [lambda: write_telegram(folder), lambda: write_wechat(folder), lambda: write_whatsapp(folder)[0]]
        )
    )()
    content = bytearray(written.path.read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    written.path.write_bytes(content)
    with suppress(SourceError):
        _import(written.path)


@given(st.text(max_size=100))
def test_arbitrary_xml_never_crashes(text: str) -> None:
    fields(text)
    fields(f"<msg>{text}</msg>")


def test_entities_are_not_expanded() -> None:
    assert fields('<!DOCTYPE x [<!ENTITY a "aaaa">]><x><y>&a;</y></x>') is None
    assert fields('<!DOCTYPE x SYSTEM "file:///etc/passwd"><x/>') is None
    assert fields("<a>" * 70 + "</a>" * 70) is None
    assert fields("<a><b c='1'>x</b><b>y</b></a>") == {"b@c": "1", "b": "x"}


def test_what_a_disk_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_telegram(tmp_path).path
    exports = open_exports([path])
    path.unlink()
    with pytest.raises(SourceError, match="cannot be read: No such file"):
        next(exports[0].batches())
    with pytest.raises(SourceError, match="cannot be read: Is a directory"):
        Stream(_Broken(), "x").read(1)
    with pytest.raises(SourceError, match="more than 4 MiB"):
        list(Stream(io.BytesIO(b"x" * (5 << 20)), "x").lines())
    assert list(Stream(io.BytesIO(b"a\r\nb"), "x").lines()) == [b"a\r", b"b"]


class _Broken(io.BytesIO):
    def read(self, size: int | None = -1) -> bytes:
        raise IsADirectoryError(errno.EISDIR, "Is a directory")


def test_batches_count_what_they_hold(tmp_path: Path) -> None:
    (export,) = open_exports([write_telegram(tmp_path).path])
    first = next(export.batches(10))
    assert len(first) == 10
    assert first
    assert not importers.Batch()


def test_quoted_csv_lines_of_many_breaks(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    head = "localId,TalkerId,Type,SubType,IsSender,CreateTime,Status,StrContent\n"
    path.write_text(head + '1,1,1,0,0,1600000000,2,"' + "\n" * 3_000 + "1,1,1,0,0,1600000001,2,good\n\n1,1\n")
    (export,) = open_exports([path])
    batch = next(export.batches(10_000))
    assert [message.text for message in batch.messages] == ["good"]
    assert [problem.line for problem in batch.problems] == [2, 3004]
