"""The QR code of a kit's URI: as much repair for creases as leaves the modules large."""

from __future__ import annotations

from typing import Final, TypeAlias

import segno

Modules: TypeAlias = tuple[bytes, ...]
_LARGE: Final = 15  # a version whose modules are still large on the page
_LEVELS: Final = ("q", "m", "l")


def qr_code(uri: str) -> Modules:
    """The rows of the code, a byte for each module: 1 is black."""
    for level in _LEVELS:
        try:
            code = segno.make_qr(uri, error=level, mode="alphanumeric", boost_error=False)
        except segno.DataOverflowError:
            continue
        if int(code.version) <= _LARGE or level == _LEVELS[-1]:
            return tuple(bytes(row) for row in code.matrix)
    raise ValueError("more than a QR code holds")
