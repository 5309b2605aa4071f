"""A kit's file: how it comes to the disk, and what is read back from whatever a person has."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pypdf
import pytest
from hypothesis import given

from sealkeep_client.kit import ENDINGS, KitError, RecoveryKit, read_kit, read_written, write_kit
from sealkeep_client.kit._files import read_data
from support.kits import FIRST_KIT, KIT, LARGEST_KIT, kits, make_kit

BOTH = pytest.mark.parametrize("ending", [".svg", ".pdf"])


@given(kits())
def test_every_form_is_read_as_it_was_written(kit: RecoveryKit) -> None:
    forms = (kit.to_text().encode(), kit.to_svg().encode(), kit.to_pdf(), kit.to_uri().encode())
    for data in forms:
        assert read_data(data) == kit


@pytest.mark.parametrize("ending", [*ENDINGS, ".PDF"])
@pytest.mark.parametrize("kit", [FIRST_KIT, LARGEST_KIT])
def test_the_form_is_that_of_the_name(tmp_path: Path, ending: str, kit: RecoveryKit) -> None:
    path = tmp_path / "new" / f"kit{ending}"
    write_kit(path, kit)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_bytes().startswith({".txt": b"SEALKEEP", ".svg": b"<svg", ".pdf": b"%PDF-"}[ending.lower()])
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    # It is read by its content: names get lost.
    assert read_kit(path.rename(tmp_path / "renamed")) == kit


def test_a_file_is_never_written_over_and_no_other_form_is_written(tmp_path: Path) -> None:
    path = tmp_path / "kit.pdf"
    write_kit(path, FIRST_KIT)
    before = path.read_bytes()
    with pytest.raises(FileExistsError):
        write_kit(path, KIT)
    assert path.read_bytes() == before
    (tmp_path / "kit.svg").symlink_to(tmp_path / "elsewhere.svg")
    with pytest.raises(FileExistsError):
        write_kit(tmp_path / "kit.svg", KIT)
    for name in ("kit.png", "kit", "pdf"):
        with pytest.raises(ValueError, match=r"ends in \.txt, \.svg, \.pdf"):
            write_kit(tmp_path / name, KIT)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["kit.pdf", "kit.svg"]


def test_the_file_and_its_name_are_on_the_disk_before_it_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[bool, int]] = []
    fsync = os.fsync

    def record(descriptor: int) -> None:
        found = os.fstat(descriptor)
        synced.append((stat.S_ISDIR(found.st_mode), found.st_size))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    write_kit(tmp_path / "kit.txt", KIT)
    assert [is_directory for is_directory, _ in synced] == [False, True]
    assert synced[0][1] == len(KIT.to_text())


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    for ending in ENDINGS:
        with pytest.raises(OSError, match="No space left"):
            write_kit(tmp_path / f"kit{ending}", KIT)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_file_that_breaks_off_is_not_taken_for_a_written_kit(
    tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash may leave the URI of a drawing and not its page. A whole one may not be on the disk yet."""
    path = tmp_path / f"kit{ending}"
    write_kit(path, KIT)
    synced: list[bool] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(stat.S_ISDIR(os.fstat(descriptor).st_mode)))
    assert read_written(path) == KIT
    assert synced == [False, True]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(KitError):
        read_written(path)


def test_text_of_other_programs() -> None:
    text = KIT.to_text()
    for data in (
        text.encode("utf-16"),
        b"\xef\xbb\xbf" + text.encode(),
        text.replace("\n", "\r\n").encode(),
        "Für alle Fälle — 早安\n".encode() + text.encode(),
        "Für alle Fälle\n".encode("latin-1") + text.encode(),
        b"\xef\xbb\xbf" + KIT.to_uri().encode() + b"\r\n",
        KIT.to_uri().encode("utf-16"),
        b"\n  " + KIT.to_uri().lower().encode(),
    ):
        assert read_data(data) == KIT


def test_a_pdf_that_another_program_saved_anew(tmp_path: Path) -> None:
    write_kit(tmp_path / "kit.pdf", KIT)
    pypdf.PdfWriter(clone_from=tmp_path / "kit.pdf").write(tmp_path / "saved.pdf")
    with pytest.raises(KitError, match=r"is it a scan, or saved anew.*lets you type the page"):
        read_kit(tmp_path / "saved.pdf")


@BOTH
def test_a_drawing_of_two_kits_or_a_damaged_one(ending: str) -> None:
    def drawn(kit: RecoveryKit) -> bytes:
        return kit.to_pdf() if ending == ".pdf" else kit.to_svg().encode()

    assert read_data(drawn(KIT) + drawn(KIT)) == KIT
    with pytest.raises(KitError, match="more than one kit stands in this file"):
        read_data(drawn(KIT) + drawn(make_kit(3)))
    uri = KIT.to_uri().encode()
    with pytest.raises(KitError, match="is damaged"):
        read_data(drawn(KIT).replace(uri, uri[:-9]))
    with pytest.raises(KitError, match="no kit stands in this file"):
        read_data(drawn(KIT).replace(uri, b""))
    with pytest.raises(KitError, match="no kit stands in this file"):
        read_data(drawn(KIT)[:60])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a recovery kit"),
        (bytes(range(256)), "not a recovery kit"),
        (b"\xff\xfe" + bytes([0xD8]) * 7, "not a recovery kit"),
        (b"x" * (1 << 20) + b"x", "much too long"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "this is a picture"),
        (b"\xff\xd8\xff\xe0" + bytes(50), "this is a picture"),
        (b"\0\0\0\x18ftypheic" + bytes(50), "this is a picture"),
        (b"%PDF-1.7\n", "no kit stands in this file"),
        (b'<?xml version="1.0"?><html/>', "no kit stands in this file"),
    ],
)
def test_what_is_no_kit(data: bytes, message: str) -> None:
    with pytest.raises(KitError, match=message):
        read_data(data)


def test_only_so_much_of_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(KitError, match="much too long"):
        read_kit(path)
