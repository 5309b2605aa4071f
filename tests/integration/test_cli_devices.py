"""`devices`, `remove`, `rotate`, `kit` and `close-account`: what they print, as text and as JSON, and how they end."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from sealkeep_client.kit import read_kit
from support.commands import Sealkeep
from support.relay import RelayProcess
from support.terminal import Terminal

MOMENT = r"\d{4}-\d\d-\d\d \d\d:\d\d"


@pytest.fixture
def homes(tmp_path: Path, relay: RelayProcess, sealkeep: Sealkeep) -> Path:
    """A folder with the homes of a phone and a laptop, and their kit, of an account of its own for each test."""
    kit = tmp_path / "kit.txt"
    assert sealkeep(tmp_path / "phone", "init", "--relay", relay.url, "--kit", kit, "--name", "phone").status == 0
    assert sealkeep(tmp_path / "laptop", "recover", "--kit", kit, "--name", "laptop").status == 0
    assert sealkeep(tmp_path / "phone", "sync").status == 0
    return tmp_path


def test_devices(homes: Path, sealkeep: Sealkeep) -> None:
    said = sealkeep(homes / "laptop", "devices")
    assert (said.status, said.err) == (0, "")
    lines = said.out.splitlines()
    assert re.fullmatch(r"No\.  Name    Added +Last seen", lines[0])
    assert re.fullmatch(rf"  1  phone   {MOMENT}, with the account +never +active", lines[1])
    assert re.fullmatch(rf"  2  laptop  {MOMENT}, by a recovery kit +never +this device", lines[2])
    phone, laptop, kit = sealkeep(homes / "laptop", "devices", "--json").objects
    assert (phone["type"], phone["number"], phone["name"], phone["state"]) == ("device", 1, "phone", "active")
    assert (laptop["this"], laptop["added_by"], laptop["removed_by"]) == (True, "a recovery kit", None)
    assert (kit["type"], kit["number"], kit["set_by"], kit["current"], kit["in_force"]) == (
        "kit",
        0,
        "phone",
        True,
        True,
    )


def test_the_log(homes: Path, sealkeep: Sealkeep) -> None:
    sealkeep(homes / "phone", "remove", "laptop")
    sealkeep(homes / "phone", "kit", "replace", "--kit", homes / "new.txt")
    sealkeep(homes / "phone", "rotate")
    said = sealkeep(homes / "phone", "devices", "--log")
    assert (said.status, said.err) == (0, "")
    key = "[0-9a-f]{8}"
    expected = [
        rf"0  {MOMENT}  phone {key}           made the account; with “phone” \(device 1\); recovery kit 0 \(keys 1\)",
        rf"1  {MOMENT}  recovery kit 0 {key}  added “laptop” \(device 2\) \(keys 2\)",
        rf"2  {MOMENT}  phone {key}           removed “laptop” \(device 2\), whose segments end at 0 \(keys 3\)",
        rf"3  {MOMENT}  phone {key}           set recovery kit 1 \(keys 4\)",
        rf"4  {MOMENT}  phone {key}           renewed the account's keys \(keys 5\)",
    ]
    for pattern, line in zip(expected, said.out.splitlines(), strict=True):
        assert re.fullmatch(pattern, line), line
    entries = sealkeep(homes / "phone", "devices", "--log", "--json").objects
    assert [entry["what"] for entry in entries] == ["genesis", "change", "change", "change", "change"]
    assert entries[2]["removed"] == [{"number": 2, "name": "laptop", "last": 0, "discarded": False, "before": False}]
    assert [entry["kit"] for entry in entries] == [0, None, None, 1, None]
    assert all(len(entry["key"]) == len(entry["id"]) == 64 for entry in entries)
    assert entries[0]["id"] == read_kit(homes / "kit.txt").account.hex()


def test_remove(homes: Path, sealkeep: Sealkeep) -> None:
    """By name or number; the removed one says so itself, with status 1, and stays readable."""
    for wrong, why in (
        ("nobody", "there is no device “nobody”"),
        ("phone", "a device does not remove itself"),
        ("1", "a device does not remove itself"),
    ):
        said = sealkeep(homes / "phone", "remove", wrong)
        assert (said.status, said.out) == (2, "")
        assert why in said.err
    said = sealkeep(homes / "phone", "remove", "laptop")
    assert (said.status, said.err) == (0, "")
    assert said.out == "Removed “laptop” (device 2). It reads and writes nothing any more.\n"
    said = sealkeep(homes / "phone", "remove", "2")
    assert (said.status, said.out) == (0, "It is removed already.\n")
    for _ in range(2):
        said = sealkeep(homes / "laptop", "sync")
        assert (said.status, said.out) == (1, "")
        assert said.err == (
            "sealkeep: this device was removed from the account by “phone” (revoked); what is on it can still be read, and"
            " `sealkeep export OUT --format html` saves it, with what was not sent; to join again, in a new directory:"
            " `sealkeep --home NEWDIR recover`\n"
        )
    assert sealkeep(homes / "laptop", "chats").status == 0
    said = sealkeep(homes / "laptop", "status")
    assert said.status == 0
    assert "this device was removed from the account by “phone”; what is on it can still be read, and " in said.err
    assert "`sealkeep --home NEWDIR recover`" in said.err
    assert "Device     laptop (number 2, removed; the account has 1 other)\n" in said.out
    chat = homes / "WhatsApp Chat with Ann.txt"
    chat.write_text("13/01/24, 10:00 - Ann: too late\n")
    assert sealkeep(homes / "laptop", "import", chat).status == 0
    waiting = re.search(r"Waiting +(.*)", sealkeep(homes / "laptop", "status").out)
    assert waiting is not None
    assert waiting[1].endswith(
        " records; they cannot be sent any more, and `sealkeep export OUT --format html` saves them"
    )
    assert sealkeep(homes / "laptop", "export", homes / "saved.jsonl", "--format", "jsonl").status == 0
    assert "too late" in (homes / "saved.jsonl").read_text()
    [status] = sealkeep(homes / "laptop", "status", "--json").objects
    assert status["removed_by"] == "phone"
    assert re.search(rf"laptop .* removed {MOMENT}, by phone", sealkeep(homes / "phone", "devices").out)


def test_more_is_given_up_of_a_removed_device(homes: Path, sealkeep: Sealkeep, exports: list[Path]) -> None:
    """ROS-23: with the kit alone; one line says so where it is not given."""
    assert sealkeep(homes / "phone", "remove", "laptop").status == 0
    assert sealkeep(homes / "desk", "recover", "--kit", homes / "kit.txt", "--name", "desk").status == 0
    assert sealkeep(homes / "desk", "import", exports[0]).status == 0
    assert sealkeep(homes / "desk", "sync").status == 0
    assert sealkeep(homes / "phone", "remove", "desk").status == 0
    command = ("remove", "desk", "--discard-after", "0")
    said = sealkeep(homes / "phone", *command)
    assert (said.status, said.out) == (2, "")
    assert said.err == (
        "sealkeep: device 3 was removed before: what it wrote can be given up only with the recovery kit, so that no stolen"
        " device can erase it; give that kit with --with\n"
    )
    said = sealkeep(homes / "phone", *command, "--with", homes / "kit.txt")
    assert (said.status, said.err) == (0, "")
    assert said.out == "“desk” (device 3) was removed before. What it wrote ends earlier now.\n"
    [again] = sealkeep(homes / "phone", *command, "--with", homes / "kit.txt", "--json").objects
    assert (again["entry"], again["removed"], again["given_up"]) == (None, [], [])
    log = sealkeep(homes / "phone", "devices", "--log").out.splitlines()
    assert "gave up what was written by “desk” (device 3) after segment 0" in log[-1]
    assert sealkeep(homes / "phone", "sync").status == 0


def test_remove_as_json_and_with_a_new_kit(homes: Path, sealkeep: Sealkeep) -> None:
    """ROS-16: the phone has shown the kit."""
    (homes / "taken.txt").write_text("something else")
    said = sealkeep(homes / "laptop", "remove", "phone", "--kit", homes / "taken.txt")
    assert (said.status, said.out) == (2, "")
    assert "is there already: a kit is never written over; give another name with --kit" in said.err
    assert sealkeep(homes / "phone", "sync").status == 0
    new = homes / "new.pdf"
    [removed] = sealkeep(homes / "laptop", "remove", "phone", "--kit", new, "--json").objects
    gone = [{"number": 1, "name": "phone"}]
    said = {"type": "remove", "entry": 2, "removed": gone, "kit": str(new), "given_up": [], "staying": []}
    said["kits_ended"] = False
    assert removed == said
    assert read_kit(new).account == read_kit(homes / "kit.txt").account
    assert sealkeep(homes / "laptop", "kit", "verify", "--kit", new).status == 0


def test_what_a_removed_device_added_goes_too_though_the_removal_syncs_first(homes: Path, sealkeep: Sealkeep) -> None:
    """ROS-20: what counts is what the person knew; the sync that looks for a name shows him nothing."""
    thiefs = homes / "thiefs.txt"
    assert sealkeep(homes / "laptop", "kit", "replace", "--kit", thiefs).status == 0
    for name in ("spy", "mole"):
        assert sealkeep(homes / name, "recover", "--kit", thiefs, "--name", name).status == 0
    said = sealkeep(homes / "phone", "remove", "laptop", "spy", "--kit", homes / "new.txt", "--json")
    assert [device["name"] for device in said.objects[0]["removed"]] == ["laptop", "spy", "mole"]


@pytest.fixture
def brought_in(homes: Path, sealkeep: Sealkeep) -> Path:
    """The laptop has made a kit, and the spy came in by it, and the mole through the spy; the phone knows of that."""
    thiefs = homes / "thiefs.txt"
    assert sealkeep(homes / "laptop", "kit", "replace", "--kit", thiefs).status == 0
    for name in ("spy", "mole"):
        assert sealkeep(homes / name, "recover", "--kit", thiefs, "--name", name).status == 0
    assert sealkeep(homes / "phone", "sync").status == 0
    return homes


def test_what_a_removed_device_had_added_before_is_told_of(brought_in: Path, sealkeep: Sealkeep) -> None:
    """Without a terminal nothing is asked, and nothing more is done than was said."""
    phone = brought_in / "phone"
    said = sealkeep(phone, "remove", "laptop", "--kit", brought_in / "new.txt", "--json")
    staying = [{"number": number, "name": name, "brought_by": 2} for number, name in ((3, "spy"), (4, "mole"))]
    assert said.objects[0]["staying"] == staying
    assert [device["name"] for device in said.objects[0]["removed"]] == ["laptop"]
    said = sealkeep(phone, "remove", "laptop")
    assert said.out == "It is removed already.\n"
    assert "“spy” (device 3), “mole” (device 4) came into the account from there, and stay in it" in said.err
    assert "`sealkeep remove 3 4`" in said.err
    assert sealkeep(phone, "remove", "3", "4").status == 0
    assert "stay" not in sealkeep(phone, "remove", "laptop").err


def test_on_a_terminal_it_asks_of_what_a_device_had_added(brought_in: Path, sealkeep: Sealkeep) -> None:
    with on_terminal(brought_in / "phone", "remove", "laptop", "--kit", brought_in / "new.txt") as remove:
        remove.wait_for(r"“spy” \(device 3\) was added by “laptop”, and would stay")
        remove.wait_for(r"Remove them also\? \[y/N\] ")
        remove.type("y\n")
        remove.wait_for(r"Remove these devices for good\? \[y/N\] ")
        remove.type("y\n")
        remove.wait_for(r"Removed “laptop” \(device 2\), “spy” \(device 3\), “mole” \(device 4\)")
        assert remove.end() == 0
        assert "stay in it" not in remove.screen


def test_recover_names_the_keys_that_are_missing_and_who_has_them(brought_in: Path, sealkeep: Sealkeep) -> None:
    """SEG-23: a kit from before another one was made, which takes the account back; all commands say the same of it."""
    chat = brought_in / "WhatsApp Chat with Ann.txt"
    chat.write_text("13/01/24, 10:00 - Ann: under the newer kit\n")
    assert sealkeep(brought_in / "phone", "import", chat).status == 0
    assert sealkeep(brought_in / "phone", "sync").status == 0
    kit, new = brought_in / "kit.txt", brought_in / "own.txt"
    said = sealkeep(brought_in / "new", "recover", "--kit", kit, "--name", "new")
    assert (said.status, said.out) == (2, "")
    assert re.fullmatch(
        r"sealkeep: this recovery kit was replaced on \d{4}-\d\d-\d\d by a newer one, made by device 2; use that one; if"
        r" you have only this one, `sealkeep recover --remove-others` takes the account back, and removes all"
        r" other devices\n",
        said.err,
    )
    assert not (brought_in / "new").exists()
    command = ("recover", "--kit", kit, "--name", "new", "--remove-others", "--new-kit", new)
    said = sealkeep(brought_in / "new", *command)
    [told] = said.err.splitlines()
    assert told.startswith("sealkeep: 1 segment cannot be read, for want of key ")
    assert "only removed devices were given it, and pass on nothing: “phone” (device 1), “laptop” (device 2)" in told
    for command in ("sync", "status", "verify"):
        said = sealkeep(brought_in / "new", command)
        assert (said.status, said.err) == (0, f"{told}\n")
        [missing] = sealkeep(brought_in / "new", command, "--json").objects[-1]["missing"]
        assert (missing["segments"], missing["devices"][0]) == (1, {"number": 1, "name": "phone", "state": "removed"})
    said = sealkeep(brought_in, "kit", "verify", "--kit", new)
    assert said.status == 1
    opens, same = said.err.splitlines()
    assert opens.startswith("sealkeep: the kit opens ")
    assert same == told
    [report] = sealkeep(brought_in, "kit", "verify", "--kit", new, "--json").objects
    assert report["missing_keys"] == [missing]


def test_two_devices_of_one_name(homes: Path, sealkeep: Sealkeep) -> None:
    assert sealkeep(homes / "twin", "recover", "--kit", homes / "kit.txt", "--name", "laptop").status == 0
    said = sealkeep(homes / "phone", "remove", "laptop", "3")  # which the phone has not heard of yet
    assert (said.status, said.out) == (2, "")
    assert "several devices are called “laptop”: give one of the numbers 2, 3" in said.err
    said = sealkeep(homes / "phone", "remove", "2", "3")
    assert said.out == "Removed “laptop” (device 2), “laptop” (device 3). They read and write nothing any more.\n"
    assert sealkeep(homes / "phone", "remove", "3", "laptop").status == 2
    assert sealkeep(homes / "phone", "remove", "3", "2").out == "They are removed already.\n"


def test_kit_replace_and_verify(homes: Path, sealkeep: Sealkeep) -> None:
    old, new = homes / "kit.txt", homes / "new.txt"
    said = sealkeep(homes, "kit", "verify", "--kit", old)
    assert (said.status, said.err) == (0, "")
    assert said.out == "The kit is right: it opens all 2 keys of the account, and so restores everything.\n"
    said = sealkeep(homes / "phone", "kit", "replace", "--kit", new)
    assert (said.status, said.err) == (0, "")
    assert said.out.splitlines() == [
        f"The recovery kit is replaced. Your new one is {new}: print it, put it in a safe place, and delete the file.",
        "Destroy the old one: by itself it opens nothing that is written from now on.",
        "What was written until now it can still open, for whoever has kept a copy of that: nobody can undo this.",
        "It can also still remove all of your devices, as after a theft. `sealkeep kit replace --with FILE`, signed with"
        " the kit that is replaced, leaves it not even that.",
    ]
    said = sealkeep(homes / "phone", "kit", "replace", "--kit", new)
    assert said.out == f"{new} is your recovery kit already; --kit gives a further one another name.\n"
    said = sealkeep(homes, "kit", "verify", "--kit", old)
    assert (said.status, said.out) == (1, "")
    assert [line.removeprefix("sealkeep: ") for line in said.err.splitlines()][1:] == [
        "the kit opens 2 of 3 keys; nothing so far was written under the others, which it does not restore",
        "try the newest one; if you did not make that: `sealkeep recover --remove-others` with this one",
    ]
    [report] = sealkeep(homes, "kit", "verify", "--kit", new, "--json").objects
    assert (report["restores_all"], report["epochs"], report["missing"], report["current"]) == (True, 3, [], True)
    last = homes / "last.txt"
    said = sealkeep(homes / "phone", "kit", "replace", "--with", old, "--kit", last)
    assert (said.status, said.out) == (2, "")
    assert "by a newer one, made by “phone”; that one alone makes a further one" in said.err
    assert not last.exists()
    said = sealkeep(homes / "phone", "kit", "replace", "--with", "-", "--kit", last)
    assert (said.status, said.out) == (2, "")
    assert "give its file with --with FILE, or run this on a terminal to type it" in said.err
    [made] = sealkeep(homes / "phone", "kit", "replace", "--with", new, "--kit", last, "--json").objects
    assert (made["type"], made["kit"], made["ended"]) == ("kit replace", str(last), True)
    said = sealkeep(homes, "kit", "verify", "--kit", new)
    assert said.status == 1
    assert "it restores nothing any more: destroy it, and keep the newest one" in said.err
    said = sealkeep(homes / "late", "recover", "--kit", new)
    assert (said.status, said.out) == (1, "")
    assert "this recovery kit was replaced by a newer one (revoked)" in said.err


def test_recover_tells_who_was_there_and_removes_them(homes: Path, sealkeep: Sealkeep) -> None:
    said = sealkeep(homes / "tablet", "recover", "--kit", homes / "kit.txt", "--name", "tablet")
    assert "The account's other devices, and when they last wrote:" in said.out
    assert "`sealkeep remove NAME` takes it out" in said.out
    said = sealkeep(homes / "x", "recover", "--kit", homes / "kit.txt", "--discard")
    assert (said.status, said.out) == (2, "")
    new = homes / "new.txt"
    command = ("recover", "--kit", homes / "kit.txt", "--remove-others", "--new-kit", new, "--name", "new")
    said = sealkeep(homes / "new", *command)
    assert (said.status, said.err) == (0, "")
    assert said.out.count("removed") == 4  # three devices, and the sentence below
    assert f"All other devices are removed, and the recovery kit is replaced. Your new one is {new}" in said.out
    for home in ("phone", "laptop", "tablet"):
        said = sealkeep(homes / home, "sync")
        assert said.status == 1
        assert "this device was removed from the account by a recovery kit" in said.err
    [made] = sealkeep(
        homes / "newer", "recover", "--kit", new, "--remove-others", "--new-kit", homes / "newest.txt", "--json"
    ).objects
    assert made["kit"] == str(homes / "newest.txt")
    assert [device["state"] for device in made["others"]] == ["removed"] * 4


def test_a_thiefs_kit_waits_and_the_owner_is_told(homes: Path, sealkeep: Sealkeep) -> None:
    """ROS-19"""
    thiefs = homes / "thiefs.txt"
    assert sealkeep(homes / "laptop", "kit", "replace", "--kit", thiefs).status == 0
    said = sealkeep(homes / "phone", "remove", "laptop", "--kit", homes / "new.txt")
    assert said.status == 0
    assert "A removed device had seen your recovery kit." in said.out
    told = "recovery kit 1 was made on “laptop”, which was removed, and can remove your devices 7 days after that;"
    assert told in said.err
    assert told in sealkeep(homes / "phone", "devices").err
    assert "`sealkeep remove 2 --with FILE`" in said.err
    said = sealkeep(homes / "spy", "recover", "--kit", thiefs, "--remove-others", "--new-kit", homes / "more.txt")
    assert (said.status, said.out) == (1, "")
    assert "(disputed); everything is safe on this device; try again in 7 days" in said.err
    said = sealkeep(homes / "phone", "remove", "2", "--with", homes / "kit.txt")
    assert (said.status, said.err) == (0, "")
    assert said.out == "It is removed already; the recovery kits from there are ended now.\n"
    assert sealkeep(homes / "phone", "devices").err == ""
    assert sealkeep(homes, "kit", "verify", "--kit", homes / "new.txt").status == 0


def test_a_replaced_kit_removes_who_replaced_it(homes: Path, sealkeep: Sealkeep) -> None:
    """ROS-16, ROS-25: a new kit is made first, by the device, and is the current one afterwards."""
    assert sealkeep(homes / "laptop", "kit", "replace", "--kit", homes / "thiefs.txt").status == 0
    new = homes / "new.txt"
    said = sealkeep(homes / "phone", "remove", "laptop", "--with", homes / "kit.txt", "--kit", new)
    assert (said.status, said.err) == (0, "")
    assert said.out.startswith("Removed “laptop” (device 2). It reads and writes nothing any more.\n")
    assert f"Your new one is {new}" in said.out
    assert sealkeep(homes, "kit", "verify", "--kit", new).status == 0
    assert "restores nothing any more" in sealkeep(homes, "kit", "verify", "--kit", homes / "thiefs.txt").err


def test_a_sync_tells_who_came_and_went(homes: Path, sealkeep: Sealkeep) -> None:
    """Once, and not of what was done here."""
    phone, laptop = homes / "phone", homes / "laptop"
    assert sealkeep(homes / "tablet", "recover", "--kit", homes / "kit.txt", "--name", "tablet").status == 0
    first = sealkeep(phone, "sync").err
    assert re.fullmatch(
        rf"sealkeep: “tablet” \(device 3\) came into the account on {MOMENT}, by recovery kit 0: if that was not you,"
        r" `sealkeep remove 3`\n",
        first,
    )
    assert "“tablet” (device 3) came into the account" in sealkeep(laptop, "sync").err
    assert sealkeep(laptop, "kit", "replace", "--kit", homes / "second.txt").status == 0
    assert sealkeep(homes / "desk", "recover", "--kit", homes / "second.txt", "--name", "desk").status == 0
    assert sealkeep(laptop, "remove", "desk").status == 0
    [lines] = sealkeep(phone, "sync", "--json").objects
    assert [(change["kit"], change["added"], bool(change["removed"])) for change in lines["changes"]] == [
        (1, [], False),
        (None, [{"number": 4, "name": "desk"}], False),
        (None, [], True),
    ]
    assert sealkeep(phone, "sync").err == ""
    assert sealkeep(phone, "kit", "replace", "--kit", homes / "third.txt").status == 0
    assert sealkeep(phone, "sync").err == ""
    kit, *rest = sealkeep(laptop, "sync").err.splitlines()
    assert rest[-1:] == []
    assert "by “phone” (device 1), and older ones open nothing written since: if that was not you," in kit
    assert "`sealkeep remove 1 --with FILE`, with the kit that you have" in kit


def test_a_closing_that_a_thief_began_is_told(homes: Path, sealkeep: Sealkeep) -> None:
    """§5.4: 30 days are of use to those only who hear of them."""
    thiefs = homes / "thiefs.txt"
    assert sealkeep(homes / "laptop", "kit", "replace", "--kit", thiefs).status == 0
    assert "closed in 30 days" in sealkeep(homes, "close-account", "--kit", thiefs).out
    again = sealkeep(homes, "close-account", "--kit", thiefs).out
    assert re.fullmatch(
        rf"The account was closed before on {MOMENT}\. Your devices are shut out 30 days after that, unless an older"
        r" recovery kit takes it back\.\n",
        again,
    )
    for command in ("sync", "status"):
        said = sealkeep(homes / "phone", command)
        assert said.status == 0
        assert "a newer recovery kit has closed the account, and the relay ends it 30 days after that" in said.err
        [told] = sealkeep(homes / "phone", command, "--json").objects
        assert told["closing"] is True
    said = sealkeep(homes / "x", "recover", "--kit", thiefs, "--remove-others", "--new-kit", homes / "other.txt")
    assert (said.status, said.out) == (1, "")
    assert "the account was closed (closed)" in said.err
    command = ("recover", "--kit", homes / "kit.txt", "--remove-others", "--new-kit", homes / "own.txt")
    assert sealkeep(homes / "new", *command).status == 0
    assert sealkeep(homes / "new", "sync").err == ""


def test_close_account(homes: Path, sealkeep: Sealkeep) -> None:
    [closed] = sealkeep(homes, "close-account", "--kit", homes / "kit.txt", "--json").objects
    assert (closed["type"], closed["days"], closed["before"], closed["closed"]) == ("close-account", 0, False, None)
    said = sealkeep(homes, "close-account", "--kit", homes / "kit.txt")
    assert (said.status, said.out) == (
        0,
        "The account is closed already: the relay takes and gives nothing any more.\n",
    )
    said = sealkeep(homes / "phone", "sync")
    assert said.status == 1
    assert "the account was closed (closed); what is on this device can still be read and exported" in said.err
    assert sealkeep(homes / "phone", "devices").status == 0


def test_a_kit_that_was_never_put_in_force(homes: Path, sealkeep: Sealkeep, relay: RelayProcess) -> None:
    other = homes / "other.txt"
    shutil.copy(homes / "kit.txt", homes / "copy.txt")
    assert sealkeep(homes / "stranger", "init", "--relay", relay.url, "--kit", other).status == 0
    said = sealkeep(homes / "phone", "kit", "replace", "--with", other, "--kit", homes / "new.txt")
    assert (said.status, said.out) == (2, "")
    assert "the recovery kit belongs to another account" in said.err
    assert not (homes / "new.txt").exists()


def on_terminal(home: Path, *arguments: object) -> Terminal:
    command = [sys.executable, "-m", "sealkeep_client.cli", "--home", str(home), *map(str, arguments)]
    return Terminal(command, {**os.environ, "TERM": "xterm", "COLUMNS": "120"})


def test_on_a_terminal_it_asks_first(homes: Path, sealkeep: Sealkeep) -> None:
    """Anything but a yes changes nothing, and ends with status 1."""
    with on_terminal(homes / "laptop", "remove", "phone", "--kit", homes / "new.txt") as remove:
        remove.wait_for(r"“phone” \(device 1\), added by phone, never seen")
        remove.wait_for(r"It has seen your recovery kit, so that a new one is made: \S+new\.txt")
        remove.wait_for(r"Remove this device for good\? \[y/N\] ")
        remove.type("\n")
        remove.wait_for("sealkeep: nothing was changed")
        assert remove.end() == 1
    assert not (homes / "new.txt").exists()
    with on_terminal(homes / "phone", "remove", "laptop") as remove:
        remove.wait_for(r"Remove this device for good\? ")
        remove.type("y\n")
        remove.wait_for("Removed “laptop” ")
        assert remove.end() == 0
    with on_terminal(homes, "close-account", "--kit", homes / "kit.txt") as close:
        close.wait_for(r"Close the account for good\? ")
        close.type("no\n")
        assert close.end() == 1
    assert sealkeep(homes / "phone", "sync").status == 0
