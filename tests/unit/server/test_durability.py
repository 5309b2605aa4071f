"""What is on the disk when the embedded store answers: every step that a power cut could undo comes before the answer."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from sealkeep_server.stores import _schema
from sealkeep_server.stores.sqlite import SqliteStore
from support.store_suite import LARGE, made, segment, start


def test_the_writers_connection_syncs_every_commit(tmp_path: Path) -> None:
    """SEG-18, P9: in the log's mode FULL (2) means a sync at each commit; NORMAL syncs at checkpoints only."""
    connection, _ = _schema.open_database(tmp_path / "relay.db")
    try:
        modes = {
            name: connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "fullfsync", "checkpoint_fullfsync")
        }
    finally:
        connection.close()
    assert modes == {"journal_mode": "wal", "synchronous": 2, "fullfsync": 1, "checkpoint_fullfsync": 1}


async def test_a_body_and_its_name_are_durable_before_the_commit_and_that_before_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SEG-18: sync the file, move it, sync the folder, commit, answer."""
    steps: list[tuple[str, object]] = []
    fsync, rename, open_database = os.fsync, os.rename, _schema.open_database

    def traced(path: Path) -> tuple[sqlite3.Connection, bytes]:
        connection, incarnation = open_database(path)
        # Called as the statement begins: what it makes durable is so when the next step is seen.
        connection.set_trace_callback(lambda statement: steps.append(("statement", statement)))
        return connection, incarnation

    monkeypatch.setattr(_schema, "open_database", traced)
    store = SqliteStore.open(tmp_path)
    try:
        account = await made(store)

        def record_fsync(descriptor: int) -> None:
            fsync(descriptor)
            steps.append(("synced", os.fstat(descriptor).st_ino))

        def record_rename(before: Path, now: Path) -> None:
            rename(before, now)
            steps.append(("moved", os.stat(now).st_ino))

        monkeypatch.setattr(os, "fsync", record_fsync)
        monkeypatch.setattr(os, "rename", record_rename)
        steps.clear()
        staged = await store.stage(b"x" * LARGE)
        await store.append(account, 0, start(), [segment(1, staged)])
        done = list(steps)
    finally:
        await store.close()
    [body] = [path for path in (tmp_path / "bodies").rglob("*") if path.is_file()]
    file, folder = body.stat().st_ino, body.parent.stat().st_ino
    order = [done.index(step) for step in (("synced", file), ("moved", file))]
    order += [max(at for at, step in enumerate(done) if step == ("synced", folder))]
    order += [max(at for at, step in enumerate(done) if step == ("statement", "COMMIT"))]
    assert order == sorted(order), done
