"""The main job, from end to end, as a person would do it: `make demo`, or `make demo EXPORT=path`.

A relay on a free loopback port; a "phone" that imports a chat export and syncs; a "laptop" that recovers everything from
the recovery kit alone, verifies and searches; what the relay's disk holds beside what the phone shows; and what happens
when one byte on that disk changes. Runs the real commands; everything lives in a temporary directory, and nothing is left
running.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SEALKEEP = Path(sys.executable).with_name("sealkeep")
STEP_SECONDS = 300

FRIENDS = ("Ann", "王小明", "Bo", "李华")
OPENINGS = (
    *("shall we meet", "I am", "they say it rains", "remember when we were"),
    *("我们见面吧", "听说你", "妈妈问", "别忘了"),
)
PLACES = (
    *("at the station", "in the old harbour", "near the museum", "at home"),
    *("在北京大学门口", "在火车站", "在公园里", "在海边"),
)
CLOSINGS = (
    *("tomorrow?", "and bring the keys!", "— see you there", "after lunch"),
    *("明天下午三点", "好不好？", "🎂 生日快乐", "一起去爬山"),
)


def main() -> int:
    parser = argparse.ArgumentParser(description="Run sealkeep's main job from end to end.")
    parser.add_argument("--export", type=Path, help="a chat export of your own: file, zip or folder")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sealkeep-demo-") as directory:
        base = Path(directory)
        export = chosen.export or write_export(base / "result.json")
        with relay(base / "relay") as url:
            return run(base, export, url)


def run(base: Path, export: Path, url: str) -> int:
    phone, laptop, kit = base / "phone", base / "laptop", base / "kit.txt"

    say("The phone begins: a new account, and a recovery kit to print.")
    command(phone, "init", "--relay", url, "--kit", str(kit), "--name", "phone")
    say("It takes in the chat export, and sends it to the relay.")
    command(phone, "import", str(export))
    command(phone, "sync")
    command(phone, "chats", show=8)

    say("The phone is gone. All that is left is the recovery kit: a laptop takes it.")
    command(laptop, "recover", "--relay", url, "--kit", str(kit), "--name", "laptop")
    command(laptop, "sync")
    say("It reads everything once more from the relay, and proves it.")
    command(laptop, "verify")
    command(laptop, "search", word_of(phone), "--limit", "3")
    say("Is it the same? Both export everything; the files are compared byte by byte.")
    for home in (phone, laptop):
        command(home, "export", str(home.with_suffix(".jsonl")), "--format", "jsonl")
    same = phone.with_suffix(".jsonl").read_bytes() == laptop.with_suffix(".jsonl").read_bytes()
    print("The two exports are identical." if same else "THE TWO EXPORTS DIFFER.")
    if not same:
        return 1

    body = largest_body(base / "relay")
    say("What the phone shows, and what the relay's disk holds of it:")
    side_by_side(readable(phone, 8), hexadecimal(body, 8))

    say("Somebody changes one byte on the relay's disk.")
    flip(body)
    refused = command(laptop, "verify", expect=3)
    say("The laptop has refused it, and keeps what it has." if refused else "THE CHANGE WENT UNNOTICED.")
    return 0 if refused else 1


# Commands


def command(home: Path, *arguments: str, expect: int = 0, show: int = 40) -> bool:
    """Run one command as it would be typed, and show what it prints."""
    print(f"\n$ sealkeep --home {home.name} {' '.join(shorten(argument) for argument in arguments)}", flush=True)
    done = sealkeep(home, *arguments)
    lines = (done.stdout + done.stderr).rstrip().splitlines()
    print("\n".join(lines[:show]))
    if len(lines) > show:
        print(f"… and {len(lines) - show} more lines")
    if done.returncode != expect:
        raise SystemExit(f"the command ended with status {done.returncode}; {expect} was expected")
    return True


def sealkeep(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "SEALKEEP_PASSPHRASE": "only for the demo", "COLUMNS": "100"}
    return subprocess.run(
        [SEALKEEP, "--home", home, *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=STEP_SECONDS,
        check=False,
    )


@contextmanager
def relay(data: Path) -> Iterator[str]:
    """A relay on a free loopback port; stopped on the way out, whatever happens."""
    with data.with_suffix(".log").open("wb") as log:
        process = subprocess.Popen(
            [SEALKEEP, "relay", "--data", data, "--listen", "127.0.0.1:0", "--inline-bytes", "0", "--json"],
            stdout=subprocess.PIPE,
            stderr=log,
            stdin=subprocess.DEVNULL,
            text=True,
        )
    try:
        line = process.stdout.readline() if process.stdout is not None else ""
        if not line:
            raise SystemExit("the relay did not start")
        url = json.loads(line)["url"]
        say(f"A relay listens on {url}")
        yield url
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


# What the demo looks at


def largest_body(data: Path) -> Path:
    """The largest of the sealed bodies on the relay's disk. The demo's relay keeps none in its database."""
    files = [path for path in (data / "bodies").rglob("*") if path.is_file()]
    return max(files, key=lambda path: (path.stat().st_size, path))


def readable(home: Path, lines: int) -> list[str]:
    """The first lines of a chat, as the person sees them."""
    chats = [json.loads(line) for line in sealkeep(home, "chats", "--json").stdout.splitlines()]
    title = max(chats, key=lambda chat: chat["messages"])["title"]
    shown = sealkeep(home, "show", title, "--limit", str(lines), "--json").stdout.splitlines()
    records = [json.loads(line) for line in shown]
    return [f"{record.get('author') or ''}: {record.get('text') or ''}".replace("\n", " ") for record in records]


def word_of(home: Path) -> str:
    """A word to search for: one that stands in the newest messages."""
    words = [word for line in readable(home, 20) for word in line.partition(": ")[2].split() if word.isalpha()]
    return max(words, key=len, default="the")


def hexadecimal(body: Path, lines: int) -> list[str]:
    data = body.read_bytes()[: 16 * lines]
    return [data[start : start + 16].hex(" ") for start in range(0, len(data), 16)]


def side_by_side(left: list[str], right: list[str]) -> None:
    print(f"\n{'on the phone':<48}  on the relay's disk")
    for row in range(max(len(left), len(right))):
        shown = clip(left[row], 46) if row < len(left) else ""
        print(f"{shown}{' ' * (48 - width(shown))}  {right[row] if row < len(right) else ''}")


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(data)


# Words


def say(text: str) -> None:
    print(f"\n— {text}", flush=True)


def shorten(argument: str) -> str:
    return Path(argument).name if os.sep in argument and not argument.startswith("http") else argument


def width(text: str) -> int:
    return sum(2 if "\u1100" <= character <= "\uffdc" or character > "\U0001f000" else 1 for character in text)


def clip(text: str, columns: int) -> str:
    while width(text) > columns:
        text = text[:-1]
    return text


def write_export(path: Path) -> Path:
    """A bilingual Telegram export: four chats, two thousand messages, always the same."""
    chats = []
    dice = random.Random(7)
    for number, friend in enumerate(FRIENDS, start=1):
        messages = []
        for identifier in range(1, 501):
            mine = identifier % 3 == 0
            text = f"{dice.choice(OPENINGS)} {dice.choice(PLACES)} {dice.choice(CLOSINGS)} #{dice.randrange(10**6)}"
            moment = 1_700_000_000 + identifier * 977 + dice.randrange(900)
            messages.append(
                {
                    "id": identifier,
                    "type": "message",
                    "date_unixtime": str(moment),
                    "from": "Me" if mine else friend,
                    "from_id": "user1" if mine else f"user{number + 1}",
                    "text": text,
                    "text_entities": [{"type": "plain", "text": text}],
                }
            )
        chats.append({"name": friend, "type": "personal_chat", "id": number + 1, "messages": messages})
    export = {"personal_information": {"user_id": 1}, "chats": {"list": chats}}
    path.write_text(json.dumps(export, ensure_ascii=False), encoding="utf-8")
    return path


if __name__ == "__main__":
    raise SystemExit(main())
