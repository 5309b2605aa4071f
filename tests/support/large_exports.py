"""A generated export that fills many segments with few messages: its texts are noise."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path


def write_noise(path: Path, messages: int, *, size: int = 500, seed: int = 1, chats: int = 5) -> Counter[str]:
    """A Telegram export whose texts hold `size` bytes of entropy each; returns the texts.

    About 260,000 bytes of entropy fill a segment.
    """
    dice = random.Random(seed)
    listed, texts = [], Counter[str]()
    for chat in range(1, chats + 1):
        entries = []
        for number in range(1, messages // chats + 1):
            text = f"{chat}-{number} 北京 {dice.randbytes(size).hex()}"
            texts[text] += 1
            entries.append(
                {
                    "id": number,
                    "type": "message",
                    "date_unixtime": str(1_600_000_000 + 61 * number + chat),
                    "from": f"Friend {chat}",
                    "from_id": f"user{chat}",
                    "text": text,
                }
            )
        listed.append({"name": f"Chat {chat}", "type": "private_supergroup", "id": chat, "messages": entries})
    path.write_text(json.dumps({"chats": {"list": listed}}, ensure_ascii=False), encoding="utf-8")
    return texts


def texts_of(exported: bytes) -> Counter[str]:
    """The texts of exported lines."""
    lines = map(json.loads, exported.splitlines())
    return Counter(line["text"] for line in lines if line["type"] == "record")
