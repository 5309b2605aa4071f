"""Putting a relay together, and running it until it is told to stop."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from sealkeep_server import log
from sealkeep_server.http import RelayServer, Routes
from sealkeep_server.identity import TokenKeys, load_identity
from sealkeep_server.service import Relay
from sealkeep_server.settings import Settings
from sealkeep_server.stores import OpenError
from sealkeep_server.stores.sqlite import SqliteStore

_BACKLOG = 1024
_DAY = 24 * 3600


@dataclass(frozen=True, slots=True)
class Listening:
    """Where a running relay is found, and who it is."""

    url: str
    identity: bytes
    incarnation: bytes


@asynccontextmanager
async def running(data: Path, host: str, port: int, settings: Settings) -> AsyncIterator[Listening]:
    """A relay that listens while the context lasts; port 0 takes a free one. Raises `OpenError`."""
    store = SqliteStore.open(data, settings)
    try:
        identity = load_identity(data)
        keys = TokenKeys(data, now=time.time(), max_age=settings.token_key_days * _DAY)
        relay = Relay(store, identity, keys, settings)
        server = RelayServer(Routes(relay), settings)
        runner = web.ServerRunner(server, shutdown_timeout=settings.stop_seconds)
        await runner.setup()
        sweeping = asyncio.ensure_future(_sweep(store))
        housekeeping = asyncio.ensure_future(_keep_house(relay, settings.housekeeping_seconds))
        try:
            site = web.TCPSite(runner, host, port, backlog=_BACKLOG)
            try:
                await site.start()
            except OSError as error:
                raise OpenError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
            yield Listening(_url(host, _port(runner)), identity.public, store.incarnation)
            await site.stop()
            relay.mailboxes.close()
            await server.drain()
        finally:
            await runner.cleanup()
            housekeeping.cancel()
            await asyncio.gather(sweeping, housekeeping, return_exceptions=True)
    finally:
        await store.close()


async def _sweep(store: SqliteStore) -> None:
    try:
        swept = await store.sweep()
    except Exception as error:
        log.fault("sweep-fault", error)
    else:
        if swept:
            log.info("swept", count=swept)


async def _keep_house(relay: Relay, seconds: float) -> None:
    """Erase again and again what nobody needs any more; what is due by the clock is so after any pause, too."""
    while True:
        try:
            erased = await relay.files.sweep()
        except Exception as error:
            log.fault("housekeeping-fault", error)
        else:
            if erased:
                log.info("erased", count=erased)
        await asyncio.sleep(seconds)


def _port(runner: web.ServerRunner) -> int:
    return int(runner.addresses[0][1])


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def serve(data: Path, host: str, port: int, settings: Settings, *, ready: Callable[[Listening], None]) -> None:
    """Run until SIGTERM or SIGINT; `ready` is called when it listens. Raises `OpenError`."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(log.loop_exception)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with running(data, host, port, settings) as listening:
        ready(listening)
        log.info("listening")
        await stop.wait()
        log.info("stopping")
    log.info("stopped")


def run(data: Path, host: str, port: int, settings: Settings, *, ready: Callable[[Listening], None]) -> None:
    """`serve` on an event loop of its own: uvloop's, where there is one."""
    try:
        import uvloop

        factory: Callable[[], asyncio.AbstractEventLoop] | None = uvloop.new_event_loop
    except ImportError:  # not on every platform
        factory = None
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(serve(data, host, port, settings, ready=ready))
