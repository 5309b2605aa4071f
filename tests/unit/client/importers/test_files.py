"""The files beside an export: found where each app puts them, and never outside the export."""

from __future__ import annotations

import os
import stat
import zipfile
from pathlib import Path

import pytest

from sealkeep_client.importers import Export, open_exports
from sealkeep_client.importers._files import FolderFiles, OutsideError, ZipFiles, leads_outside
from sealkeep_protocol.errors import SourceError
from sealkeep_protocol.records import Attachment, AttachmentState

SECRET = b"root:x:0:0"


def named(path: str, **more: str) -> Attachment:
    return Attachment("file", path=path, **more)  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An export's folder, beside a secret."""
    (tmp_path / "secret").write_bytes(SECRET)
    inside = tmp_path / "export"
    (inside / "photos").mkdir(parents=True)
    (inside / "photos" / "1.jpg").write_bytes(b"picture")
    return inside


def content(found: tuple[object, int] | None) -> bytes | None:
    if found is None:
        return None
    stream, size = found
    with stream:  # type: ignore[attr-defined]
        data: bytes = stream.read(1 << 20)  # type: ignore[attr-defined]
    assert len(data) == size
    return data


@pytest.mark.parametrize("path", ["photos/1.jpg", "photos\\1.jpg", "./photos//1.jpg"])
def test_a_file_in_the_folder(folder: Path, path: str) -> None:
    assert content(FolderFiles(folder).open([path])) == b"picture"


@pytest.mark.parametrize(
    "path", ["photos/2.jpg", "photos", "photos/1.jpg/x", "", "a" * 2000, "p\0", "/".join("a" * 99)]
)
def test_what_is_no_file(folder: Path, path: str) -> None:
    assert FolderFiles(folder).open([path]) is None


@pytest.mark.parametrize(
    "path",
    [
        "../secret",
        "photos/../../secret",
        "/etc/passwd",
        "C:\\secret",
        "c:secret",
        "..\\secret",
        "\\\\host\\share\\x",
        "..",
    ],
)
def test_a_path_that_leads_outside(folder: Path, path: str) -> None:
    assert leads_outside(path)
    with pytest.raises(OutsideError, match="outside the export"):
        FolderFiles(folder).open([path])
    archive = folder / "export.zip"
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr(path.replace("\\", "/") or "x", SECRET)
    with pytest.raises(OutsideError):
        ZipFiles(archive, ()).open([path])


@pytest.mark.parametrize("link", ["photos/link.jpg", "link/secret"])
def test_no_link_is_followed(folder: Path, link: str) -> None:
    """Neither one in place of a file, nor one in place of a folder."""
    (folder / "photos" / "link.jpg").symlink_to(folder.parent / "secret")
    (folder / "link").symlink_to(folder.parent)
    with pytest.raises(OutsideError):
        FolderFiles(folder).open([link])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "photos" / "pipe.jpg")
    assert FolderFiles(folder).open(["photos/pipe.jpg"]) is None


def zipped(folder: Path, **members: bytes) -> Path:
    archive = folder / "WhatsApp Chat - Ann.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in members.items():
            made.writestr(name, data)
    return archive


def test_a_member_of_a_zip(folder: Path) -> None:
    archive = folder / "export.zip"
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("chat/photos/1.jpg", b"picture")
        link = zipfile.ZipInfo("chat/photos/link.jpg")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        made.writestr(link, "/etc/passwd")
    files = ZipFiles(archive, ("chat",))
    assert content(files.open(["photos/1.jpg"])) == b"picture"
    assert files.open(["photos/2.jpg"]) is None
    assert ZipFiles(archive, ()).open(["photos/1.jpg"]) is None
    with pytest.raises(OutsideError):
        files.open(["photos/link.jpg"])


def test_a_member_that_would_fill_the_disk(folder: Path) -> None:
    archive = zipped(folder, bomb=bytes(40 << 20))
    with pytest.raises(SourceError, match="grows to 40 MiB"):
        ZipFiles(archive, ()).open(["bomb"])


def export(path: Path) -> Export:
    [found] = open_exports([path])
    return found


def test_whatsapp_zips(folder: Path) -> None:
    text = "[05.03.24, 14:30:00] Ann: \u200e<attached: 00000001-PHOTO-2024-03-05-14-30-00.jpg>\r\n" * 2
    archive = zipped(folder, **{"_chat.txt": text.encode(), "00000001-PHOTO-2024-03-05-14-30-00.jpg": b"picture"})
    found = export(archive)
    [batch] = found.batches()
    for message in batch.messages:
        [attachment] = message.attachments or ()
        assert content(found.open_file(attachment)) == b"picture"


def test_wechat_folders(folder: Path) -> None:
    columns = "localId,TalkerId,Type,SubType,IsSender,CreateTime,Status,StrContent,StrTime,Remark,NickName,Sender"
    rows = [
        '1,1,3,0,0,1700000000,,"<msg><img md5=""0cc175b9c0f1b6a831c399e269772661"" length=""7""/></msg>",,,Ann,wxid_a',
        '2,1,49,6,0,1700000001,,"<msg><appmsg><title>plan.pdf</title></appmsg></msg>",,,Ann,wxid_a',
    ]
    chat = folder / "Ann(wxid_a)"
    (chat / "image").mkdir(parents=True)
    (chat / "file").mkdir()
    (chat / "image" / "0cc175b9c0f1b6a831c399e269772661.jpg").write_bytes(b"picture")
    (chat / "file" / "plan.pdf").write_bytes(b"%PDF")
    (chat / "Ann.csv").write_text("\n".join([columns, *rows]))
    found = export(chat / "Ann.csv")
    [batch] = found.batches()
    files = [content(found.open_file((message.attachments or ())[0])) for message in batch.messages]
    assert files == [b"picture", b"%PDF"]


def test_what_a_source_left_out_is_not_looked_for(folder: Path) -> None:
    (folder / "result.json").write_text('{"name": "A", "type": "personal_chat", "id": 1, "messages": []}')
    found = export(folder / "result.json")
    assert content(found.open_file(named("photos/1.jpg"))) == b"picture"
    assert found.open_file(Attachment("photo", path="photos/1.jpg", state=AttachmentState.MISSING)) is None
