"""A relay process whose directory is put back from an older copy, and homes that were copied: what a person sees."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.backups import backup, restore
from support.commands import Sealkeep
from support.relay import RelayProcess


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[RelayProcess]:
    """One of its own: its directory is put back."""
    with RelayProcess(tmp_path / "relay") as process:
        yield process


class Person:
    """Homes on a relay, and the commands on them."""

    def __init__(self, folder: Path, relay: RelayProcess, sealkeep: Sealkeep) -> None:
        self.folder = folder
        self._sealkeep = sealkeep
        self.run("phone", "init", "--relay", relay.url, "--kit", folder / "kit.txt", "--name", "phone")

    def run(self, home: str, *command: object, status: int = 0) -> str:
        """Run a command, which must end with this status; all that it says."""
        said = self._sealkeep(self.folder / home, *command)
        assert said.status == status, said
        return said.out + said.err

    def join(self, home: str) -> None:
        self.run(home, "recover", "--kit", self.folder / "kit.txt", "--name", home)

    def write(self, home: str, text: str, *, sync: bool = True) -> None:
        """Import a chat with this text."""
        message = {"id": 1, "type": "message", "date_unixtime": "1600000000", "from_id": "user1", "text": text}
        chat = {"name": text, "type": "personal_chat", "id": sum(text.encode()), "messages": [message]}
        path = self.folder / f"{text}.json"
        path.write_text(json.dumps(chat), encoding="utf-8")
        self.run(home, "import", path)
        if sync:
            self.run(home, "sync")

    def texts(self, home: str) -> set[str]:
        out = self.folder / "out.jsonl"
        self.run(home, "export", out, "--format", "jsonl")
        lines = map(json.loads, out.read_text(encoding="utf-8").splitlines())
        return {line["text"] for line in lines if line["type"] == "record"}

    def refused(self, home: str, *command: str) -> str:
        """It ends with status 3, says what, and what to do; what is here stays readable."""
        before = self.texts(home)
        said = self.run(home, *command, status=3)
        assert "(rollback)" in said
        assert "\n  promise  P4: " in said
        assert "\n  safe     everything that this device had" in said
        assert "\n  do       " in said
        assert self.texts(home) == before
        return said


@pytest.fixture
def person(tmp_path: Path, relay: RelayProcess, sealkeep: Sealkeep) -> Person:
    return Person(tmp_path, relay, sealkeep)


def test_a_directory_that_went_back(person: Person, relay: RelayProcess) -> None:
    """VIE-10: status 3 and a readable vault, also from before the asking device was added; then a repair."""
    person.write("phone", "one")
    backup(relay, person.folder / "backup")
    person.join("laptop")
    person.write("laptop", "two")
    person.run("phone", "sync")
    restore(relay, person.folder / "backup", said=False)
    for home in ("phone", "laptop"):
        for command in ("sync", "repair", "verify"):
            assert "\n  says " not in person.refused(home, command)
        assert person.texts(home) == {"one", "two"}
        person.run(home, "status")
    restore(relay, person.folder / "backup", said=True)
    for home in ("phone", "laptop"):
        for command in ("sync", "verify"):
            assert "\n  says     that it was restored from a backup on 20" in person.refused(home, command)
    report = json.loads(person.run("laptop", "repair", "--json"))
    assert (report["type"], report["entries"], report["missing"], report["enrolled"]) == ("repair", 1, [], None)
    assert "The relay shows all that this device has seen." in person.run("phone", "repair")
    person.join("tablet")
    for home in ("phone", "laptop", "tablet"):
        person.run(home, "sync")
        assert person.texts(home) == {"one", "two"}


def test_a_copied_home(person: Person) -> None:
    """SEG-19, VIE-05: `sync` says what became of it; `checkpoint` that both were shown the same."""
    person.write("phone", "one")
    shutil.copytree(person.folder / "phone", person.folder / "copy")
    person.write("copy", "of the copy", sync=False)
    person.write("phone", "of the phone")
    assert "it goes on as device 2, “phone (copy)”. Nothing is lost." in person.run("copy", "sync")
    assert "copy of" not in person.run("phone", "sync")
    assert "copy of" not in person.run("copy", "sync")
    for home in ("phone", "copy"):
        assert person.texts(home) == {"one", "of the copy", "of the phone"}
    shown = json.loads(person.run("phone", "checkpoint", "--json"))
    assert (len(shown["words"]), len(shown["code"])) == (2, 4)
    assert " ".join(shown["code"]) in person.run("copy", "checkpoint", *shown["words"])
    assert " ".join(shown["code"]) in person.run("copy", "checkpoint", *(word[:4].upper() for word in shown["words"]))
    shutil.copytree(person.folder / "copy", person.folder / "third")
    person.write("copy", "more")
    said = json.loads(person.run("third", "sync", "--json"))
    assert said["enrolled"] == {"before": 2, "device": 3, "name": "phone (copy)"}
