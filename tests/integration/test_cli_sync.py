"""`sync`, `status` and `verify`: this device and its relay, also one that lies or is away."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from support.commands import CHATS, MESSAGES, Sealkeep
from support.relay import RelayProcess


def test_sync_and_status(phone: Path, relay: RelayProcess, sealkeep: Sealkeep) -> None:
    sealkeep(phone, "sync")
    said = sealkeep(phone, "sync")
    assert said == (0, "Everything is in step.\n", "")
    [summary] = sealkeep(phone, "sync", "--json").objects
    counts = {"received": 0, "sent": 0, "segments_received": 0, "segments_sent": 0}
    more = {
        "unreadable": [],
        "unopened": 0,
        "locked_by": None,
        "enrolled": None,
        "closing": False,
        "files_sent": 0,
        "awaited": 0,
    }
    more |= {"missing": [], "changes": []}
    assert summary == {"type": "sync", **counts, **more}
    [status] = sealkeep(phone, "status", "--json").objects
    assert (status["type"], status["relay"], status["device"], status["waiting"]) == ("status", relay.url, 1, 0)
    text = sealkeep(phone, "status").out
    assert f"Messages   {status[MESSAGES]:,} in {status[CHATS]} chats\n" in text
    assert "Waiting    nothing\n" in text
    assert "(just now)\n" in text
    assert "Device     phone (number 1; the account has " in text


def test_a_relay_that_changed_a_byte(tmp_path: Path, sealkeep: Sealkeep) -> None:
    home, kit = tmp_path / "phone", tmp_path / "kit.txt"
    # Enough for a body in a file of its own.
    lines = [f"13/02/24, 09:{number % 60:02} - Ann: {number * 7919**5:x}\n" for number in range(6_000)]
    (tmp_path / "chat.txt").write_text("".join(lines))
    with RelayProcess(tmp_path / "relay") as relay:
        sealkeep(home, "init", "--relay", relay.url, "--kit", kit)
        sealkeep(home, "import", tmp_path / "chat.txt")
        assert sealkeep(home, "sync").status == 0
        body = next(path for path in sorted((tmp_path / "relay" / "bodies").rglob("*")) if path.is_file())
        data = bytearray(body.read_bytes())
        data[len(data) // 2] ^= 1
        body.write_bytes(data)
        for command, at in ((["verify"], home), (["recover", "--kit", kit], tmp_path / "laptop")):
            said = sealkeep(at, *command)
            assert (said.status, said.out) == (3, "")
            assert "sealkeep: the relay seems to break a promise: device 1, seq " in said.err
            assert "\n  promise  P4: " in said.err  # the relay finds it itself, and has the body no more (REL-16)
            assert "\n  safe     everything that this device had" in said.err
            assert "\n  do       " in said.err
        assert sealkeep(home, "status").status == 0


def test_a_relay_that_is_down_and_one_that_went_back(tmp_path: Path, sealkeep: Sealkeep, exports: list[Path]) -> None:
    home, kit, data = tmp_path / "phone", tmp_path / "kit.txt", tmp_path / "relay"
    with RelayProcess(data) as relay:
        sealkeep(home, "init", "--relay", relay.url, "--kit", kit)
        assert sealkeep(home, "sync").status == 0
        relay.stop()
        said = sealkeep(home, "sync")
        assert said.status == 1
        assert said.err.count("\n") == 1
        assert "everything is safe on this device" in said.err
        shutil.copytree(data, tmp_path / "backup")
        relay.start()
        sealkeep(home, "import", exports[0])
        assert sealkeep(home, "sync").status == 0
        relay.stop()
        shutil.rmtree(data)
        shutil.copytree(tmp_path / "backup", data)
        relay.start()
        said = sealkeep(home, "sync")
        assert (said.status, said.out) == (3, "")
        assert "(rollback)" in said.err
        assert "\n  promise  P4: " in said.err
        assert "ask whoever runs the relay whether it was restored from a backup; delete nothing here" in said.err


def test_unreadable_segments_are_told(
    phone: Path, tmp_path: Path, sealkeep: Sealkeep, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sealkeep_client.vault import SyncSummary, Vault, VerifyReport
    from sealkeep_protocol.errors import MalformedError

    errors = (
        MalformedError("unsupported", "a kind of a later version", device=2, seq=5),
        MalformedError("malformed", "no records", device=2, seq=6),
    )

    async def sync(_: Vault, progress: object = None) -> SyncSummary:
        return SyncSummary(1, 2, 1, 1, errors)

    async def verify(_: Vault, *, files: bool, progress: object = None) -> VerifyReport:
        return VerifyReport(1, 2, 3, 4, errors)

    monkeypatch.setattr(Vault, "sync", sync)
    monkeypatch.setattr(Vault, "verify", verify)
    said = sealkeep(phone, "sync")
    assert (said.status, said.out) == (0, "Received 1 record, sent 2 records.\n")
    assert (
        "not readable: device 2, seq 5: a kind of a later version (unsupported); a newer sealkeep may read it"
        in said.err
    )
    assert "not readable: device 2, seq 6: no records (malformed); a device of yours wrote it so" in said.err
    assert sealkeep(phone, "verify").status == 0
    [report] = sealkeep(phone, "verify", "--json").objects
    assert [one["code"] for one in report["unreadable"]] == ["unsupported", "malformed"]
    said = sealkeep(tmp_path / "x", "recover", "--kit", phone.parent / "kit.txt")
    assert said.err.count("not readable: ") == 2


def test_watching_survives_being_offline(phone: Path, sealkeep: Sealkeep, monkeypatch: pytest.MonkeyPatch) -> None:
    from sealkeep_client.vault import SyncSummary
    from sealkeep_client.vault._background import Wake
    from sealkeep_client.vault._relaying import Relaying
    from sealkeep_protocol.errors import RefusedError, StoreError, TransportError

    steps: list[SyncSummary | Exception] = [
        SyncSummary(0, 0, 0, 0, ()),
        TransportError("the relay cannot be reached"),
        TransportError("the relay cannot be reached"),
        SyncSummary(0, 0, 0, 0, ()),
        SyncSummary(0, 0, 0, 0, ()),
        SyncSummary(3, 0, 1, 0, ()),
        RefusedError("quota", "the relay refused: the account has no room left", status=507),
        SyncSummary(2, 0, 1, 0, ()),
        SyncSummary(0, 0, 0, 0, ()),
        StoreError("the disk is full"),
    ]
    waited: list[float] = []

    async def sync(_: Relaying, progress: object = None, writes: bool = True) -> SyncSummary:
        step = steps.pop(0)
        if isinstance(step, Exception):
            raise step
        return step

    async def sleep(_: Wake, seconds: float, *, least: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(Relaying, "sync", sync)
    monkeypatch.setattr(Wake, "sleep", sleep)
    said = sealkeep(phone, "sync", "--watch", "--interval", "30")
    assert said.status == 1
    assert said.out.splitlines() == [
        "Everything is in step.",
        "Everything is in step.",
        "Received 3 records, sent 0 records.",
        "Received 2 records, sent 0 records.",
        "Everything is in step.",
    ]
    assert said.err.splitlines() == [
        "sealkeep: the relay cannot be reached: everything is safe on this device; trying again until it works",
        "sealkeep: the relay refused: the account has no room left: what waits is safe on this device, and what others"
        " write is fetched; ask whoever runs the relay for more room",
        "sealkeep: the disk is full",
    ]
    assert [waited[0], *waited[3:]] == [30.0] * 7
    assert 0 < waited[1] <= waited[2] * 2 < 30
