"""The routes of mailboxes (spec §8.8) over the socket of a real relay."""

from __future__ import annotations

import asyncio
import base64
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from sealkeep_protocol import cbor
from support.relay import RelayProcess, ServedRelay, served
from support.relay_client import Answer, RelayClient


@pytest.fixture(scope="module", params=["process", "conformance"])
def relay(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedRelay]:
    # Everybody here comes from one address.
    options = {"mailbox_tries": 1000, "mailbox_network_tries": 1000} if request.param == "process" else {}
    with served(request.param, tmp_path_factory.mktemp("relay") / "data", mailbox_seconds=3600, **options) as relay:
        yield relay


@pytest.fixture
async def client(relay: ServedRelay) -> AsyncIterator[RelayClient]:
    async with RelayClient(relay.url, relay.identity) as client:
        yield client


class Peer:
    """A holder of a pass."""

    def __init__(self, client: RelayClient, *, secret: bytes | None = None) -> None:
        text = base64.urlsafe_b64encode(secret or os.urandom(32)).rstrip(b"=").decode()
        self.client = client
        self.authorization = f"Bearer {text}"

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        authorization = headers.pop("authorization", self.authorization)
        return await self.client.request(method, f"/v1/mailboxes{path}", body, authorization=authorization, **headers)

    async def make(self) -> int:
        answer = await self.ask("POST", "")
        assert (answer.status, answer.value[2]) == (201, 3600)
        number: int = answer.value[1]
        return number


MESSAGE = cbor.encode({0: 1, 1: 1})


async def test_an_exchange(client: RelayClient) -> None:
    maker, guest, stranger = (Peer(client) for _ in range(3))
    number = await maker.make()
    assert 1 <= number <= 999
    assert (await maker.ask("GET", f"/{number}/1")).value is None
    waiting = asyncio.create_task(maker.ask("GET", f"/{number}/1?wait=20"))
    put = await guest.ask("PUT", f"/{number}/1", MESSAGE)
    assert (put.status, put.value) == (201, {})
    assert (await guest.ask("PUT", f"/{number}/1", MESSAGE)).status == 200
    assert (await waiting).value == MESSAGE
    for answer in (
        await stranger.ask("PUT", f"/{number}/1", MESSAGE),
        await stranger.ask("GET", f"/{number}/1"),
        await stranger.ask("DELETE", f"/{number}"),
    ):
        assert (answer.status, answer.code) == (410, "mailbox-used")
    assert (await maker.ask("PUT", f"/{number}/2", MESSAGE)).status == 201
    for _ in range(2):
        ended = await guest.ask("DELETE", f"/{number}")
        assert (ended.status, ended.value) == (200, {})
    assert (await maker.ask("GET", f"/{number}/1")).code == "mailbox-used"


async def test_it_lives_in_the_store(relay: ServedRelay, client: RelayClient) -> None:
    if not isinstance(relay, RelayProcess):
        pytest.skip("the conformance kit's relay has no store")
    maker, guest = Peer(client), Peer(client)
    number = await maker.make()
    await guest.ask("PUT", f"/{number}/1", MESSAGE)
    relay.restart(kill=True)
    assert (await maker.ask("GET", f"/{number}/1")).value == MESSAGE


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Basic " + "A" * 43,
        "Bearer " + "A" * 42,
        "Bearer " + "A" * 44,
        "Bearer " + "A" * 42 + "=",
        "Bearer ä",
    ],
)
async def test_a_peer_needs_a_pass(client: RelayClient, authorization: str) -> None:
    peer = Peer(client)
    number = await peer.make()
    for method, path, body in (
        ("POST", "", None),
        ("GET", f"/{number}/1", None),
        ("PUT", f"/{number}/1", MESSAGE),
        ("DELETE", f"/{number}", None),
    ):
        answer = await peer.ask(method, path, body, authorization=authorization)
        assert (answer.status, answer.code) == (401, "unauthorized")


async def test_what_is_no_request(client: RelayClient) -> None:
    peer, guest = Peer(client), Peer(client)
    number = await peer.make()
    for expected, answer in (
        ("malformed", await peer.ask("POST", "", b"\xa0")),
        ("malformed", await peer.ask("GET", f"/{number}/1?wait=soon")),
        ("malformed", await peer.ask("GET", f"/{number}/1?wait=-1")),
        ("method", await peer.ask("GET", "")),
        ("method", await peer.ask("POST", f"/{number}/1", MESSAGE)),
        ("method", await peer.ask("PUT", f"/{number}", MESSAGE)),
        ("not-found", await peer.ask("GET", "/0/1")),
        ("not-found", await peer.ask("GET", f"/{number}/0")),
        ("not-found", await peer.ask("GET", f"/{number}/01")),
        ("not-found", await peer.ask("GET", "/100000/1")),
        ("media-type", await guest.ask("PUT", f"/{number}/1", MESSAGE, content_type="application/cbor-seq")),
        ("media-type", await guest.ask("PUT", f"/{number}/1", MESSAGE, content_encoding="gzip")),
        ("too-large", await guest.ask("PUT", f"/{number}/1", bytes(4097))),
        ("too-large", await guest.ask("PUT", f"/{number}/9", MESSAGE)),
        ("gap", await peer.ask("PUT", f"/{number}/2", MESSAGE)),
        ("forbidden", await peer.ask("PUT", f"/{number}/1", MESSAGE)),
    ):
        assert answer.code == expected, answer
    assert (await guest.ask("PUT", f"/{number}/1", b"")).status == 201  # nobody decodes it


async def test_an_address_is_limited_and_told_when_to_come_back(tmp_path: Path) -> None:
    """PAI-03"""
    with RelayProcess(tmp_path / "data", "--mailbox-tries", "2", "--mailboxes", "5") as relay:
        async with RelayClient(relay.url, relay.identity) as client:
            answers = [await Peer(client).ask("POST", "") for _ in range(3)]
            assert [answer.status for answer in answers] == [201, 201, 429]
            assert answers[2].headers["Retry-After"] == "1"
            assert answers[2].code == "busy"
            # Neither passes nor addresses stand in the log.
            assert "127.0.0.1" not in relay.log


async def test_behind_a_proxy_each_client_is_counted_for_itself(tmp_path: Path) -> None:
    """PAI-15, PAI-03: and nothing of it stands in the log."""
    options = ("--mailbox-tries", "1", "--trusted-proxies", "127.0.0.1, ::1")
    with RelayProcess(tmp_path / "data", *options) as relay:
        async with RelayClient(relay.url, relay.identity) as client:

            async def status(**headers: str) -> int:
                return (await Peer(client).ask("POST", "", **headers)).status

            for address, expected in (("192.0.2.1", 201), ("192.0.2.1", 429), ("192.0.2.1, 192.0.2.2", 201)):
                assert await status(**{"X-Forwarded-For": address}) == expected
            assert await status(Forwarded='for="[2001:db8::1]:9"') == 201
            assert await status(Forwarded="for=[2001:db8::2]") == 201  # malformed: the proxy's own
            assert await status() == 429
            assert "192.0.2" not in relay.log


def test_trusted_proxies_that_are_no_networks(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sealkeep_server", "--data", str(tmp_path / "data")]
    done = subprocess.run([*command, "--trusted-proxies", "nginx"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "trusted_proxies: 'nginx' does not appear to be" in done.stderr


async def test_who_waits_does_not_keep_a_relay_from_stopping(tmp_path: Path) -> None:
    with RelayProcess(tmp_path / "data", "--stop-seconds", "30") as relay:
        async with RelayClient(relay.url, relay.identity) as client:
            peer = Peer(client)
            number = (await peer.ask("POST", "")).value[1]
            waiting = asyncio.create_task(peer.ask("GET", f"/{number}/1?wait=20"))
            await asyncio.sleep(0)  # it takes the open connection, so that it is at the relay before the next one
            await peer.ask("GET", f"/{number}/1")
            async with asyncio.timeout(15):
                assert await asyncio.to_thread(relay.stop) == 0
                assert (await waiting).value is None
