"""Batches end with what their messages hold, not only with how many there are: memory must not grow with an export."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from sealkeep_client.importers import open_exports
from sealkeep_client.importers._model import BATCH_CHARACTERS

LENGTH = 60_000
MESSAGES = 3 * BATCH_CHARACTERS // LENGTH


def telegram(folder: Path) -> Path:
    said = [{"id": n, "type": "message", "date_unixtime": "1600000000", "text": "x" * LENGTH} for n in range(MESSAGES)]
    chat = {"name": "c", "type": "private_supergroup", "id": 7, "messages": said}
    (folder / "result.json").write_text(json.dumps(chat))
    return folder / "result.json"


def wechat(folder: Path) -> Path:
    rows = [f'{n},1,1,0,0,{1_600_000_000 + n},0,"{"x" * LENGTH}",,,,wxid_a' for n in range(MESSAGES)]
    head = "localId,TalkerId,Type,SubType,IsSender,CreateTime,Status,StrContent,StrTime,Remark,NickName,Sender"
    (folder / "chat.csv").write_text("\n".join([head, *rows, ""]))
    return folder / "chat.csv"


def whatsapp(folder: Path) -> Path:
    lines = [f"31/12/20, 10:{n % 60:02} - Ann: {'x' * LENGTH}\n" for n in range(MESSAGES)]
    (folder / "WhatsApp Chat with Ann.txt").write_text("".join(lines))
    return folder / "WhatsApp Chat with Ann.txt"


@pytest.mark.parametrize("write", [telegram, wechat, whatsapp])
def test_large_messages_come_few_at_a_time(write: Callable[[Path], Path], tmp_path: Path) -> None:
    (export,) = open_exports([write(tmp_path)])
    counts = [len(batch.messages) for batch in export.batches(4_000)]
    assert sum(counts) == MESSAGES
    assert len(counts) >= 3
    assert max(counts) <= BATCH_CHARACTERS // LENGTH + 1
