"""Generated Telegram exports: of plain messages with all their usual keys, and of noise, which fills many segments."""

from __future__ import annotations

import json
import random
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

_OPENINGS = ("shall we meet", "they say it rains", "remember when we were", "我们见面吧", "听说你", "别忘了")
_PLACES = ("at the station", "in the old harbour", "near the museum", "在北京大学门口", "在火车站", "在海边")


def write_plain(path: Path, messages: int, *, chats: int = 20) -> Path:
    """Messages as Telegram Desktop writes them, in two languages, with replies, and service entries among them."""
    dice = random.Random(messages)
    listed = []
    for chat in range(1, chats + 1):
        entries = []
        for number in range(1, messages // chats + 1):
            moment = 1_600_000_000 + 61 * number + chat
            stamp = datetime.fromtimestamp(moment, UTC).replace(tzinfo=None).isoformat()
            who = dice.randrange(1, 9)
            entry = {"id": number, "date": stamp, "date_unixtime": str(moment)}
            if number % 40 == 1:
                said = {
                    "type": "service",
                    "actor": f"Friend {who} 友",
                    "actor_id": f"user{who}",
                    "action": "join_group",
                }
                text = ""
            else:
                said = {"type": "message", "from": f"Friend {who} 友", "from_id": f"user{who}"}
                text = f"{dice.choice(_OPENINGS)} {dice.choice(_PLACES)}, {dice.randrange(10**6)}"
            entities = [{"type": "plain", "text": text}] if text else []
            reply = {"reply_to_message_id": number - 1} if number % 7 == 2 else {}
            entries.append({**entry, **said, **reply, "text": text, "text_entities": entities})
        listed.append({"name": f"Plan {chat} 计划", "type": "private_supergroup", "id": chat, "messages": entries})
    export = {"about": "…", "chats": {"about": "…", "list": listed}}
    path.write_text(json.dumps(export, ensure_ascii=False, indent=1), encoding="utf-8")
    return path


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
