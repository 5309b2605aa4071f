"""`checkpoint`, `repair` and `evidence` as a person meets them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from sealkeep_client.cli import _views
from sealkeep_client.cli._app import App
from sealkeep_client.cli._failures import explain
from sealkeep_client.vault import Checkpoint, Enrolled, Lost, RepairReport, SyncSummary, Vault
from sealkeep_protocol.errors import HistoryError
from sealkeep_protocol.evidence import Contradiction, Evidence, EvidenceKind, Place
from support.accounts import MadeAccount, MadeRelay, device


class Stub:
    """A vault that answers with what a test says."""

    def __init__(self, **answers: Any) -> None:
        self._answers = answers
        self.asked: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        async def answer(*arguments: Any, **_: Any) -> Any:
            self.asked.append((name, *arguments))
            if isinstance(self._answers[name], Exception):
                raise self._answers[name]
            return self._answers[name]

        return answer


def invoke(monkeypatch: pytest.MonkeyPatch, vault: Stub, command: Any, *words: str) -> Result:
    import asyncio

    monkeypatch.setattr(App, "with_vault", lambda _, work: asyncio.run(work(vault)))
    return CliRunner().invoke(command, list(words), obj=App(Path("home")))


CHECKPOINT = Checkpoint(
    ("able", "zone"), ("claim", "upgrade", "coach", "print"), 3, ((1, "phone", 12), (2, "tablet", 7))
)


def test_a_checkpoint_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    """VIE-02: the words are the vault's."""
    vault = Stub(checkpoint=CHECKPOINT)
    said = invoke(monkeypatch, vault, _views.checkpoint_command).output
    assert vault.asked == [("checkpoint", None)]
    assert said.startswith("Words  able zone\nCode   claim upgrade coach print\n")
    assert "`sealkeep checkpoint able zone`" in said
    assert "phone (1)" in said
    assert "changes of the account         4" in said


def test_a_checkpoint_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    vault = Stub(checkpoint=CHECKPOINT)
    said = invoke(monkeypatch, vault, _views.checkpoint_command, "able", "zone").output
    assert vault.asked == [("checkpoint", ("able", "zone"))]
    assert said.startswith("Code   claim upgrade coach print\n")
    said = invoke(monkeypatch, vault, _views.checkpoint_command, "--json").output
    assert json.loads(said) == {
        "type": "checkpoint",
        "words": ["able", "zone"],
        "code": ["claim", "upgrade", "coach", "print"],
        "entry": 3,
        "feeds": [{"device": 1, "name": "phone", "seq": 12}, {"device": 2, "name": "tablet", "seq": 7}],
    }


def test_one_word_is_not_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    assert invoke(monkeypatch, Stub(), _views.checkpoint_command, "able").exit_code == 2


SYNCED = SyncSummary(0, 0, 0, 0, ())


@pytest.mark.parametrize(
    ("report", "said"),
    [
        (RepairReport(0, 0, ()), "The relay shows all that this device has seen.\n"),
        (RepairReport(1, 2, ()), "Brought back: 2 segments, 1 change of the account.\n"),
        (RepairReport(0, 1, (), Enrolled(1, 3, "phone (copy)")), "it goes on as device 3, “phone (copy)”"),
    ],
)
def test_a_repair(monkeypatch: pytest.MonkeyPatch, report: RepairReport, said: str) -> None:
    vault = Stub(repair=report, sync=SYNCED)
    result = invoke(monkeypatch, vault, _views.repair_command)
    assert said in result.output
    assert [name for name, *_ in vault.asked] == ["repair", "sync"]
    assert result.exit_code == 0


def test_a_repair_that_is_not_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """VIE-10: what is still missing is told, and the error stays."""
    rollback = HistoryError("rollback", "the relay shows less", device=1, seq=9)
    vault = Stub(repair=RepairReport(0, 1, (Lost(1, 3, 3), Lost(2, 4, 6, removed=True))), sync=rollback)
    result = invoke(monkeypatch, vault, _views.repair_command)
    assert "Not here either: of device 1, segment 3. Run `sealkeep repair` on your other devices." in result.output
    assert "of device 2, segments 4 to 6." in result.output
    assert result.output.count("was removed") == 1
    assert "`sealkeep remove 2 --discard-after 3 --with KIT`" in result.output
    assert result.exception is rollback
    said = invoke(monkeypatch, vault, _views.repair_command, "--json").output
    assert json.loads(said)["missing"] == [
        {"device": 1, "first": 3, "last": 3, "removed": False},
        {"device": 2, "first": 4, "last": 6, "removed": True},
    ]
    other = Stub(repair=RepairReport(0, 0, ()), sync=rollback)
    assert invoke(monkeypatch, other, _views.repair_command).output == ""


def account() -> MadeAccount:
    made = MadeAccount(devices=2)
    made.seal(1)
    return made


def write(path: Path, made: MadeAccount, said: Contradiction) -> Path:
    path.write_bytes(Evidence(tuple(made.entries), said).encode())
    return path


def test_evidence_of_every_kind(tmp_path: Path) -> None:
    """VIE-04"""
    made = account()
    one, other = made.seal(1, b"one", take=False), made.seal(1, b"other", take=False)
    headers = Contradiction(EvidenceKind.HEADERS, (Place(1, 2),), (one.header, other.header))
    twin = made.fork()
    made.change(device(1))
    twin.change(device(2))
    relay = MadeRelay()
    refusal = relay.identity, relay.refusal(made, 1, one)
    cases = {
        "the keys of device 1 signed two different segments 2": headers,
        "the relay has refused segment 2 of device 1 by its signature": Contradiction(
            EvidenceKind.REFUSAL, (Place(1, 2),), (one.header,), refusal
        ),
        "they part at its change number 2": Contradiction(EvidenceKind.ROSTER, (), (twin.entries[2],)),
    }
    for said, contradiction in cases.items():
        result = CliRunner().invoke(_views.evidence_command, [str(write(tmp_path / "file", made, contradiction))])
        assert result.output.startswith("Proven: ")
        assert said in result.output
        assert made.id.hex() in result.output
        assert (relay.identity.hex() in result.output) == (contradiction.refusal is not None)
        # SEG-15: what a relay refused, the author has too, with the refusal: neither is accused for sure.
        doubt = "device 1 has both" if contradiction.refusal else "that device can show the refusal"
        assert (doubt in result.output) == (contradiction.kind is not EvidenceKind.ROSTER)
    view = made.fork()
    view.segments[1] = [twin_segment(made)]
    sealed = view.seal(2)
    contradiction = Contradiction(
        EvidenceKind.VIEW, (Place(2, 1), Place(1, 1)), (sealed.header, made.segments[1][0].header)
    )
    result = CliRunner().invoke(_views.evidence_command, [str(write(tmp_path / "file", made, contradiction))])
    assert "device 2 signed (segment 1) that it was shown another segment 1 of device 1" in result.output
    said = CliRunner().invoke(_views.evidence_command, [str(write(tmp_path / "file", made, headers)), "--json"]).output
    assert json.loads(said) == {
        "type": "evidence",
        "kind": "headers",
        "account": made.id.hex(),
        "accused": "device",
        "places": [{"device": 1, "seq": 2}],
        "entry": None,
        "relay": None,
    }


def twin_segment(made: MadeAccount) -> Any:
    other = made.fork()
    other.segments[1] = []
    return other.seal(1, b"another")


@pytest.mark.parametrize("content", [b"", b"not evidence", b"\xa0"])
def test_a_file_that_proves_nothing(tmp_path: Path, content: bytes) -> None:
    """VIE-04: one clear line, and status 1."""
    (tmp_path / "file").write_bytes(content)
    result = CliRunner().invoke(_views.evidence_command, [str(tmp_path / "file")])
    assert result.exit_code == 1
    assert "proves nothing" in result.output


def test_a_fork_names_its_proof() -> None:
    """VIE-03: where the file is, and how to check it."""
    error = HistoryError("fork", "two headers", device=2, seq=5)
    error.evidence = "/home/phone/evidence/headers.evidence"
    lines = explain(error).lines
    assert "  proof    /home/phone/evidence/headers.evidence" in lines
    assert any("`sealkeep evidence`" in line for line in lines)
    assert not any(line.startswith("  proof") for line in explain(HistoryError("fork", "x")).lines)


@pytest.mark.parametrize(
    ("restored", "said", "advice"),
    [
        (None, None, "ask whoever runs the relay whether it was restored"),
        (0, "that it has become another store", "`sealkeep repair`"),
        (1_700_000_000_000, "that it was restored from a backup on 2023-11-1", "`sealkeep repair`"),
        (1 << 63, "that it was restored from a backup, at no time there is", "`sealkeep repair`"),
    ],
)
def test_a_rollback_with_the_relays_words(restored: int | None, said: str | None, advice: str) -> None:
    """VIE-10"""
    error = HistoryError("rollback", "less than before")
    error.restored = restored
    text = "\n".join(explain(error).lines)
    assert advice in text
    assert ("\n  says " in text) == (said is not None)
    assert said is None or said in text


def test_the_stub_is_a_vault() -> None:
    """What is stubbed here exists."""
    assert all(hasattr(Vault, name) for name in ("checkpoint", "repair", "sync"))
