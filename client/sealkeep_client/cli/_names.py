"""Names of devices, as they are shown: whoever chose one must not say anything in sealkeep's place."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from sealkeep_client.cli._output import clean_line

# What shows nothing, or moves its neighbours, beside what `clean` takes away: controls, formats, private and unknown ones.
_HIDDEN: Final = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
_BLANKS: Final = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180e\u2800\u3164\ufe00-\ufe0f\uffa0]")
_QUOTES: Final = re.compile('["«»“”„‟❝❞⹂〝〞〟＂]')
_MARKS: Final = 2  # on one letter; more of them reach into the lines above and below
_OURS: Final = re.compile(
    r"sealkeep|devices show|show now|\[y/n\]|shall it join|the words|recovery kit|this device|with the account"
)
NOBODY: Final = "no name"
A_KIT: Final = "a recovery kit"  # as `DeviceInfo` names it


def as_name(name: str) -> str:
    """A name as it may stand between “ and ”: one line, nothing hidden in it, and none of these quotes."""
    kept, marks = [], 0
    for letter in _BLANKS.sub("", name.replace("\t", " ")):
        category = unicodedata.category(letter)
        marks = marks + 1 if category in ("Mn", "Me") else 0
        if marks > _MARKS or (category in _HIDDEN and letter not in "\r\n"):
            continue
        kept.append(letter)
    return _QUOTES.sub("'", clean_line("".join(kept))) or NOBODY


def quoted(name: str) -> str:
    """The same with the quotes."""
    return f"“{as_name(name)}”"


def cell(name: str) -> str:
    """A name in a table: quoted only where it is not what it seems."""
    return name if as_name(name) == name and not is_misleading(name) else quoted(name)


def signer(name: str) -> str:
    """Who did something, in a table."""
    return name if name == A_KIT else cell(name)


def is_misleading(name: str) -> bool:
    """Whether it looks like something that sealkeep says itself."""
    plain = unicodedata.normalize("NFKC", as_name(name)).casefold()
    return _OURS.search(plain) is not None
