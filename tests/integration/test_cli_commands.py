"""The commands against a real relay: what they print, as text and as JSON, and what they leave behind."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from nacl.pwhash import argon2id

from sealkeep_client.cli import _account, _passphrase, main
from sealkeep_client.kit import RecoveryKit
from sealkeep_client.store import Passphrase, Strength
from support.exports_telegram import write_telegram
from support.exports_wechat import write_wechat
from support.relay import RelayProcess

WEAKEST = Strength(argon2id.OPSLIMIT_MIN, argon2id.MEMLIMIT_MIN)
CHAT = "Plans"
CHATS, MESSAGES = "chats", "messages"


class Said(NamedTuple):
    """What a command printed, and its exit status."""

    status: int
    out: str
    err: str

    @property
    def objects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


Sealkeep = Callable[..., Said]


@pytest.fixture
def sealkeep(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Sealkeep:
    """Runs `sealkeep` on a home in this process, with a passphrase from the environment that is quick to check."""
    monkeypatch.setenv("SEALKEEP_PASSPHRASE", "correct horse")
    monkeypatch.setattr(_passphrase, "Passphrase", partial(Passphrase, strength=WEAKEST))

    def run(home: Path, *arguments: object) -> Said:
        status = main(["--home", str(home), *map(str, arguments)])
        return Said(status, *capfd.readouterr())

    return run


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cli")


@pytest.fixture(scope="module")
def relay(place: Path) -> Iterator[RelayProcess]:
    with RelayProcess(place / "relay") as process:
        yield process


@pytest.fixture(scope="module")
def exports(place: Path) -> list[Path]:
    return [write_telegram(place / "telegram").path, write_wechat(place / "wechat").path.parent]


@pytest.fixture
def phone(place: Path, relay: RelayProcess, exports: list[Path], sealkeep: Sealkeep) -> Path:
    """A home whose chats are imported and sent; made once."""
    home = place / "phone"
    if not home.exists():
        assert sealkeep(home, "init", "--relay", relay.url, "--kit", place / "kit.txt", "--name", "phone").status == 0
        assert sealkeep(home, "import", *exports).status == 0
        assert sealkeep(home, "sync").status == 0
    return home


def test_init_writes_a_kit_for_its_owner_alone(tmp_path: Path, relay: RelayProcess, sealkeep: Sealkeep) -> None:
    kit = tmp_path / "kits" / "kit.txt"
    said = sealkeep(tmp_path / "home", "init", "--relay", relay.url, "--kit", kit)
    assert (said.status, said.err) == (0, "")
    assert f"recovery kit is {kit}: print it" in said.out
    assert stat.S_IMODE(kit.stat().st_mode) == 0o600
    page = RecoveryKit.from_text(kit.read_text())
    assert (page.relay, page.identity) == (relay.url, relay.identity)
    assert page.seed.hex() not in said.out


def test_init_as_json(tmp_path: Path, relay: RelayProcess, sealkeep: Sealkeep) -> None:
    home, kit = tmp_path / "home", tmp_path / "kit.txt"
    [made] = sealkeep(home, "init", "--relay", relay.url, "--kit", kit, "--name", "my phone", "--json").objects
    account = RecoveryKit.from_text(kit.read_text()).account.hex()
    assert made == {
        "type": "init",
        "account": account,
        "device": 1,
        "relay": relay.url,
        "name": "my phone",
        "home": str(home),
        "kit": str(kit),
        "unlock": "passphrase",
    }


def test_a_kit_is_never_written_over(tmp_path: Path, relay: RelayProcess, sealkeep: Sealkeep) -> None:
    kit = tmp_path / "kit.txt"
    kit.write_text("of another account")
    said = sealkeep(tmp_path / "home", "init", "--relay", relay.url, "--kit", kit)
    assert (said.status, said.out) == (2, "")
    assert "is there already: a kit is never written over" in said.err
    assert kit.read_text() == "of another account"
    assert not (tmp_path / "home").exists()


def test_a_home_is_never_made_over(phone: Path, tmp_path: Path, relay: RelayProcess, sealkeep: Sealkeep) -> None:
    for command in (["init", "--relay", relay.url], ["recover"]):
        said = sealkeep(
            phone, *command, "--kit", phone.parent / "kit.txt" if "recover" in command else tmp_path / "k.txt"
        )
        assert (said.status, said.out) == (1, "")
        assert "there is a vault in" in said.err
    assert not (tmp_path / "k.txt").exists()


def test_an_init_that_fails_leaves_no_kit(
    tmp_path: Path, relay: RelayProcess, sealkeep: Sealkeep, monkeypatch: pytest.MonkeyPatch
) -> None:
    kit = tmp_path / "kit.txt"
    said = sealkeep(tmp_path / "home", "init", "--relay", "http://127.0.0.1:1", "--kit", kit)
    assert said.status == 1
    assert "the relay cannot be reached" in said.err
    assert not kit.exists()

    (tmp_path / "file").write_text("")
    said = sealkeep(tmp_path / "file", "init", "--relay", relay.url, "--kit", kit)
    assert said.status in (1, 2)
    assert not kit.exists()

    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    said = sealkeep(tmp_path / "home", "init", "--relay", relay.url, "--kit", kit)
    assert said.status == 1
    assert "No space left on device" in said.err
    assert not kit.exists()


def test_an_init_whose_last_step_fails_keeps_home_and_kit(
    tmp_path: Path, relay: RelayProcess, sealkeep: Sealkeep, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sealkeep_client.vault._relaying import Relaying
    from sealkeep_protocol.errors import TransportError

    async def fail(_: Relaying) -> None:
        raise TransportError("the connection broke")

    home, kit = tmp_path / "home", tmp_path / "kit.txt"
    with monkeypatch.context() as patch:
        patch.setattr(Relaying, "register", fail)
        said = sealkeep(home, "init", "--relay", relay.url, "--kit", kit)
    assert said.status == 1
    assert f"the vault is made and its recovery kit is {kit}; `sealkeep sync` tells the relay" in said.err
    assert sealkeep(home, "sync").status == 0
    assert sealkeep(tmp_path / "second", "recover", "--kit", kit).status == 0


def test_import_counts(tmp_path: Path, relay: RelayProcess, exports: list[Path], sealkeep: Sealkeep) -> None:
    home = tmp_path / "home"
    sealkeep(home, "init", "--relay", relay.url, "--kit", tmp_path / "kit.txt")
    first = sealkeep(home, "import", *exports)
    assert first.status == 0
    assert all(line.startswith("sealkeep: left out: ") for line in first.err.splitlines())
    assert "new messages from 2 exports." in first.out
    assert "`sealkeep sync` sends them, sealed, to the relay." in first.out
    again = sealkeep(home, "import", *exports)
    assert again.out.startswith("0 new messages from 2 exports; ")
    assert "known already" in again.out
    assert "sealkeep sync" not in again.out
    [counted] = sealkeep(home, "import", *exports, "--json").objects
    assert (counted["type"], counted["exports"], counted["added"], counted["changed"]) == ("import", 2, 0, 0)
    assert len(counted["problems"]) == len(first.err.splitlines())


def test_import_says_what_it_left_out(tmp_path: Path, phone: Path, sealkeep: Sealkeep) -> None:
    source = tmp_path / "chat.txt"
    good = "03/01/24, 09:00 - Ann: good\n31/01/24, 09:01 - Bob: morning\n"
    source.write_text("a line before the first\n" * 30 + good)
    said = sealkeep(phone, "import", source)
    if said.status == 0:
        assert "left out: " in said.err
        assert "more places (--json lists all)" in said.err or said.err.count("left out") <= 20
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "good.txt").write_text(good)
    (tmp_path / "folder" / "bad.json").write_text("{")
    said = sealkeep(phone, "import", tmp_path / "folder")
    assert said.status == 0
    assert "sealkeep: left out: " in said.err
    assert "bad.json" in said.err
    assert "Left out: 1 place, listed one by one." in said.out
    [counted] = sealkeep(phone, "import", tmp_path / "folder", "--json").objects
    assert counted["problems"][0]["path"].endswith("bad.json")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.json", b""),
        ("cut.json", b'{"name": "x", "messages": [{"id": 1,'),
        ("utf16.txt", "01/02/24, 09:00 - Ann: hi\n".encode("utf-16")),
        ("prose.txt", b"Dear diary"),
        ("missing.json", None),
    ],
)
def test_a_bad_export_gives_one_line_and_changes_nothing(
    tmp_path: Path, phone: Path, sealkeep: Sealkeep, name: str, content: bytes | None
) -> None:
    before = sealkeep(phone, "status", "--json").objects
    if content is not None:
        (tmp_path / name).write_bytes(content)
    said = sealkeep(phone, "import", tmp_path / name)
    assert (said.status, said.out) == (1, "")
    assert said.err.startswith("sealkeep: ")
    assert said.err.count("\n") == 1
    assert name in said.err
    assert said.err.endswith("nothing was imported\n")
    after = sealkeep(phone, "status", "--json").objects
    assert (before[0][MESSAGES], before[0]["waiting"]) == (after[0][MESSAGES], after[0]["waiting"])


def test_dates_that_are_open_are_asked_for(tmp_path: Path, phone: Path, sealkeep: Sealkeep) -> None:
    source = tmp_path / "WhatsApp Chat with Bo.txt"
    source.write_text("03/02/24, 09:00 - Ann: open\n")
    said = sealkeep(phone, "import", source)
    assert said.status == 1
    assert "--date-order" in said.err
    assert sealkeep(phone, "import", source, "--date-order", "dmy").status == 0
    [line] = sealkeep(phone, "show", "Bo", "--json").objects
    assert line["time"] == "2024-02-03T09:00"


def test_sync_and_status(phone: Path, relay: RelayProcess, sealkeep: Sealkeep) -> None:
    sealkeep(phone, "sync")
    said = sealkeep(phone, "sync")
    assert said == (0, "Everything is in step.\n", "")
    [summary] = sealkeep(phone, "sync", "--json").objects
    counts = {"received": 0, "sent": 0, "segments_received": 0, "segments_sent": 0}
    assert summary == {"type": "sync", **counts, "unreadable": []}
    [status] = sealkeep(phone, "status", "--json").objects
    assert (status["type"], status["relay"], status["device"], status["waiting"]) == ("status", relay.url, 1, 0)
    text = sealkeep(phone, "status").out
    assert f"Messages   {status[MESSAGES]:,} in {status[CHATS]} chats\n" in text
    assert "Waiting    nothing\n" in text
    assert "(just now)\n" in text
    assert "Device     phone (number 1 of " in text


def test_recover_restores_everything(tmp_path: Path, phone: Path, relay: RelayProcess, sealkeep: Sealkeep) -> None:
    sealkeep(phone, "sync")
    laptop, kit = tmp_path / "laptop", phone.parent / "kit.txt"
    said = sealkeep(laptop, "recover", "--relay", relay.url, "--kit", kit, "--name", "laptop")
    assert (said.status, said.err) == (0, "")
    assert said.out.startswith("Restored ")
    for home in (phone, laptop):
        assert sealkeep(home, "export", tmp_path / f"{home.name}.jsonl", "--format", "jsonl").status == 0
    assert (tmp_path / "phone.jsonl").read_bytes() == (tmp_path / "laptop.jsonl").read_bytes()

    said = sealkeep(laptop, "verify")
    assert (said.status, said.err) == (0, "")
    assert said.out.startswith("Verified: ")
    [report] = sealkeep(laptop, "verify", "--json").objects
    assert report["type"] == "verify"
    assert report["unreadable"] == []
    assert report["records"] > 0

    [made] = sealkeep(tmp_path / "tablet", "recover", "--kit", kit, "--name", "tablet", "--json").objects
    [status] = sealkeep(laptop, "status", "--json").objects
    assert made["type"] == "recover"
    assert made["name"] == "tablet"
    assert (made[CHATS], made[MESSAGES]) == (status[CHATS], status[MESSAGES])
    assert made["devices"] == made["device"]


def test_a_kit_that_is_mistyped_or_missing(tmp_path: Path, phone: Path, sealkeep: Sealkeep) -> None:
    text = (phone.parent / "kit.txt").read_text()
    wrong = tmp_path / "wrong.txt"
    wrong.write_text(text.replace("Relay:", "Relay: x"))
    said = sealkeep(tmp_path / "home", "recover", "--kit", wrong)
    assert (said.status, said.out) == (1, "")
    assert "of the kit (`Relay`) is wrong: a character is mistyped" in said.err
    said = sealkeep(tmp_path / "home", "recover", "--kit", tmp_path / "none.txt")
    assert said.status == 1
    assert "none.txt: No such file or directory" in said.err
    assert not (tmp_path / "home").exists()


def test_a_recover_that_is_cut_short_says_how_to_go_on(
    tmp_path: Path, phone: Path, sealkeep: Sealkeep, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sealkeep_client.vault import Vault
    from sealkeep_protocol.errors import TransportError

    async def fail(_: Vault, progress: object = None) -> None:
        raise TransportError("the connection broke")

    with monkeypatch.context() as patch:
        patch.setattr(Vault, "sync", fail)
        said = sealkeep(tmp_path / "late", "recover", "--kit", phone.parent / "kit.txt")
    assert said.status == 1
    assert "this device has joined the account" in said.err
    assert sealkeep(tmp_path / "late", "sync").status == 0


def test_chats(phone: Path, tmp_path: Path, relay: RelayProcess, sealkeep: Sealkeep) -> None:
    lines = sealkeep(phone, "chats", "--json").objects
    [status] = sealkeep(phone, "status", "--json").objects
    assert len(lines) == status[CHATS]
    assert sum(line["messages"] for line in lines) == status[MESSAGES]
    table = sealkeep(phone, "chats").out.splitlines()
    assert table[0].split() == ["Chat", "App", "Messages", "Newest", "Id"]
    [row] = [row for row in table if row.startswith(f"{CHAT} ")]
    [line] = [line for line in lines if line["title"] == CHAT]
    assert row.split() == [CHAT, "Telegram", str(line["messages"]), line["last"], line["id"][:8]]
    sealkeep(tmp_path / "new", "init", "--relay", relay.url, "--kit", tmp_path / "kit.txt")
    assert sealkeep(tmp_path / "new", "chats").out.startswith("No chats yet: ")


def test_a_chat_is_named_in_many_ways(phone: Path, sealkeep: Sealkeep) -> None:
    [line] = [line for line in sealkeep(phone, "chats", "--json").objects if line["title"] == CHAT]
    expected = sealkeep(phone, "show", CHAT, "--limit", "3", "--json").out
    assert len(expected.splitlines()) == 3
    name = f"{line['app']}:{line['source']}"
    for wanted in (line["id"], line["id"][:6], name, "plans", "lan"):
        assert sealkeep(phone, "show", wanted, "--limit", "3", "--json").out == expected
    said = sealkeep(phone, "show", "a")
    assert (said.status, said.out) == (1, "")
    assert "chats match `a`: " in said.err
    assert said.err.endswith("give an id\n")
    said = sealkeep(phone, "show", "nobody at all")
    assert said.status == 1
    assert "no chat is called `nobody at all`; `sealkeep chats` lists them" in said.err


def test_show(phone: Path, tmp_path: Path, sealkeep: Sealkeep) -> None:
    sealkeep(phone, "export", tmp_path / "all.jsonl", "--format", "jsonl")
    exported = [json.loads(line) for line in (tmp_path / "all.jsonl").read_text().splitlines()]
    expected = [line for line in exported if line["type"] == "record" and line["conversation"] == CHAT]
    shown = sealkeep(phone, "show", CHAT, "--limit", "100000", "--json").objects
    assert [line["id"] for line in shown] == [line["id"] for line in expected]
    for one, other in zip(shown, expected, strict=True):
        # An export also names the targets of replies, and those who reacted, from all that it holds.
        for key in one.keys() - {"reply_to", "reactions"}:
            assert one[key] == other[key]
        assert one.keys() == other.keys()
    last = sealkeep(phone, "show", CHAT, "--limit", "7", "--json").objects
    assert last == shown[-7:]

    moment = shown[len(shown) // 2]["time"]
    older = sealkeep(phone, "show", CHAT, "--limit", "100000", "--before", moment, "--json").objects
    assert older == [line for line in shown if line["time"] < moment]
    assert sealkeep(phone, "show", CHAT, "--before", moment[:19], "--json").objects == older[-50:]
    assert sealkeep(phone, "show", CHAT, "--before", "1990-01-01", "--json").out == ""

    text = sealkeep(phone, "show", CHAT, "--limit", "100000").out
    assert text.startswith(f"{CHAT}  {len(shown)} messages\n")
    assert "12:00  Ann 安  https:" in text
    assert "12:00  You     hello" in text
    assert sealkeep(phone, "show", CHAT, "--limit", "2").out.startswith(f"{CHAT}  2 of {len(shown)} messages\n")


def test_search(phone: Path, sealkeep: Sealkeep) -> None:
    hits = sealkeep(phone, "search", "拍了", "--json").objects
    assert hits
    assert all("拍了" in hit["text"] for hit in hits)
    assert all(hit["type"] == "record" for hit in hits)
    text = sealkeep(phone, "search", "拍了").out
    assert len(text.splitlines()) == len(hits)
    assert "拍了" in text
    assert len(sealkeep(phone, "search", "in", "--limit", "2", "--json").objects) == 2
    assert sealkeep(phone, "search", "nowhere-to-be-found") == (0, "", "")


def test_export_to_standard_output_and_as_a_page(phone: Path, tmp_path: Path, sealkeep: Sealkeep) -> None:
    out = tmp_path / "all.jsonl"
    [said] = sealkeep(phone, "export", out, "--format", "jsonl", "--json").objects
    assert (said["type"], said["path"], said["format"]) == ("export", str(out), "jsonl")
    assert said["records"] == sum(line.startswith(b'{"type":"record"') for line in out.read_bytes().splitlines())
    assert sealkeep(phone, "export", "-", "--format", "jsonl").out.encode() == out.read_bytes()
    text = sealkeep(phone, "export", tmp_path / "all.html", "--format", "html").out
    assert text.startswith(f"Wrote {said['records']:,} messages to ")
    assert "<html" in (tmp_path / "all.html").read_text()
    said_ = sealkeep(phone, "export", tmp_path / "no" / "such" / "folder.html", "--format", "html")
    assert said_.status in (1, 2)
    assert said_.err.count("\n") == 1


def test_a_wrong_passphrase(phone: Path, sealkeep: Sealkeep, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEALKEEP_PASSPHRASE", "battery staple")
    said = sealkeep(phone, "status")
    assert (said.status, said.out) == (1, "")
    assert said.err.startswith("sealkeep: wrong passphrase")
    assert said.err.count("\n") == 1


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
            assert "\n  promise  P3: " in said.err
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
        assert "ask whoever runs it, and delete nothing here" in said.err


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

    async def verify(_: Vault, progress: object = None) -> VerifyReport:
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


def test_the_default_name_is_the_host_name(monkeypatch: pytest.MonkeyPatch) -> None:
    import click

    context = click.Context(click.Command("x"))
    monkeypatch.setattr(_account.platform, "node", lambda: "ann-laptop")
    assert _account._name(context, click.Option(["--name"]), None) == "ann-laptop"
    monkeypatch.setattr(_account.platform, "node", lambda: "")
    assert _account._name(context, click.Option(["--name"]), None) == "this device"
