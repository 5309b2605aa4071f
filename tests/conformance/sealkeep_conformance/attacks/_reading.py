"""Attacks on a device that reads: pages, heads, and the line (spec §8.5, §6.8).

The victim is the laptop, at stage `news` where nothing else is said.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Final

from sealkeep_conformance.attacks._model import Attack, Broken, Facts, Found, Harmless, Outcome, Refused, Unseen
from sealkeep_conformance.relay import Route
from sealkeep_conformance.relay import faults as f

PAGES: Final = ("changes",)


def _at_news(
    name: str,
    says: str,
    faults: Callable[[Facts], Sequence[f.Fault]],
    outcome: Outcome,
    *,
    stage: str = "news",
    routes: Collection[Route] | None = None,
    confirms: Collection[Route] = (),
) -> Attack:
    return Attack(name, says, stage, faults, outcome, routes=routes, confirms=confirms)


HISTORY: Final = (
    _at_news(
        "rollback",
        "shows the account as it was before what the device has read",
        lambda _: [f.Rollback(position=2)],
        Found("rollback", 1, 3),
    ),
    _at_news(
        "rollback-all",
        "shows an account without any segment",
        lambda _: [f.Rollback(position=0)],
        Found("rollback", 1, 3),
    ),
    _at_news(
        "rollback-own",
        "has lost what the device itself wrote",
        lambda _: [f.Withhold(device=2, after=0)],
        Found("rollback", 2, 1),
    ),
    _at_news(
        "rollback-roster",
        "shows the account as it was before the device joined, as a backup would",
        lambda _: [f.Rollback(position=2, entry=0)],
        Found("rollback"),
    ),
    _at_news(
        "withhold",
        "withholds the end of a feed, which no other device has been shown",
        lambda _: [f.Withhold(device=1, after=4)],
        Unseen(("p5", "p6")),
    ),
    _at_news(
        "withhold-named",
        "withholds the end of a feed that another device's segment names",
        lambda _: [f.Withhold(device=1, after=4)],
        Found("missing", 3, 2),
        stage="named",
    ),
    _at_news(
        "old-state",
        "shows the account as it was, newer than what the device has read and older than the truth",
        lambda _: [f.Rollback(position=6, entry=2)],
        Unseen(("p5", "p6", "p7")),
        stage="entry",
    ),
)

SEGMENTS: Final = (
    _at_news("drop", "leaves out a segment between two others", lambda _: [f.Drop(1, 5)], Found("gap", 1, 6)),
    _at_news("drop-last", "leaves out the last segment of a feed", lambda _: [f.Drop(1, 6)], Found("missing", 1, 6)),
    _at_news(
        "drop-named", "leaves out a segment that another feed's names", lambda _: [f.Drop(3, 1)], Found("missing", 1, 4)
    ),
    _at_news(
        "reorder",
        "swaps two segments of a feed, and numbers them anew",
        lambda _: [f.Reorder(1, 6, 1, 5)],
        Found("gap", 1, 6),
    ),
    _at_news(
        "reorder-feeds",
        "shows a segment before the other feed's that it names",
        lambda _: [f.Reorder(1, 4, 3, 1)],
        Found("missing", 1, 4),
    ),
    _at_news(
        "replay", "shows a segment again that the device has read", lambda _: [f.Replay(1, 2)], Found("replay", 1, 2)
    ),
    _at_news("replay-new", "shows a new segment twice", lambda _: [f.Replay(1, 6)], Found("replay", 1, 6)),
    _at_news(
        "duplicate-position",
        "gives two segments one position",
        lambda _: [f.DuplicatePosition(1, 5)],
        Found("replay", 1, 5),
    ),
    _at_news(
        "swap-devices",
        "shows one device's segment as another's",
        lambda _: [f.Swap(1, 4, "all", 3, 1)],
        Found("signature", 1, 4),
    ),
    _at_news(
        "swap-addresses",
        "offers a segment under another device's number",
        lambda _: [f.Relabel(3, 1, as_device=1, as_seq=4)],
        Found("signature", 1, 4),
    ),
    _at_news(
        "swap-seqs",
        "offers a segment under another seq",
        lambda _: [f.Relabel(1, 4, as_device=1, as_seq=5)],
        Found("replay", 1, 5),
    ),
    _at_news(
        "swap-headers",
        "shows the next header with a segment's ciphertexts",
        lambda _: [f.Swap(1, 5, "header", 1, 6)],
        Found("replay", 1, 5),
    ),
    _at_news(
        "swap-accounts",
        "shows another account's segment",
        lambda facts: [f.Swap(1, 5, "all", 1, 1, facts.neighbour)],
        Found("signature", 1, 5),
    ),
    _at_news(
        "swap-epochs",
        "shows a body of an earlier epoch",
        lambda _: [f.Swap(1, 5, "body", 1, 1)],
        Found("digest", 1, 5),
    ),
    _at_news(
        "swap-conversations",
        "shows the body of another segment, of another chat, say",
        lambda _: [f.Swap(1, 5, "body", 1, 6)],
        Found("digest", 1, 5),
    ),
    _at_news(
        "swap-summaries",
        "shows another segment's summary",
        lambda _: [f.Swap(1, 5, "summary", 1, 6)],
        Found("digest", 1, 5),
    ),
    _at_news("strip-body", "withholds a body", lambda _: [f.Strip(1, 5, "body")], Found("missing", 1, 5)),
    _at_news("strip-summary", "withholds a summary", lambda _: [f.Strip(1, 5, "summary")], Found("missing", 1, 5)),
    _at_news("shorten-body", "cuts a body short", lambda _: [f.Shorten(1, 5, "body")], Found("digest", 1, 5)),
    _at_news("shorten-header", "cuts a header short", lambda _: [f.Shorten(1, 5, "header")], Found("malformed", 1, 5)),
    _at_news(
        "flip-signature", "flips a bit of a signature", lambda _: [f.Flip(1, 5, "header", -1)], Found("signature", 1, 5)
    ),
    _at_news(
        "flip-header",
        "flips a bit of what is signed",
        lambda _: [f.Flip(1, 5, "header", 800)],
        Found("signature", 1, 5),
    ),
    _at_news(
        "flip-frame", "flips a bit of a header's frame", lambda _: [f.Flip(1, 5, "header", 0)], Found("malformed", 1, 5)
    ),
    _at_news("flip-body", "flips a bit of a body", lambda _: [f.Flip(1, 5, "body", 99)], Found("digest", 1, 5)),
    _at_news(
        "flip-summary", "flips a bit of a summary", lambda _: [f.Flip(1, 5, "summary", 99)], Found("digest", 1, 5)
    ),
)

CURSORS: Final = (
    _at_news("cursor-back", "ends a page with a cursor that goes back", lambda _: [f.Cursor(by=-5)], Found("replay")),
    _at_news(
        "cursor-ahead", "ends the last page with a cursor far ahead", lambda _: [f.Cursor(by=1 << 40)], Harmless()
    ),
    _at_news(
        "endless-pages", "shows empty pages and promises more for ever", lambda _: [f.EmptyPages()], Found("replay")
    ),
    _at_news("another-store", "names another incarnation on a page", lambda _: [f.AnotherStore()], Found("replay")),
    _at_news(
        "positions-ahead",
        "gives new segments greater positions than they have",
        lambda _: [f.Renumber(after=4, by=1)],
        Harmless(),
    ),
    _at_news(
        "positions-far-ahead",
        "gives new segments positions that no relay ever comes to",
        lambda _: [f.Renumber(after=4, by=1 << 60)],
        Harmless(),
    ),
    _at_news(
        "positions-behind",
        "withholds a segment, and gives its position to the next",
        lambda _: [f.Withhold(device=3, after=0), f.Renumber(after=5, by=-1)],
        Unseen(("t1",)),
        stage="aside",
    ),
)

HEADS: Final = (
    _at_news(
        "stale-head", "names an older head than the device has read", lambda _: [f.Head(1, 2)], Found("rollback", 1, 3)
    ),
    _at_news(
        "no-head", "names no head of a feed that the device has read", lambda _: [f.Head(1, 0)], Found("rollback", 1, 3)
    ),
    _at_news(
        "false-head", "names another header as the head", lambda _: [f.Head(1, 3, made_up=True)], Found("fork", 1, 3)
    ),
    _at_news(
        "false-head-new",
        "names another header than it shows",
        lambda _: [f.Head(1, 6, made_up=True)],
        Found("fork", 1, 6),
        confirms=("changes", "feed"),
    ),
    _at_news(
        "head-beyond",
        "names a head that nobody signed",
        lambda _: [f.Head(1, 9, made_up=True)],
        Found("missing", 1, 9),
        confirms=("changes", "feed"),
    ),
    _at_news(
        "head-of-nobody",
        "names a head of a device that there is not",
        lambda _: [f.Head(9, 1, made_up=True)],
        Found("missing", 9, 1),
        confirms=("changes", "feed"),
    ),
    _at_news(
        "own-head-beyond",
        "names a head of the device's own feed that it never wrote",
        lambda _: [f.Head(2, 2, made_up=True)],
        Found("missing", 2, 2),
        confirms=("changes", "feed"),
    ),
    _at_news(
        "heads-position",
        "names an older position than its heads have",
        lambda _: [f.HeadsPosition(0)],
        Found("missing", 1, 6),
    ),
    _at_news("heads-room", "tells a tale about the room that is used", lambda _: [f.HeadsRoom()], Harmless()),
    _at_news(
        "restless",
        "is another store whenever it is asked",
        lambda _: [f.Restless()],
        Refused("incarnation"),
        confirms=("changes", "feed"),
    ),
)

LINE: Final = (
    _at_news(
        "truncate",
        "cuts the bytes of a page short, well-framed",
        lambda _: [f.Truncate(keep=-1)],
        Broken(),
        routes=PAGES,
    ),
    _at_news(
        "truncate-broken",
        "breaks the line inside a page",
        lambda _: [f.Truncate(keep=300, broken=True)],
        Broken(),
        routes=PAGES,
    ),
    _at_news(
        "truncate-items", "ends a page between two segments, without its trailer", lambda _: [f.NoTrailer()], Broken()
    ),
    _at_news(
        "truncate-heads", "cuts the heads short", lambda _: [f.Truncate(keep=-1)], Found("malformed"), routes=("heads",)
    ),
    _at_news(
        "flip-page", "flips a bit of a page's framing", lambda _: [f.FlipByte(0)], Found("malformed"), routes=PAGES
    ),
    _at_news(
        "flip-heads", "flips a bit of the heads", lambda _: [f.FlipByte(0)], Found("malformed"), routes=("heads",)
    ),
    _at_news("page-twice", "sends a page twice in one", lambda _: [f.Trailing()], Found("malformed"), routes=PAGES),
    _at_news(
        "oversize-page",
        "shows more segments on a page than were asked for",
        lambda _: [f.OversizePage(items=40)],
        Found("too-large"),
    ),
    _at_news(
        "oversize-item",
        "shows a body larger than any can be",
        lambda _: [f.OversizeItem(1, 5, size=500_000)],
        Found("too-large"),
    ),
    _at_news(
        "endless-item", "sends an item without end", lambda _: [f.Endless("item")], Found("too-large"), routes=PAGES
    ),
    _at_news(
        "endless-page", "sends a page without end", lambda _: [f.Endless("items")], Found("too-large"), routes=PAGES
    ),
    _at_news(
        "endless-heads",
        "sends heads without end",
        lambda _: [f.Endless("bytes")],
        Found("too-large"),
        routes=("heads",),
    ),
    _at_news("drip", "sends a page a byte at a time", lambda _: [f.Drip(seconds=0.02)], Broken(), routes=PAGES),
    _at_news("silence", "never answers", lambda _: [f.Silence()], Broken(), routes=PAGES),
    _at_news("lost-answer", "breaks the line instead of answering", lambda _: [f.Lose()], Broken(), routes=PAGES),
    _at_news("problem-200", "answers 200 with a problem", lambda _: [f.Instead("problem")], Broken(), routes=PAGES),
    _at_news(
        "problem-disguised",
        "answers 200 with a problem's text as a page",
        lambda _: [f.Instead("disguised")],
        Found("too-large"),
        routes=PAGES,
    ),
    _at_news(
        "html-200",
        "answers 200 with a web page, as a captive network does",
        lambda _: [f.Instead("html")],
        Broken(),
        routes=PAGES,
    ),
    _at_news("empty-200", "answers 200 with nothing", lambda _: [f.Instead("empty")], Broken(), routes=PAGES),
    _at_news(
        "number-200", "answers 200 with another item", lambda _: [f.Instead("number")], Found("malformed"), routes=PAGES
    ),
    _at_news(
        "media-type", "sends a page under another media type", lambda _: [f.Instead("text")], Broken(), routes=PAGES
    ),
    _at_news(
        "deflate", "sends a page deflated, which nobody asked for", lambda _: [f.Inflate()], Broken(), routes=PAGES
    ),
    _at_news("redirect", "points elsewhere", lambda _: [f.Status(302)], Broken(), routes=PAGES),
    _at_news("bare-error", "answers an error without a problem", lambda _: [f.Status(404)], Broken(), routes=PAGES),
)
