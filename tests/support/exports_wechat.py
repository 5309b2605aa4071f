"""WeChat exports with every type, and the way back from their records (see `support.exports`)."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sealkeep_protocol.records import Kind, Message
from support.exports import Expected, Written, civil

WECHAT_COLUMNS = (
    "localId",
    "TalkerId",
    "Type",
    "SubType",
    "IsSender",
    "CreateTime",
    "Status",
    "StrContent",
    "StrTime",
    "Remark",
    "NickName",
    "Sender",
)
_QUOTE_XML = (
    '<?xml version="1.0"?><msg><appmsg appid="" sdkver="0"><title>同意 &amp; 好</title><type>57</type><refermsg>'
    "<type>1</type>"
    "<chatusr>wxid_ann</chatusr><displayname>安</displayname><content>去吗？</content><createtime>1600000000</createtime>"
    "</refermsg></appmsg></msg>"
)
_CONTENTS: list[tuple[int, int, str, Kind, str | None]] = [
    (1, 0, '你好，\n第二行,"引号"', Kind.TEXT, '你好，\n第二行,"引号"'),
    (1, 0, "<b>not markup</b>", Kind.TEXT, "<b>not markup</b>"),
    (1, 0, "=1+1", Kind.TEXT, "=1+1"),
    (3, 0, "", Kind.IMAGE, None),
    (3, 0, '<msg><img length="1234" hdlength="0"/></msg>', Kind.IMAGE, None),
    (34, 0, '<msg><voicemsg voicelength="2500" length="999"/></msg>', Kind.VOICE, None),
    (42, 0, '<msg username="wxid_c" nickname="张三"/>', Kind.CONTACT_CARD, None),
    (43, 0, '<msg><videomsg length="9" playlength="7"/></msg>', Kind.VIDEO, None),
    (47, 0, '<msg><emoji md5="ab" len="5"/></msg>', Kind.STICKER, None),
    (48, 0, '<msg><location x="39.9" y="116.3" label="路" poiname="园"/></msg>', Kind.LOCATION, None),
    (50, 0, "通话时长 01:02", Kind.CALL, "通话时长 01:02"),
    (
        49,
        5,
        "<msg><appmsg><title>题</title><des>述</des><url>https://e.org/?a=1&amp;b=2</url></appmsg></msg>",
        Kind.LINK,
        "题",
    ),
    (
        49,
        6,
        "<msg><appmsg><title>a.pdf</title><appattach><totallen>77</totallen></appattach></appmsg></msg>",
        Kind.FILE,
        "a.pdf",
    ),
    (
        49,
        19,
        "<msg><appmsg><title>聊天记录</title><recorditem><![CDATA[<recordinfo/>]]></recorditem></appmsg></msg>",
        Kind.MERGED_FORWARD,
        "聊天记录",
    ),
    (49, 33, "<msg><appmsg><title>小程序</title></appmsg></msg>", Kind.LINK, "小程序"),
    (49, 57, _QUOTE_XML, Kind.TEXT, "同意 & 好"),
    (
        49,
        2000,
        "<msg><appmsg><title>微信转账</title><wcpayinfo><feedesc>￥1.00</feedesc></wcpayinfo></appmsg></msg>",
        Kind.MONEY,
        "微信转账",
    ),
    (49, 5, "<msg><appmsg><title>broken", Kind.LINK, None),
    (49, 5, '<!DOCTYPE x [<!ENTITY a "b">]><msg><appmsg><title>&a;</title></appmsg></msg>', Kind.LINK, None),
    (49, 9999, "later", Kind.UNKNOWN, "later"),
    (10000, 0, "以上是打招呼的内容", Kind.SERVICE, "以上是打招呼的内容"),
    (10000, 0, '"安" 撤回了一条消息', Kind.RECALL, '"安" 撤回了一条消息'),
    (10000, 4, '"安" 拍了拍我', Kind.POKE, '"安" 拍了拍我'),
    (1, 0, "好", Kind.TEXT, "好"),
    (1, 0, "好", Kind.TEXT, "好"),
]


def write_wechat(folder: Path, *, wxid: str = "wxid_ann", nick: str = "安", people: bool = True) -> Written:
    """A folder `nick(wxid)` with a CSV of every type; `people=False` leaves the last three columns empty."""
    home = folder / f"{nick}({wxid})"
    home.mkdir(parents=True, exist_ok=True)
    path = home / f"{nick}.csv"
    expected = []
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(WECHAT_COLUMNS)
        for number, (kind_number, sub, content, kind, text) in enumerate(_CONTENTS):
            sent = number % 2
            # the last two are in one second
            shown = datetime(2021, 1, 16, 4, 12, 0) + timedelta(seconds=min(number, len(_CONTENTS) - 2) // 2 * 2)
            unix = int((shown - timedelta(hours=8)).replace(tzinfo=UTC).timestamp())
            sender = ("我", "我", "wxid_me") if sent else (f"{nick}备注", nick, wxid)
            row = [
                str(100 + number),
                "7",
                str(kind_number),
                str(sub),
                str(sent),
                str(unix),
                "2" if sent else "3",
                content,
                shown.strftime("%Y-%m-%d %H:%M:%S"),
                *(sender if people else ("", "", "")),
            ]
            writer.writerow(row)
            entry = dict(zip(WECHAT_COLUMNS, row, strict=True))
            expected.append(Expected(nick, sender[1] if people else None, shown, text, kind, entry, 480))
    return Written(path, expected, {"wxid_me": "我", wxid: nick})


def rebuild_wechat(
    message: Message, remarks: Mapping[str, str | None], names: Mapping[str, str | None]
) -> dict[str, str]:
    """The row that a record was made of, but for TalkerId, which is with the conversation."""
    extension = dict(message.extension or {})
    source = message.source
    assert isinstance(source, tuple)
    seconds, sender, kind_number, sub = source[:4]
    row = {
        "localId": str(extension.pop("localId", "")),
        "Type": str(kind_number),
        "SubType": str(sub),
        "IsSender": "1" if message.direction == 2 else "0",
        "CreateTime": str(seconds),
        "Status": str(extension.pop("Status", "")),
        "StrContent": message.text or "",
        "StrTime": civil(message.time, message.offset or 0).replace("T", " "),
        "Remark": remarks.get(str(sender)) or "",
        "NickName": names.get(str(sender)) or "",
        "Sender": str(sender),
    }
    return row | {key: str(value) for key, value in extension.items()}
