"""An export appears whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from sealkeep_client.exporting import output, write_lines, write_page
from sealkeep_protocol.errors import StoreError, UsageError


def test_a_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    with output(out) as file:
        file.write(b"half")
        assert not out.exists()
        file.write(b" and half")
    assert out.read_bytes() == b"half and half"
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_only_the_owner_reads_it_unless_the_old_file_was_open(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with output(str(out)) as file:
        file.write(b"1")
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    out.chmod(0o644)
    with output(str(out)) as file:
        file.write(b"2")
    assert stat.S_IMODE(out.stat().st_mode) == 0o644
    assert out.read_bytes() == b"2"


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "no space"), RuntimeError("cancelled"), KeyboardInterrupt()])
def test_what_was_there_stays_when_it_fails(tmp_path: Path, error: BaseException) -> None:
    out = tmp_path / "out"
    out.write_bytes(b"old")

    def export() -> None:
        with output(out) as file:
            file.write(b"new" * 100_000)
            raise error

    with pytest.raises(StoreError if isinstance(error, OSError) else type(error)):
        export()
    assert out.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("name", ["fsync", "replace", "mkstemp"])
def test_errors_of_the_disk_leave_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    target = {"fsync": "os.fsync", "replace": "pathlib.Path.replace", "mkstemp": "tempfile.mkstemp"}[name]
    monkeypatch.setattr(target, fail)

    def export() -> None:
        with output(tmp_path / "out") as file:
            file.write(b"x")

    with pytest.raises(StoreError, match="out: Input/output error; nothing was exported"):
        export()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "line"),
    [(errno.ENOSPC, "the disk is full"), (errno.EACCES, "may not be written"), (errno.EROFS, "may not")],
)
def test_errors_are_one_clear_line(tmp_path: Path, number: int, line: str) -> None:
    def export() -> None:
        with output(tmp_path / "out"):
            raise OSError(number, os.strerror(number))

    with pytest.raises(StoreError, match=line):
        export()


def test_places_that_cannot_be_files(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a directory"), output(tmp_path):
        pass
    with pytest.raises(UsageError, match="does not exist"), output(tmp_path / "no" / "out"):
        pass


@pytest.mark.skipif(os.name != "posix", reason="links and devices of POSIX")
def test_a_link_stays_a_link(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_bytes(b"old")
    link.symlink_to(real)
    with output(link) as file:
        file.write(b"new")
    assert link.is_symlink()
    assert real.read_bytes() == b"new"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_device_is_written_as_it_stands() -> None:
    with output("/dev/null") as file:
        file.write(b"x")
    assert Path("/dev/null").is_char_device()

    def export() -> None:
        with output("/dev/full") as file:
            file.write(b"x")

    with pytest.raises(StoreError, match="the disk is full"):
        export()


def test_the_standard_output(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    with output("-") as file:
        file.write(b"to the terminal")
    assert capfdbinary.readouterr().out == b"to the terminal"


def test_a_reader_that_goes_away(tmp_path: Path) -> None:
    def export(out: str | Path) -> None:
        with output(out):
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    with pytest.raises(BrokenPipeError):
        export("-")
    with pytest.raises(StoreError, match="went away"):
        export(tmp_path / "pipe")


def test_errors_of_the_store_pass_as_they_are(tmp_path: Path) -> None:
    def export() -> None:
        with output(tmp_path / "out"):
            raise StoreError("the database is damaged")

    with pytest.raises(StoreError, match=r"^the database is damaged$"):
        export()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("write", [write_lines, write_page])
def test_a_disk_that_fills_up_while_records_are_written(tmp_path: Path, write, entries_of) -> None:  # type: ignore[no-untyped-def]
    from support import record_strategies as some

    class Full:
        def __init__(self, file) -> None:  # type: ignore[no-untyped-def]
            self.file, self.left = file, 20

        def write(self, data: bytes) -> None:
            self.left -= len(data)
            if self.left < 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            self.file.write(data)

    def export() -> None:
        with output(tmp_path / "out") as file:
            write(entries_of(some.FULL), Full(file))

    with pytest.raises(StoreError, match="the disk is full; nothing was exported"):
        export()
    assert list(tmp_path.iterdir()) == []
