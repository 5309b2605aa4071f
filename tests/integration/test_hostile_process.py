"""The hostile relay as another process, told what to do over its control interface; the victim is the command itself."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from support.clients import Device
from support.household import dump_home, write
from support.vaults import created, recovered


@dataclass
class Control:
    """The control interface of a relay in another process."""

    url: str
    control: str

    def ask(self, method: str, path: str, value: Any = None) -> Any:
        body = None if value is None else json.dumps(value).encode()
        request = Request(self.control + path, body, method=method)  # noqa: S310 (our own loopback address)
        with urlopen(request, timeout=20) as answer:  # noqa: S310
            return json.load(answer)

    def refused(self, method: str, path: str, value: Any = None) -> tuple[int, str]:
        with pytest.raises(HTTPError) as error:
            self.ask(method, path, value)
        return error.value.code, error.value.read().decode()


@pytest.fixture(scope="module")
def relay() -> Iterator[Control]:
    process = subprocess.Popen(
        [sys.executable, "-m", "sealkeep_conformance.relay"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    said = json.loads(process.stdout.readline())
    yield Control(said["url"], said["control"])
    process.stdin.close()
    assert process.wait(20) == 0
    process.stdout.close()


async def test_the_commands_meet_a_lying_relay(relay: Control, tmp_path: Path) -> None:
    """Exit status 3 where a promise is broken, 1 where the line is; the vault stays readable, and all ends well."""
    async with created(tmp_path / "phone", relay.url + "/for/phone") as (phone, kit):
        await write(phone, "one")
        await phone.sync()
        await (await recovered(tmp_path / "laptop", kit, relay.url + "/for/laptop")).close()
        backup = relay.ask("POST", "/snapshots")["snapshot"]
        for text in ("two", "three"):
            await write(phone, text)
            await phone.sync()
    laptop = Device(tmp_path / "laptop")
    before = dump_home(laptop.home)

    snapshot = relay.ask("POST", "/snapshots")["snapshot"]
    drop = {"fault": "drop", "parameters": {"device": 1, "seq": 2}, "door": "laptop"}
    number = relay.ask("POST", "/faults", drop)["number"]
    said = laptop.run("sync", status=3)
    assert "device 1, seq 3" in said
    assert "promise" in said
    assert dump_home(laptop.home) == before
    asked = relay.ask("GET", "/requests")
    assert any(one["faults"] == [number] and one["route"] == "changes" and one["door"] == "laptop" for one in asked)
    relay.ask("DELETE", "/faults")

    number = relay.ask("POST", "/faults", {"fault": "lose", "door": "laptop", "routes": ["changes"]})["number"]
    assert "everything is safe" in laptop.run("sync", status=1)
    relay.ask("DELETE", f"/faults/{number}")
    laptop.run("sync")

    relay.ask("POST", "/faults", {"fault": "rollback", "parameters": {"position": 1}})
    laptop.run("verify", status=3)
    relay.ask("POST", f"/snapshots/{snapshot}")
    laptop.run("verify")

    relay.ask("POST", f"/snapshots/{backup}/put-back")
    assert "that it was restored from a backup on" in laptop.run("sync", status=3)
    relay.ask("POST", "/faults", {"fault": "swallow", "routes": ["copy"]})
    assert "rollback" in laptop.run("repair", status=3)
    relay.ask("DELETE", "/faults")
    assert "Brought back: 2 segments" in laptop.run("repair")
    laptop.run("verify")


def test_the_control_interface_says_what_there_is(relay: Control) -> None:
    catalogue = relay.ask("GET", "/catalogue")
    assert catalogue["drop"]["parameters"] == {"device": "int", "seq": "int"}
    assert all(entry["says"] for entry in catalogue.values())
    number = relay.ask("POST", "/faults", {"fault": "deny", "parameters": {"code": "busy"}, "account": "ab" * 32})[
        "number"
    ]
    assert relay.ask("GET", "/faults") == [{"number": number, "fault": "deny", "met": 0}]
    relay.ask("DELETE", f"/faults/{number}")
    assert relay.ask("GET", "/faults") == []


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"fault": "nothing"}, "there is no fault"),
        ({"fault": "drop", "parameters": {"device": 1}}, "seq"),
        ({"fault": "deny", "parameters": {"code": "busy"}, "routes": ["here"]}, "the routes are"),
        ({"fault": "deny", "parameters": {"code": "busy"}, "door": 7}, "door"),
        ({"fault": "deny", "parameters": {"code": "busy"}, "when": 7}, "when"),
        ({"fault": "deny", "parameters": {"code": "busy"}, "account": "xyz"}, "hexadecimal"),
        ([], "an object"),
    ],
)
def test_what_is_wrong_with_a_control_request_is_said(relay: Control, value: Any, said: str) -> None:
    status, text = relay.refused("POST", "/faults", value)
    assert status == 400
    assert said in text
    assert relay.ask("GET", "/faults") == []


def test_what_is_not_there_is_said(relay: Control) -> None:
    assert relay.refused("DELETE", "/faults/99")[0] == 404
    assert relay.refused("POST", "/snapshots/99")[0] == 404
    assert relay.refused("POST", "/snapshots/99/put-back")[0] == 404
    assert relay.refused("GET", "/requests?after=x")[0] == 400
