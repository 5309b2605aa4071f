"""What one new message costs: bytes over the wire and seconds, on the side that writes and the side that reads."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field

from sealkeep_client import Text, Vault
from support.proxy import Proxy


@dataclass
class Cost:
    """Medians over all rounds."""

    written: list[int] = field(default_factory=list)
    read: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    @property
    def bytes_written(self) -> float:
        return statistics.median(self.written)

    @property
    def bytes_read(self) -> float:
        return statistics.median(self.read)

    @property
    def time(self) -> float:
        return statistics.median(self.seconds)


async def one_message(writer: Vault, reader: Vault, proxy: Proxy, cost: Cost) -> None:
    """A message from one device to the other; `proxy` is before both."""
    chat = (await writer.conversations())[0]
    start, begun = proxy.both_ways, time.perf_counter()
    await writer.append(chat, Text("one message more"))
    assert (await writer.sync()).segments_sent == 1
    middle = proxy.both_ways
    assert (await reader.sync()).received == 1
    cost.seconds.append(time.perf_counter() - begun)
    cost.written.append(middle - start)
    cost.read.append(proxy.both_ways - middle)
