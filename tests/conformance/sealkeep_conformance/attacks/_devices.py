"""What a device can sign that was enrolled once, and an honest one never would (spec §1.5, P3, P6, P7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sealkeep_conformance.attacks._model import Found, Harmless, Lacking, Locked, Outcome, Refused, Unreadable, Unseen


@dataclass(frozen=True, slots=True)
class Deed:
    """One such thing. `answer` is an honest relay's (None: the relay helps), `outcome` what the other devices find."""

    name: str
    signs: str
    answer: Refused | Harmless | None
    outcome: Outcome


_TAKEN: Final = Harmless()


def _unreadable(name: str, signs: str, code: str) -> Deed:
    return Deed(name, signs, _TAKEN, Unreadable(code, 3, 1))


KEYS: Final = (
    Deed(
        "other-secrets",
        "renews the keys, and gives another device another epoch secret than all the others",
        _TAKEN,
        Locked(1),
    ),
    Deed(
        "spoilt-wrap-signed",
        "renews the keys, and gives another device a wrap that opens to nothing",
        _TAKEN,
        Locked(1),
    ),
    Deed("spoilt-wrap-busy", "does the same, when the relay takes no more entries for a while", _TAKEN, Locked(0, 3)),
    Deed(
        "spoilt-kit-wrap",
        "renews the keys, and gives the kit a wrap that opens to nothing",
        _TAKEN,
        Unseen(section="1.5"),
    ),
    Deed(
        "spoilt-kit-wrap-tried",
        "does the same, and somebody tries the kit (`sealkeep kit verify`)",
        _TAKEN,
        Lacking(1, 3),
    ),
    Deed("key-low-order", "adds a device with a KEM key of low order", Refused("invalid"), Found("key")),
    Deed("key-not-reduced", "adds a device with a KEM key that is not reduced", Refused("invalid"), Found("key")),
    Deed("key-short", "adds a device with a KEM key that is too short", Refused("malformed"), Found("malformed")),
    Deed("key-signing", "adds a device with a signing key of small order", Refused("invalid"), Found("key")),
    Deed("key-no-proof", "adds a device without proof that it has its keys", Refused("signature"), Found("signature")),
)

FEEDS: Final = (
    Deed("clock-ahead", "writes messages and a roster entry with a clock that is years ahead", _TAKEN, _TAKEN),
    Deed("back-dated", "writes after its removal as if it were before it", Refused("revoked"), _TAKEN),
    Deed(
        "back-dated-served",
        "writes, after its removal, in the place of what it wrote before, and the relay shows that instead",
        None,
        Found("pinned", 3, 1),
    ),
    Deed(
        "beyond-pin-served",
        "writes, after its removal, the next segment as if it were before it, and the relay shows that",
        None,
        Found("pinned", 3, 2),
    ),
    Deed(
        "two-headers",
        "signs two segments at one place, and the relay shows one to this device, and another to that one",
        None,
        Found("fork", 3, 1),
    ),
    Deed(
        "false-view", "signs a view of the other feeds that contradicts what it was shown", _TAKEN, Found("fork", 3, 1)
    ),
    Deed("named-false-head", "names another head of another device's feed than there is", _TAKEN, Found("fork", 3, 1)),
    Deed(
        "named-too-early", "names a head of another device's feed that there is not yet", _TAKEN, Found("missing", 3, 1)
    ),
    _unreadable("content-garbage", "seals what is no body", "malformed"),
    _unreadable("content-unknown", "seals a table that nobody knows", "unsupported"),
    _unreadable("content-miscounted", "says that there are more records than it seals", "malformed"),
    _unreadable("content-other-key", "seals under a key of its own", "commitment"),
    _unreadable("content-spoilt", "signs a ciphertext that does not open", "ciphertext"),
)

REMOVALS: Final = (
    Deed(
        "entry-flood", "appends an entry each time before its removal gets to the relay, twelve times", _TAKEN, _TAKEN
    ),
    Deed(
        "wrong-pin",
        "removes an honest device by the copy route, and pins what that never wrote",
        Refused("pinned"),
        _TAKEN,
    ),
    Deed(
        "false-view-pinned",
        "signs a view that contradicts, and an accomplice removes it, and pins just that",
        _TAKEN,
        Found("fork", 3, 1),
    ),
    Deed(
        "lowers-pin",
        "lowers, without the kit, the pin of a device that was removed before, so that what that wrote is erased",
        Refused("invalid"),
        Found("roster"),
    ),
)

DEED_GROUPS: Final = {
    "A device's keys and entries": KEYS,
    "A device's feed": FEEDS,
    "A device's removal": REMOVALS,
}
DEEDS: Final = {deed.name: deed for group in DEED_GROUPS.values() for deed in group}
