"""A killed process leaves whole transactions, and a store that opens (P9)."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sealkeep_client.store import MessageEntry, Passphrase, Store, UploadClass

CHILD = """
import sys
from pathlib import Path
from sealkeep_client.store import Passphrase, Store, UploadClass
from sealkeep_protocol.records import ConversationKey, Message, RecordIds

store = Store.open(Path(sys.argv[1]), Passphrase("correct horse"))
store.ids = RecordIds(bytes(range(32)))
run = store.outbox.start_run()
chat = ConversationKey("telegram", "", "user:1")
for start in range(0, 10_000_000, 2000):
    store.put(
        [
            Message(conversation=chat, source=n, time=n * 1000, kind=1, text=f"word{n} 天气")
            for n in range(start, start + 2000)
        ],
        upload=UploadClass.HISTORY,
        run=run,
    )
    print(start + 2000, flush=True)
"""


@pytest.mark.parametrize(
    "seed", [1, 2, pytest.param(3, marks=pytest.mark.long), pytest.param(4, marks=pytest.mark.long)]
)
def test_kill(tmp_path: Path, unlock: Passphrase, store: Store, seed: int) -> None:
    store.close()
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path / "home")], stdout=subprocess.PIPE)
    assert child.stdout is not None
    told = int(child.stdout.readline())
    time.sleep(random.Random(seed).uniform(0, 0.3))
    child.kill()
    told = max([told, *map(int, child.stdout.read().split()[-1:])])
    child.wait()
    with Store.open(tmp_path / "home", unlock) as again:
        again.ids = store.ids
        (waiting,) = again.outbox.waiting()
        # What was told is there; one more batch may have been kept without being told.
        assert waiting.records in (told, told + 2000)
        count = sum(isinstance(entry, MessageEntry) for entry in again.views.everything())
        (chat,) = again.views.conversations()
        assert count == chat.messages == waiting.records
        assert again._database.value("PRAGMA integrity_check") == "ok"
        assert [entry.view.message.source for entry in again.views.search(f"word{count - 1}")] == [count - 1]
        assert list(again.views.search(f"word{count}")) == []
        assert again._database.value("SELECT count(*) FROM words WHERE words MATCH '天气'") == count
        batch = again.outbox.read(UploadClass.HISTORY, limit=5)
        assert batch is not None
        assert len(batch.records) == 5


CREATING = """
import os, sys
from pathlib import Path
from sealkeep_client.store import Passphrase, Store, Strength

store = Store.create(Path(sys.argv[1]), Passphrase("first", strength=Strength(1, 8192)))
store.sync.put("mine", b"half")
os.kill(os.getpid(), 9)
"""


def test_killed_while_a_home_is_made(tmp_path: Path, unlock: Passphrase) -> None:
    subprocess.run([sys.executable, "-c", CREATING, str(tmp_path)], check=False)
    assert (tmp_path / "vault.new").is_dir()
    with Store.create(tmp_path, unlock) as store:
        assert store.sync.get("mine") is None
        store.publish()
    Store.open(tmp_path, unlock).close()
