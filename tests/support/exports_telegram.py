"""A Telegram export with every key and type of the format (see `support.exports`)."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sealkeep_protocol.records import Kind
from support.exports import Expected, Json, Written

OWN, ANN, BOT = 777, 42, 900
_NAMES: dict[str, str | None] = {
    "user777": "Me Myself",
    "user42": "Ann 安",
    "user900": "Helper",
    "user13": None,
    "channel55": "Daily News",
}
_START = datetime(2023, 7, 1, 12, 0, 0)
_OFFSET = 120
_PLACEHOLDER = "(File not included. Change data exporting settings to download.)"


def plain(text: str) -> dict[str, Json]:
    """A text without formatting, as both keys say it."""
    return {"text": text, "text_entities": [{"type": "plain", "text": text}] if text else []}


def _rich() -> dict[str, Json]:
    parts: list[Json] = ["𝒜 ", {"type": "bold", "text": "粗体"}, " and "]
    for name in (
        "italic",
        "underline",
        "strikethrough",
        "code",
        "spoiler",
        "blockquote",
        "mention",
        "hashtag",
        "cashtag",
        "bot_command",
        "link",
        "email",
        "phone",
        "bank_card",
        "unknown",
        "some_later_type",
    ):
        parts += [{"type": name, "text": f"<{name}>"}, " 😀 "]
    parts += [
        {"type": "pre", "text": "x = 1", "language": "python"},
        {"type": "pre", "text": "y", "language": ""},
        {"type": "text_link", "text": "here", "href": "https://example.org/?a=1&b=2"},
        {"type": "mention_name", "text": "Ann", "user_id": ANN},
        {"type": "custom_emoji", "text": "🐈", "document_id": "stickers/cat.webp"},
        {"type": "blockquote", "text": "folded", "collapsed": True},
    ]
    return {"text": parts, "text_entities": [{"type": "plain", "text": p} if type(p) is str else p for p in parts]}


def _file(name: str, **more: Json) -> dict[str, Json]:
    return {"file": f"files/{name}", "file_name": name, "file_size": 1234, **more}


_MESSAGES: list[tuple[Kind, dict[str, Json]]] = [
    (Kind.TEXT, plain("hello")),
    (Kind.TEXT, plain("")),
    (
        Kind.TEXT,
        {"text": [{"type": "link", "text": "https://a.b"}], "text_entities": [{"type": "link", "text": "https://a.b"}]},
    ),
    (Kind.TEXT, _rich()),
    (Kind.TEXT, {**plain("an answer"), "reply_to_message_id": 1}),
    (Kind.TEXT, {**plain("an answer elsewhere"), "reply_to_message_id": 9, "reply_to_peer_id": "channel55"}),
    (Kind.TEXT, {**plain("edited"), "edited": "2023-07-02T01:00:00", "edited_unixtime": "1688252400"}),
    (Kind.TEXT, {**plain("edited in winter"), "edited": "2023-12-02T01:00:00", "edited_unixtime": "1701475200"}),
    (Kind.TEXT, {**plain("on"), "forwarded_from": "Daily News", "forwarded_from_id": "channel55", "saved_from": None}),
    (
        Kind.TEXT,
        {**plain("hidden"), "forwarded_from": None, "saved_from": "Ann 安", "via_bot": "@helper", "author": "Ed"},
    ),
    (Kind.IMAGE, {**plain("see"), "photo": "photos/1.jpg", "photo_file_size": 9, "width": 800, "height": 600}),
    (Kind.IMAGE, {**plain(""), "photo": _PLACEHOLDER, "width": 1, "height": 2, "media_spoiler": True}),
    (Kind.VIEW_ONCE, {**plain(""), "photo": "photos/2.jpg", "self_destruct_period_seconds": 30}),
    (
        Kind.FILE,
        {**plain("doc"), **_file("a.pdf", mime_type="application/pdf"), "thumbnail": "t.jpg", "thumbnail_file_size": 7},
    ),
    (Kind.FILE, {**plain(""), "file": f"b.zip {_PLACEHOLDER}", "mime_type": "application/zip"}),
    (Kind.STICKER, {**plain(""), **_file("s.webp", media_type="sticker", sticker_emoji="🐈", width=512, height=512)}),
    (
        Kind.VOICE,
        {**plain(""), **_file("v.ogg", media_type="voice_message", mime_type="audio/ogg", duration_seconds=3)},
    ),
    (
        Kind.ROUND_VIDEO,
        {**plain(""), **_file("r.mp4", media_type="video_message", mime_type="video/mp4", duration_seconds=9)},
    ),
    (Kind.ANIMATION, {**plain(""), **_file("g.mp4", media_type="animation", mime_type="video/mp4", width=2, height=3)}),
    (
        Kind.VIDEO,
        {**plain("clip"), **_file("c.mp4", media_type="video_file", mime_type="video/mp4", duration_seconds=60)},
    ),
    (
        Kind.AUDIO,
        {**plain(""), **_file("m.mp3", media_type="audio_file", performer="Bach", title="Air", duration_seconds=0)},
    ),
    (Kind.FILE, {**plain(""), **_file("x.y", media_type="a_later_media", duration_seconds=1.5)}),
    (
        Kind.CONTACT_CARD,
        {
            **plain(""),
            "contact_information": {"first_name": "A", "last_name": "", "phone_number": "+1 2"},
            "contact_vcard": "contacts/1.vcf",
            "contact_vcard_file_size": 99,
        },
    ),
    (Kind.LOCATION, {**plain(""), "location_information": {"latitude": 52.5162746, "longitude": 13.377704}}),
    (Kind.LOCATION, {**plain(""), "location_information": None, "live_location_period_seconds": 900}),
    (
        Kind.LOCATION,
        {
            **plain(""),
            "place_name": "Café",
            "address": "Rd 1",
            "location_information": {"latitude": 1.0, "longitude": -2e-5},
        },
    ),
    (
        Kind.POLL,
        {
            **plain(""),
            "poll": {
                "question": "Q?",
                "closed": False,
                "total_voters": 2,
                "answers": [{"text": "a", "voters": 2, "chosen": True}, {"text": "b", "voters": 0, "chosen": False}],
            },
        },
    ),
    (Kind.LINK, {**plain(""), "game_title": "Go", "game_description": "a game", "game_link": "https://t.me/b?game=go"}),
    (
        Kind.MONEY,
        {
            **plain(""),
            "invoice_information": {
                "title": "T",
                "description": "D",
                "amount": 100,
                "currency": "EUR",
                "receipt_message_id": 4,
            },
        },
    ),
    (
        Kind.MONEY,
        {
            **plain(""),
            "giveaway_information": {"quantity": 3, "months": 6, "until_date": "2023-08-01T00:00:00", "channels": [55]},
        },
    ),
    (Kind.ANIMATION, {**plain(""), "dice": {"emoji": "🎲", "value": 5}}),
    (
        Kind.TEXT,
        {
            **plain("buttons"),
            "inline_bot_buttons": [
                [{"type": "url", "text": "Go", "data": "https://x.y"}],
                [{"type": "callback", "text": "Hi", "dataBase64": "aGk="}],
            ],
        },
    ),
    (
        Kind.TEXT,
        {**plain("a later key"), "some_later_key": {"deep": [[[[[[{"deeper": [1, None, True]}]]]]]], "big": 5}},
    ),
    (
        Kind.TEXT,
        {
            **plain("liked"),
            "reactions": [
                {
                    "type": "emoji",
                    "count": 2,
                    "emoji": "👍",
                    "recent": [
                        {"from": "Ann 安", "from_id": "user42", "date": "2023-07-01T13:00:00"},
                        {"from": None, "from_id": "user13", "date": "2023-07-01T13:00:01"},
                    ],
                },
                {
                    "type": "emoji",
                    "count": 5,
                    "emoji": "🔥",
                    "recent": [{"from": "Helper", "from_id": "user900", "date": "2023-07-01T13:00:02"}],
                },
                {"type": "emoji", "count": 3, "emoji": "🎉"},
                {
                    "type": "custom_emoji",
                    "count": 1,
                    "document_id": "stickers/dog.tgs",
                    "recent": [{"from": "Ann 安", "from_id": "user42", "date": "2023-07-01T13:00:03"}],
                },
                {"type": "paid", "count": 50},
            ],
        },
    ),
]

_SERVICES: list[tuple[Kind, dict[str, Json]]] = [
    (Kind.SERVICE, {"action": "create_group", "title": "Plans", "members": ["Ann 安", None]}),
    (Kind.SERVICE, {"action": "edit_group_title", "title": "Plans 2"}),
    (Kind.SERVICE, {"action": "edit_group_photo", "photo": "photos/g.jpg", "width": 640, "height": 640}),
    (Kind.SERVICE, {"action": "invite_members", "members": ["Helper"]}),
    (Kind.SERVICE, {"action": "join_group_by_link", "inviter": "Ann 安"}),
    (Kind.SERVICE, {"action": "pin_message", "message_id": 3}),
    (Kind.SERVICE, {"action": "migrate_from_group", "title": "Old"}),
    (Kind.SERVICE, {"action": "score_in_game", "game_message_id": 28, "score": 12}),
    (
        Kind.MONEY,
        {"action": "send_payment", "amount": 1, "currency": "EUR", "invoice_message_id": 29, "recurring": "used"},
    ),
    (Kind.CALL, {"action": "phone_call", "duration_seconds": 61, "discard_reason": "hangup"}),
    (Kind.SERVICE, {"information_text": "something"}),
    (Kind.SERVICE, {"action": "send_passport_values", "values": ["passport", "email"]}),
    (Kind.SERVICE, {"action": "proximity_reached", "to": "Ann 安", "to_id": "user42", "distance": 5}),
    (Kind.SERVICE, {"action": "set_messages_ttl", "period": 86400}),
    (Kind.SERVICE, {"action": "edit_chat_theme", "emoticon": "🐥"}),
    (Kind.MONEY, {"action": "send_premium_gift", "cost": "1 EUR", "months": 3}),
    (Kind.SERVICE, {"action": "a_later_action", "with": {"anything": [1, 2.5]}}),
]


def _stamp(entry: dict[str, Json], number: int) -> datetime:
    shown = _START + timedelta(seconds=number * 7)
    unix = int((shown - timedelta(minutes=_OFFSET)).replace(tzinfo=UTC).timestamp())
    entry |= {"date": shown.isoformat(), "date_unixtime": str(unix)}
    return shown


def telegram_entries(chat: str) -> tuple[list[dict[str, Json]], list[Expected]]:
    """Entries of every kind, as one chat's `messages` and as what is expected of them."""
    entries, expected = [], []
    authors = ["user42", "user777", "user13"]
    for number, (kind, keys) in enumerate([*_MESSAGES, *_SERVICES], 1):
        is_service = "text" not in keys
        author = authors[number % 3]
        who = "actor" if is_service else "from"
        entry: dict[str, Json] = {"id": number, "type": "service" if is_service else "message"}
        shown = _stamp(entry, number)
        entry |= {who: _NAMES[author], f"{who}_id": author, **(plain("") if is_service else {}), **keys}
        text = entry["text"]
        if type(text) is list:
            text = "".join(part if type(part) is str else part["text"] for part in text)
        entries.append(entry)
        expected.append(Expected(chat, _NAMES[author], shown, text or None, kind, entry, _OFFSET))
    return entries, expected


def write_telegram(folder: Path, *, full: bool = True) -> Written:
    """A full export (all chat types, contacts, account) or a single chat, as `result.json` in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "result.json"
    entries, expected = telegram_entries("Plans")
    group = {"name": "Plans", "type": "private_supergroup", "id": 1000000, "messages": entries}
    document: Json = group
    if full:
        others: list[Json] = []
        left: list[Json] = []
        for number, (name, chat_type) in enumerate(_CHATS, 1):
            entry = {
                "id": number,
                "type": "message",
                "from": _NAMES["user42"],
                "from_id": "user42",
                **plain(f"in {chat_type}"),
            }
            shown = _stamp(entry, number)
            chat: dict[str, Json] = {"name": name, "type": chat_type, "id": 2000 + number, "messages": [entry]}
            if name is None:
                del chat["name"]
            (left if chat_type == "private_channel" else others).append(chat)
            title = name or {"saved_messages": "Saved Messages", "replies": "Replies"}[chat_type]
            expected.append(Expected(title, "Ann 安", shown, f"in {chat_type}", Kind.TEXT, entry, _OFFSET))
        document = {
            "about": "Here is the data you requested.",
            "personal_information": {
                "user_id": OWN,
                "first_name": "Me",
                "last_name": "Myself",
                "phone_number": "+1",
                "username": "@me",
                "bio": "b",
            },
            "profile_pictures": [{"date": "2023-01-01T00:00:00", "photo": "(Photo not included.)"}],
            "contacts": {
                "about": "…",
                "list": [
                    {
                        "user_id": ANN,
                        "first_name": "Ann",
                        "last_name": "安",
                        "phone_number": "+2",
                        "date": "2020-01-01T00:00:00",
                    },
                    {"first_name": "Nobody", "last_name": "", "phone_number": "+3"},
                ],
            },
            "frequent_contacts": {
                "about": "…",
                "list": [{"id": ANN, "category": "people", "type": "user", "name": "Ann", "rating": 1.5}],
            },
            "chats": {"about": "This page lists all chats from this export.", "list": [group, *others]},
            "left_chats": {"about": "…", "list": left},
            "sessions": {"about": "…", "list": [{"last_ip": "127.0.0.1"}]},
        }
    path.write_text(json.dumps(document, ensure_ascii=False, indent=1), encoding="utf-8")
    return Written(path, expected, _NAMES)


_CHATS = [
    ("Ann 安", "personal_chat"),
    ("Helper", "bot_chat"),
    (None, "saved_messages"),
    (None, "replies"),
    ("Old group", "private_group"),
    ("Town", "public_supergroup"),
    ("Secret news", "private_channel"),
    ("Daily News", "public_channel"),
]
