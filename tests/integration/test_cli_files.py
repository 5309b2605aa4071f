"""Files on the command line: two homes and a real relay."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.commands import Sealkeep
from support.relay import RelayProcess


class Device:
    """One home."""

    def __init__(self, home: Path, sealkeep: Sealkeep) -> None:
        self._home = home
        self._sealkeep = sealkeep

    def run(self, *arguments: str, status: int = 0) -> str:
        """What a command prints, on both streams; it must end with this status."""
        said = self._sealkeep(self._home, *arguments)
        assert said.status == status, said
        return said.out + said.err


@pytest.fixture
def world(tmp_path: Path, sealkeep: Sealkeep) -> Iterator[tuple[Path, Device, Device]]:
    """A phone with a chat of two messages, one of which has a file, and a laptop in step with it."""
    base = tmp_path / "world"
    base.mkdir()
    export = base / "export"
    (export / "files").mkdir(parents=True)
    (export / "files" / "plan.pdf").write_bytes(os.urandom(70_000))
    entry = {"type": "message", "date_unixtime": "1700000000", "from": "Ann", "from_id": "user1"}
    with_file = {"file": "files/plan.pdf", "file_name": "plan.pdf", "mime_type": "application/pdf"}
    messages = [
        {**entry, "id": 1, "text": "the plan", **with_file},
        {**entry, "id": 2, "text": "thanks", "photo": "photos/none.jpg"},
    ]
    (export / "result.json").write_text(
        json.dumps({"name": "Ann", "type": "personal_chat", "id": 1, "messages": messages})
    )
    with RelayProcess(base / "relay") as relay:
        phone, laptop = Device(base / "phone", sealkeep), Device(base / "laptop", sealkeep)
        phone.run("init", "--relay", relay.url, "--kit", str(base / "kit.txt"))
        said = phone.run("import", str(export))
        assert "Took in 1 file (70 kB)" in said
        assert "1 file that messages name is not in the exports" in said
        status = json.loads(phone.run("status", "--json"))
        assert (status["files_waiting"], status["file_bytes_waiting"]) == (1, 70_000)
        assert "1 file of 70 kB" in phone.run("status")
        assert "and 1 file." in phone.run("sync")
        laptop.run("recover", "--relay", relay.url, "--kit", str(base / "kit.txt"))
        laptop.run("sync")
        yield base, phone, laptop


def listed(device: Device, *arguments: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in device.run("files", *arguments, "--json").splitlines()]


def test_files_are_listed_saved_and_attached(world: tuple[Path, Device, Device], tmp_path: Path) -> None:
    base, phone, laptop = world
    where = [[(one["name"], one["where"]) for one in listed(device, "Ann")] for device in (phone, laptop)]
    assert where == [[(None, "named"), ("plan.pdf", "here")], [(None, "named"), ("plan.pdf", "stored")]]
    table = laptop.run("files")
    assert "plan.pdf" in table
    assert "70 kB" in table
    assert len(listed(laptop, "--limit", "1")) == 1

    record = str(listed(laptop)[1]["record"])
    assert "Wrote 70 kB to" in laptop.run("save", f"{record[:8]}/0", str(tmp_path))
    assert (tmp_path / "plan.pdf").read_bytes() == (base / "export" / "files" / "plan.pdf").read_bytes()
    assert "is there already" in laptop.run("save", record, str(tmp_path), status=1)
    assert "this message has 1 file" in laptop.run("save", f"{record}/7", str(tmp_path), status=1)
    assert "no message has an id" in laptop.run("save", "00000000", status=1)
    assert "counts the files" in laptop.run("save", f"{record}/x", status=2)

    (tmp_path / "none.jpg").write_bytes(b"picture")
    record = str(listed(laptop)[0]["record"])
    assert "Attached 1 file (7 bytes)" in laptop.run("attach", record[:10], str(tmp_path / "none.jpg"))
    laptop.run("sync")
    phone.run("sync")
    assert [one["where"] for one in listed(phone)] == ["stored", "here"]
    report = json.loads(phone.run("verify", "--files", "--json"))
    assert (report["files"], report["file_bytes"], report["unavailable"]) == (2, 70_007, [])
    said = json.loads(phone.run("export", str(tmp_path / "all.html"), "--format", "html", "--files", "--json"))
    assert (said["files"], said["file_bytes"], said["files_missing"]) == (2, 70_007, 0)
    assert len(list((tmp_path / "all.html.files").iterdir())) == 2
    assert "needs a file for OUT" in phone.run("export", "-", "--format", "jsonl", "--files", status=2)
