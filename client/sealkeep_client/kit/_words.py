"""The plain words of the page, the same on everything that it is written on. Lines are broken as they are printed.

A line that begins with spaces is a command to be typed.
"""

from __future__ import annotations

from typing import Final

COMMAND: Final = "    "

TITLE: Final = "sealkeep recovery kit"
ABOUT: Final = (
    "This page brings all of your chat records back on a new device, even when",
    "every device that you have now is lost. Nothing else can do that.",
)
WARNING: Final = "Whoever has this page can read everything, and can shut your devices out."
CARE: Final = (
    "Keep it as safe as a passport or a house key, and send it to nobody. The",
    "relay does not have the code and cannot guess it. Once somebody may have seen",
    "this page, replace it at once by a new kit:",
    f"{COMMAND}sealkeep kit replace",
)
GROUPS: Final = ("8 groups of 8 characters, without I, L, O", "and U: what looks like 0 or 1 is the digit")
USE: Final = "How to use it"
STEPS: Final = (
    ("Install sealkeep on the new device, and run:", f"{COMMAND}sealkeep recover"),
    (
        "Type the lines of this page as it asks for them, from Code to Check.",
        "Capitals and spaces do not matter. A typing error is noticed at once, and",
        "sealkeep says in which group.",
    ),
)
FROM_FILE: Final = (
    "If this page is there as a file, type nothing but:",
    f"{COMMAND}sealkeep recover --kit FILE",
)
FROM_CODE: Final = (
    "The QR code holds all of the lines. Scan it with the new device itself and",
    "with nothing else; what it says, saved as a text file, is such a FILE too.",
)
