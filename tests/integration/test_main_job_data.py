"""The main job on real chats, and on generated ones, with the commands that a person types.

Import, sync, recover elsewhere, and all is the same. Whatever is expected is counted or rebuilt from the export's own files
(`support.source_counts`); what the second device exported is read back by its own reader (`support.exported`).
"""

from __future__ import annotations

import json
import re
import sqlite3
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sealkeep_client import Passphrase, Vault
from sealkeep_protocol.hybrid_kem import WRAP_SIZE
from sealkeep_protocol.padding import is_bucket
from support import source_counts
from support.clients import Device, write_telegram
from support.cost import Cost, one_message
from support.exported import Shown, lines, read_export, read_record
from support.exports_wechat import rebuild_wechat
from support.large_exports import write_plain
from support.proxy import Proxy
from support.rebuild_telegram import rebuild_telegram
from support.relay import RelayProcess
from support.search import Needles, files, strings_of
from support.vaults import created, recovered

REAL = {"telegram": "telegram/result.json", "wechat": "wechat", "whatsapp": "whatsapp"}
ENTRIES = {"generated": 12_000, "telegram": 142_816, "wechat": 65_023, "whatsapp": 5_012}
SYNC_WITHOUT_NEWS = 4 << 10  # bytes sent: challenge, token, questions


@dataclass
class Job:
    """A relay, two devices and what they said: `again` and `resent` when the same export was imported a second time."""

    kind: str
    source: Path
    base: Path
    relay: RelayProcess
    proxy: Proxy
    imported: dict[str, Any]
    sent: dict[str, Any]
    received: dict[str, Any]
    proved: dict[str, Any]
    again: dict[str, Any]
    waiting: int
    resent: dict[str, Any]
    resent_requests: list[str]
    resent_bytes: int

    @property
    def exported(self) -> Path:
        """The laptop's export."""
        return self.base / "laptop.jsonl"


def do(kind: str, source: Path, base: Path, stack: ExitStack) -> Job:
    """The whole job. The relay is left running."""
    kit = str(base / "kit.txt")
    phone, laptop = Device(base / "phone"), Device(base / "laptop")
    relay = stack.enter_context(RelayProcess(base / "relay"))
    proxy = stack.enter_context(Proxy(relay.port))
    phone.run("init", "--relay", proxy.url, "--kit", kit, "--name", "Margarethe's telephone")
    imported = said(phone, "import", str(source))
    sent = said(phone, "sync")
    received = said(laptop, "recover", "--relay", proxy.url, "--kit", kit, "--name", "her laptop")
    laptop.export(base / "laptop.jsonl")
    proved = said(laptop, "verify")
    again = said(phone, "import", str(source))
    waiting = said(phone, "status")["waiting"]
    said(phone, "sync")  # the laptop has come, which costs once
    phone.export(base / "phone.jsonl")
    proxy.requests.clear()
    before = proxy.sent
    resent = said(phone, "sync")
    return Job(
        *(kind, source, base, relay, proxy, imported, sent, received, proved, again, waiting, resent),
        resent_requests=list(proxy.requests),
        resent_bytes=proxy.sent - before,
    )


def said(device: Device, *arguments: str) -> dict[str, Any]:
    """The object with which a command ends."""
    found: dict[str, Any] = json.loads(device.run(*arguments, "--json").splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def jobs(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Job]]:
    """All side by side: they are processes, and wait for each other's disks. Without `--data` the generated one alone."""
    sources = {"generated": write_plain(tmp_path_factory.mktemp("source") / "result.json", ENTRIES["generated"])}
    if given := pytestconfig.getoption("--data"):
        folder = (pytestconfig.invocation_params.dir / given).resolve()
        sources |= {kind: folder / path for kind, path in REAL.items() if (folder / path).exists()}
    with ExitStack() as stack, ThreadPoolExecutor(len(sources)) as pool:
        started = {
            kind: pool.submit(do, kind, path, tmp_path_factory.mktemp(kind), stack) for kind, path in sources.items()
        }
        yield {kind: job.result() for kind, job in started.items()}


@pytest.fixture(params=list(ENTRIES))
def job(request: pytest.FixtureRequest, jobs: dict[str, Job]) -> Job:
    if request.param in REAL:
        request.getfixturevalue("data_dir")  # skips, and says why
    return jobs[request.param]


def test_two_devices_export_the_same_bytes(job: Job) -> None:
    assert job.imported["added"] == ENTRIES[job.kind]
    assert job.imported["problems"] == []
    assert job.received["unreadable"] == []
    assert job.received["messages"] == ENTRIES[job.kind]
    assert job.exported.read_bytes() == (job.base / "phone.jsonl").read_bytes()
    assert (job.proved["records"], job.proved["segments"]) == (job.sent["sent"], job.sent["segments_sent"])


def test_every_entry_of_the_source_is_there_once(job: Job) -> None:
    counts = {"wechat": source_counts.wechat, "whatsapp": source_counts.whatsapp}
    expected = counts.get(job.kind, source_counts.telegram)(job.source)
    found = source_counts.exported(lines(job.exported))
    assert sum(found.values()) == sum(expected.values()) == ENTRIES[job.kind]
    assert found == expected


def test_every_key_of_the_source_is_there(job: Job) -> None:
    """Each entry as the source has it, key by key, rebuilt from the line that the second device exported."""
    if job.kind in ("telegram", "generated"):
        entries = source_counts.telegram_entries(job.source)
        rebuilt = 0
        people = names(job.exported)
        for shown in records(job.exported):
            entry = rebuild_telegram(shown.message, shown.marks, people)
            assert entry == entries[shown.line["conversation"], shown.line["source"]]
            rebuilt += 1
        assert rebuilt == len(entries)
    elif job.kind == "wechat":
        whole = read_export(job.exported)
        found = sorted(
            (
                shown.message.conversation.source,
                *sorted(rebuild_wechat(shown.message, whole.remarks("wechat"), whole.names("wechat")).items()),
            )
            for shown in whole.records
        )
        talkers = {
            key.source: (conversation.extension or {}).get("TalkerId")
            for key, conversation in whole.conversations.items()
        }
        wanted = []
        for _, wxid, row in source_counts.wechat_rows(job.source):
            assert [row.pop("TalkerId")] == talkers[wxid]
            wanted.append((wxid, *sorted(row.items())))
        assert found == sorted(wanted)
    else:  # WhatsApp's lines have no more than chat, author, time and text; their order within a minute counts
        order: dict[str, list[str]] = {}
        for shown in records(job.exported):
            order.setdefault(shown.line["conversation"], []).append(shown.line["text"])
        for path in job.source.glob("*.txt"):
            said = path.read_text(encoding="utf-8").split("\n")[:-1]
            [chat] = [texts for texts in order.values() if len(texts) == len(said) and said[1].endswith(texts[1])]
            assert all(line.endswith(text) for line, text in zip(said, chat, strict=True))


def names(exported: Path) -> dict[str, str | None]:
    return {line["source"]: line["name"] for line in lines(exported) if line["type"] == "contact"}


def records(exported: Path) -> Iterator[Shown]:
    return (read_record(line) for line in lines(exported) if line["type"] == "record")


def test_the_same_file_again_adds_and_sends_nothing(job: Job) -> None:
    assert (job.again["added"], job.again["changed"], job.again["unchanged"]) == (0, 0, ENTRIES[job.kind])
    assert job.waiting == 0
    assert (job.resent["sent"], job.resent["segments_sent"], job.resent["received"]) == (0, 0, 0)
    assert job.resent_requests
    assert not [request for request in job.resent_requests if "/segments" in request]
    assert job.resent_bytes < SYNC_WITHOUT_NEWS


@pytest.fixture(scope="module")
def known_words(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What every relay has on its disk and in its log: of one that has never met the exports."""
    base = tmp_path_factory.mktemp("other")
    with RelayProcess(base / "relay") as relay:
        device = Device(base / "home")
        device.run("init", "--relay", relay.url, "--kit", str(base / "kit.txt"), "--name", "x")
        device.run("sync")
        relay.kill()
        return b"\0".join(files(relay.data).values()) + relay.log.encode()


def test_the_relay_has_no_word_of_it(job: Job, known_words: bytes) -> None:
    """P1: no text, name, title or file name, in no file (free pages and write-ahead log too) and not in the log."""
    needles = Needles([*strings(job), "Margarethe's telephone", "her laptop"])
    assert needles.texts > 0.3 * ENTRIES[job.kind]
    needles = needles.without(needles.found_in(known_words))
    job.relay.kill()  # so that nothing is tidied up
    try:
        stored = files(job.relay.data)
        assert sum(map(len, stored.values())) > job.sent["segments_sent"] * 256
        for name, data in stored.items():
            assert list(needles.found_in(data)) == [], name
        # A message may be a number, and stand among the microseconds of a line's time.
        log = re.sub(r'"timestamp": "[^"]*"', "", job.relay.log)
        assert list(needles.found_in(log.encode())) == []
        assert list(needles.found_in(job.exported.read_bytes()[:100_000]))  # the search itself works
    finally:
        job.relay.start()


def strings(job: Job) -> Iterator[str]:
    """Every string of the export, and the names of its files and folders."""
    paths = [job.source, *job.source.rglob("*")] if job.source.is_dir() else [job.source]
    for path in paths:
        yield path.name
        yield path.stem
    if job.kind in ("telegram", "generated"):
        yield from strings_of(json.loads(job.source.read_text(encoding="utf-8")))
    elif job.kind == "wechat":
        for nick, wxid, row in source_counts.wechat_rows(job.source):
            yield from (nick, wxid, *row.values())
    else:
        for title, author, time, text in source_counts.whatsapp(job.source):
            yield from (title, author or "", time, text)


def test_what_the_relay_stores_has_the_lengths_of_the_spec(job: Job) -> None:
    """ENC-07, KEY-07, P2: bodies are buckets that look like noise, no wrap is without its ML-KEM part."""
    with sqlite3.connect(f"file:{job.relay.data / 'relay.db'}?mode=ro", uri=True) as database:
        segments = list(database.execute("SELECT size, object, header, summary, body FROM segment"))
        wraps = [wrap for (wrap,) in database.execute("SELECT wrap FROM wrap")]
    bodies = [body for *_, body in segments if body is not None]
    bodies += list(files(job.relay.data / "bodies").values())
    assert sorted(map(len, bodies)) == sorted(size for size, *_ in segments)
    assert len(segments) == job.sent["segments_sent"]
    for body in bodies:
        assert is_bucket(len(body))
        assert len(zlib.compress(body)) >= len(body)
    assert {len(summary) for _, _, _, summary, _ in segments} <= {96, 2048}
    assert wraps
    assert {len(wrap) for wrap in wraps} == {WRAP_SIZE} == {1088 + 32 + 48}


async def test_one_message_more_costs_what_it_did_after_the_first_thousand(
    jobs: dict[str, Job], tmp_path: Path
) -> None:
    """In bytes over the wire, written and read; its time is asserted by `make bench`."""
    job, unlock = jobs.get("telegram", jobs["generated"]), Passphrase("test")
    write_telegram(tmp_path / "few.json", 1_000)
    few, many = Cost(), Cost()
    async with (
        created(tmp_path / "phone", job.proxy.url) as (phone, kit),
        await recovered(tmp_path / "laptop", kit) as laptop,
        await Vault.open(job.base / "phone", unlock=unlock) as old_phone,
        await Vault.open(job.base / "laptop", unlock=unlock) as old_laptop,
    ):
        await phone.import_exports([tmp_path / "few.json"])
        for vault in (phone, laptop, phone, old_phone, old_laptop):
            await vault.sync()
        for _ in range(5):
            await one_message(phone, laptop, job.proxy, few)
            await one_message(old_phone, old_laptop, job.proxy, many)
    assert many.bytes_written <= 1.3 * few.bytes_written
    assert many.bytes_read <= 1.3 * few.bytes_read
