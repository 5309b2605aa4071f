"""Relays whose data directory is put back from a backup."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import time
from pathlib import Path

from sealkeep_server.app import Listening, running
from sealkeep_server.settings import Settings
from sealkeep_server.stores.sqlite import mark_restored
from support.relay import RelayProcess


class LocalRelay:
    """A real relay in this process, on a free loopback port that stays the same; `data` is its directory."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.url = ""
        self._port = 0
        self._running = contextlib.AsyncExitStack()

    async def start(self) -> Listening:
        listening = await self._running.enter_async_context(running(self.data, "127.0.0.1", self._port, Settings()))
        self.url = listening.url
        self._port = int(self.url.rsplit(":", 1)[1])
        return listening

    async def stop(self) -> None:
        await self._running.aclose()

    async def backup(self, place: Path) -> None:
        """Copy the directory of the relay, which is stopped meanwhile."""
        await self.stop()
        shutil.copytree(self.data, place)
        await self.start()

    async def restore(self, place: Path, *, said: bool) -> None:
        """Put a copy back; `said`: its operator tells the relay that it comes from a backup."""
        await self.stop()
        shutil.rmtree(self.data)
        shutil.copytree(place, self.data)
        if said:
            mark_restored(self.data, time.time_ns() // 1_000_000)
        await self.start()


def backup(relay: RelayProcess, place: Path) -> None:
    """Copy the directory of a relay process, which is stopped meanwhile."""
    relay.stop()
    shutil.copytree(relay.data, place)
    relay.start()


def restore(relay: RelayProcess, place: Path, *, said: bool) -> None:
    """Put a copy back, as `LocalRelay.restore` does."""
    relay.stop()
    shutil.rmtree(relay.data)
    shutil.copytree(place, relay.data)
    if said:
        command = [sys.executable, "-m", "sealkeep_server", "--data", str(relay.data), "restored"]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
    relay.start()
