"""`init` and `recover`: what they print, as text and as JSON, and what they leave behind."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import pytest

from sealkeep_client.cli import _account
from sealkeep_client.kit import RecoveryKit, read_kit
from support.commands import CHATS, MESSAGES, Sealkeep
from support.relay import RelayProcess


def test_init_writes_a_kit_for_its_owner_alone(tmp_path: Path, relay: RelayProcess, sealkeep: Sealkeep) -> None:
    kit = tmp_path / "kits" / "kit.txt"
    said = sealkeep(tmp_path / "home", "init", "--relay", relay.url, "--kit", kit)
    assert (said.status, said.err) == (0, "")
    assert f"recovery kit is {kit}: print it" in said.out
    assert stat.S_IMODE(kit.stat().st_mode) == 0o600
    page = RecoveryKit.from_text(kit.read_text())
    assert (page.relay, page.identity) == (relay.url, relay.identity)
    assert page.seed.hex() not in said.out


@pytest.mark.parametrize("ending", [".svg", ".pdf"])
def test_a_kit_that_was_drawn_brings_everything_back(
    tmp_path: Path, relay: RelayProcess, sealkeep: Sealkeep, ending: str
) -> None:
    home, kit, scanned = tmp_path / "home", tmp_path / f"kit{ending}", tmp_path / "scanned.txt"
    assert sealkeep(home, "init", "--relay", relay.url, "--kit", kit).status == 0
    assert stat.S_IMODE(kit.stat().st_mode) == 0o600
    page = read_kit(kit)
    assert (page.relay, page.identity) == (relay.url, relay.identity)
    scanned.write_text(page.to_uri())
    for number, file in enumerate((kit, scanned)):
        [made] = sealkeep(tmp_path / f"late{number}", "recover", "--kit", file, "--json").objects
        assert made["account"] == page.account.hex()


def test_recover_without_a_kit_asks_nobody_where_there_is_no_terminal(tmp_path: Path, sealkeep: Sealkeep) -> None:
    said = sealkeep(tmp_path / "home", "recover")
    assert (said.status, said.out) == (2, "")
    assert said.err == ("sealkeep: no kit: give its file with --kit FILE, or run this on a terminal to type it\n")
    assert not (tmp_path / "home").exists()


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
    code = re.search(r"Code: +(\S+)", text)
    assert code is not None
    for typed, where in (
        (text.replace("Relay:", "Relay: x"), "of the kit (`Relay`): a character is mistyped"),
        (text.replace(code[1], code[1][::-1]), "of the kit (`Code`): group 1 is mistyped"),
    ):
        wrong.write_text(typed)
        said = sealkeep(tmp_path / "home", "recover", "--kit", wrong)
        assert (said.status, said.out) == (1, "")
        assert where in said.err
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


def test_the_default_name_is_the_host_name(monkeypatch: pytest.MonkeyPatch) -> None:
    import click

    context = click.Context(click.Command("x"))
    monkeypatch.setattr(_account.platform, "node", lambda: "ann-laptop")
    assert _account._name(context, click.Option(["--name"]), None) == "ann-laptop"
    monkeypatch.setattr(_account.platform, "node", lambda: "")
    assert _account._name(context, click.Option(["--name"]), None) == "this device"
