"""What sealkeep costs, on one export, in one run: the floors of the machine, and sealkeep's ratio to them.

    python tests/benchmarks/bench.py EXPORT [--json FILE]      (or: make bench EXPORT=path)

The floors are what the same records cost without a protocol: the raw insert into the same encrypted database with its
full-text index, CBOR, zstd, the AEAD. Import, upload and restore are the SDK's own calls against a real relay process. Each
phase runs in a process of its own, so that peak memory is that of the phase. Ends with status 1 where a bound is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import cbor2
import zstandard

from sealkeep_client import Passphrase, RecoveryKit, Text, Vault
from sealkeep_client.importers import open_exports
from sealkeep_client.store import message_rows
from sealkeep_client.store._database import _SETTINGS as SETTINGS
from sealkeep_client.store._database import CIPHER
from sealkeep_client.store._schema import SCHEMA
from sealkeep_protocol.primitives import aead_open, aead_seal
from sealkeep_protocol.records import Message, RecordIds, contact_to_fields, decode_body, encode_body

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.many_epochs import run_many_epochs

from support.clients import write_telegram
from support.relay import RelayProcess

BATCH = 4_000
BODY = 8_000  # messages that fill a body
MIB = 1 << 20

# (name of the figure, at least or at most, bound)
BOUNDS = (
    ("restore / insert floor", "at least", 0.5),
    ("import and upload / insert floor", "at least", 0.3),
    ("client's peak, import and upload (MB)", "at most", 250.0),
    ("client's peak, restore (MB)", "at most", 250.0),
    ("relay's peak (MB)", "at most", 200.0),
    ("bytes on the relay / message", "at most", 45.0),
    ("sync of one message, after all / after 1,000", "at most", 1.3),
    ("opening, 20 devices and 500 epochs (ms)", "at most", 2000.0),
    ("roster and wraps of these (MB)", "at most", 5.0),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("export", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--phase", choices=sorted(PHASES), help=argparse.SUPPRESS)
    parser.add_argument("--base", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--relay", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.phase:
        print(json.dumps(PHASES[chosen.phase](chosen)))
        return 0
    if not chosen.export.exists():
        parser.error(f"{chosen.export}: no such export")
    with tempfile.TemporaryDirectory(prefix="sealkeep-bench-") as directory:
        figures = measure(chosen.export, Path(directory))
    missed = show(figures)
    if chosen.json:
        chosen.json.parent.mkdir(parents=True, exist_ok=True)
        chosen.json.write_text(json.dumps({"figures": figures, "missed": missed}, indent=1) + "\n")
    return 1 if missed else 0


def measure(export: Path, base: Path) -> dict[str, float]:
    # Floors before, between and after: a machine that changes its pace changes it for both sides.
    floors = [run(export, base, "floors", str(base / "floor0"))]
    with RelayProcess(base / "relay") as relay:
        uploaded = run(export, base, "upload", relay.url)
        floors.append(run(export, base, "floors", str(base / "floor1")))
        restored = run(export, base, "restore", relay.url)
        many = run(export, base, "one more", relay.url)
        few = run(write_small(base / "small.json"), base / "few", "upload", relay.url) and run(
            base / "small.json", base / "few", "one more", relay.url
        )
        floors.append(run(export, base, "floors", str(base / "floor2")))
        stored = settled_size(relay.data)
        relay_peak = peak_of(relay.pid)
        epochs = run(export, base, "many epochs", relay.url)
    messages = uploaded["messages"]
    floor = statistics.median(f["insert (messages/s)"] for f in floors)
    figures: dict[str, float] = {"messages": messages, "bytes of text": uploaded["text"]}
    for name in floors[0]:
        figures[f"floor: {name}"] = statistics.median(f[name] for f in floors)
    figures["import (messages/s)"] = messages / uploaded["import"]
    figures["upload (messages/s)"] = messages / uploaded["upload"]
    figures["restore (messages/s)"] = messages / restored["restore"]
    figures["restore / insert floor"] = messages / restored["restore"] / floor
    figures["import and upload / insert floor"] = messages / (uploaded["import"] + uploaded["upload"]) / floor
    figures["sync of one message, after all (ms)"] = many["one more"] * 1000
    figures["sync of one message, after all / after 1,000"] = many["one more"] / few["one more"]
    figures["client's peak, import and upload (MB)"] = uploaded["peak"]
    figures["client's peak, restore (MB)"] = restored["peak"]
    figures["relay's peak (MB)"] = relay_peak
    figures["opening, 20 devices and 500 epochs (ms)"] = epochs["opening"]
    figures["catching up with these (ms)"] = epochs["catching up"]
    figures["roster and wraps of these (MB)"] = epochs["size"]
    figures["bytes on the relay / message"] = stored / messages
    figures["bytes on the relay / byte of text"] = stored / max(1, uploaded["text"])
    return figures


def run(export: Path, base: Path, phase: str, relay: str) -> dict[str, float]:
    command = [sys.executable, __file__, str(export), "--phase", phase, "--base", str(base), "--relay", relay]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=1800)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


# Phases


def floors(chosen: argparse.Namespace) -> dict[str, float]:
    read = [batch for source in open_exports([str(chosen.export)]) for batch in source.batches()]
    messages = [message for batch in read for message in batch.messages]
    contacts = {contact.key: contact for batch in read for contact in batch.contacts}
    ids = RecordIds(bytes(32))
    people = [
        (number, ids.contact(key), cbor2.dumps(contact_to_fields(contact)))
        for number, (key, contact) in enumerate(contacts.items(), start=1)
    ]
    rows = [message_rows(messages[start : start + BATCH], ids) for start in range(0, len(messages), BATCH)]
    prepared = list(prepare(rows))
    seconds = timed(lambda: insert(prepared, people, Path(chosen.relay)))
    parts = [messages[start : start + BODY] for start in range(0, len(messages), BODY)]
    bodies: list[bytes] = []
    encode = timed(lambda: bodies.extend(encode_body([], [], part, []) for part in parts))
    decode = timed(lambda: [decode_body(body, limit=1 << 30) for body in bodies] and None)
    frames: list[bytes] = []
    compress = timed(lambda: frames.extend(zstandard.ZstdCompressor(level=6).compress(body) for body in bodies))
    block = os.urandom(256 * 1024)
    seal = timed(lambda: [aead_open(bytes(32), aead_seal(bytes(32), block, b""), b"") for _ in range(200)] and None)
    return {
        "insert (messages/s)": len(messages) / seconds,
        "CBOR encode (messages/s)": len(messages) / encode,
        "CBOR decode (messages/s)": len(messages) / decode,
        "zstd (messages/s)": len(messages) / compress,
        "zstd (bytes/message)": sum(map(len, frames)) / len(messages),
        "AEAD seal and open (MB/s)": 200 * 0.25 / seal,
    }


def upload(chosen: argparse.Namespace) -> dict[str, float]:
    return asyncio.run(_upload(chosen))


async def _upload(chosen: argparse.Namespace) -> dict[str, float]:
    kits: list[RecoveryKit] = []
    unlock = Passphrase("bench")
    home = chosen.base / "phone"
    peak = Peak()
    async with await Vault.create(home, relay=chosen.relay, unlock=unlock, name="phone", on_kit=kits.append) as vault:
        (chosen.base / "kit.txt").write_text(kits[0].to_text())
        started = time.perf_counter()
        report = await vault.import_exports([chosen.export])
        imported = time.perf_counter()
        await vault.sync()
        sent = time.perf_counter()
        used = peak.end()
    return {
        "messages": report.added,
        "text": sum(len((m.text or "").encode()) for batch in batches(chosen.export) for m in batch),
        "import": imported - started,
        "upload": sent - imported,
        "peak": used,
    }


def restore(chosen: argparse.Namespace) -> dict[str, float]:
    return asyncio.run(_restore(chosen))


async def _restore(chosen: argparse.Namespace) -> dict[str, float]:
    kit = RecoveryKit.from_text((chosen.base / "kit.txt").read_text())
    unlock = Passphrase("bench")
    peak = Peak()
    started = time.perf_counter()
    async with await Vault.recover(chosen.base / "laptop", kit=kit, unlock=unlock, name="laptop") as vault:
        await vault.sync()
        return {"restore": time.perf_counter() - started, "peak": peak.end()}


def one_more(chosen: argparse.Namespace) -> dict[str, float]:
    return asyncio.run(_one_more(chosen))


async def _one_more(chosen: argparse.Namespace) -> dict[str, float]:
    times = []
    async with await Vault.open(chosen.base / "phone", unlock=Passphrase("bench")) as vault:
        await vault.sync()
        chat = (await vault.conversations())[0]
        for number in range(15):
            started = time.perf_counter()
            await vault.append(chat, Text(f"one more, {number}"))
            await vault.sync()
            times.append(time.perf_counter() - started)
    return {"one more": statistics.median(times)}


def write_small(path: Path) -> Path:
    write_telegram(path, 1_000)
    (path.parent / "few").mkdir()
    return path


PHASES: dict[str, Callable[[argparse.Namespace], dict[str, float]]] = {
    "floors": floors,
    "upload": upload,
    "restore": restore,
    "one more": one_more,
    "many epochs": lambda chosen: run_many_epochs(chosen.base, chosen.relay),
}


# Parts of the floors


def batches(export: Path) -> Iterator[list[Message]]:
    for source in open_exports([str(export)]):
        for batch in source.batches():
            yield batch.messages


def prepare(rows: list[Any]) -> Iterator[tuple[list[tuple[Any, ...]], list[tuple[int, str]]]]:
    number = 1
    for batch in rows:
        numbers = range(number, number + len(batch))
        messages = zip(
            numbers,
            batch.ids,
            batch.conversation,
            batch.times,
            batch.ranks,
            batch.kinds,
            batch.authors,
            batch.texts,
            batch.rests,
            strict=True,
        )
        yield list(messages), [(n, words) for n, words in zip(numbers, batch.words, strict=True) if words]
        number += len(batch)


def insert(
    prepared: list[tuple[list[tuple[Any, ...]], list[tuple[int, str]]]], people: list[tuple[Any, ...]], path: Path
) -> None:
    """Every row that a restore leaves behind, made before and put in: messages, words and contacts."""
    connection = apsw.Connection(str(path))
    connection.execute(f"PRAGMA cipher = '{CIPHER}'")
    connection.execute(f"PRAGMA key = 'raw:{bytes(32).hex()}'")
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute(SETTINGS).fetchall()  # apsw runs what follows a row only when that is read
    connection.execute(SCHEMA)
    with connection:
        connection.executemany("INSERT INTO contacts VALUES (?, ?, ?)", people)
    for messages, words in prepared:
        with connection:
            connection.executemany("INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0)", messages)
            connection.executemany("INSERT INTO words (rowid, text) VALUES (?, ?)", words)
    connection.close()


# Measuring


def timed(function: Callable[[], object]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


class Peak:
    """Peak memory of this process and its children together, MB.

    The kernel keeps the peak of each process; that of a child is read as long as it lives. (What `getrusage` tells of
    children begins with the size of their parent.)
    """

    def __init__(self) -> None:
        self._children: dict[int, float] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._ended.wait(0.1):
            for task in Path("/proc/self/task").iterdir():
                with contextlib.suppress(OSError):
                    for pid in map(int, (task / "children").read_text().split()):
                        # The newest says all; before the child's program begins, what is read is its parent's.
                        self._children[pid] = peak_of(pid)

    def end(self) -> float:
        """At least the sum that was there at any time."""
        self._ended.set()
        self._thread.join()
        return peak_of(os.getpid()) + max(self._children.values(), default=0)


def peak_of(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise OSError("the kernel does not tell the process's peak memory")


def settled_size(data: Path) -> int:
    """What the relay occupies on the disk once it is idle and has truncated its write-ahead log."""
    deadline = time.monotonic() + 30
    while any(path.stat().st_size for path in data.rglob("*-wal")) and time.monotonic() < deadline:
        time.sleep(0.2)
    return sum(max(path.stat().st_blocks * 512, path.stat().st_size) for path in data.rglob("*") if path.is_file())


def show(figures: dict[str, float]) -> list[str]:
    """Print the table; return the figures that miss their bounds."""
    bounds = {name: (sense, bound) for name, sense, bound in BOUNDS}
    missed = []
    for name, value in figures.items():
        sense, bound = bounds.get(name, ("", 0.0))
        holds = value >= bound if sense == "at least" else value <= bound
        note = "" if not sense else f"{sense} {bound:g}: {'holds' if holds else 'MISSED'}"
        if sense and not holds:
            missed.append(name)
        digits = 3 if value < 10 else 1 if value < 1000 else 0
        print(f"{name:<42} {value:>14,.{digits}f}   {note}".rstrip())
    return missed


if __name__ == "__main__":
    raise SystemExit(main())
