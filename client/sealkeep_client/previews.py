"""Previews of pictures (spec §12.3): made when a file is taken in, checked before one is shown.

Whoever sent a picture made it: it is decoded only as one of four formats, only where its own header says that it is no
larger than `MOST_PIXELS`, and whatever a decoder makes of it, the worst that comes of it is that there is no preview.
"""

from __future__ import annotations

import warnings
from io import BytesIO
from typing import TYPE_CHECKING, Final

from sealkeep_protocol.records import MAX_PICTURE, Preview

if TYPE_CHECKING:
    from PIL import Image

MOST_PIXELS: Final = 100_000_000
"""Of a picture that a preview is made of: a large camera's."""
MOST_BYTES: Final = 64 << 20
"""Of a file that a preview is made of."""

_FORMATS: Final = {"JPEG": b"\xff\xd8\xff", "PNG": b"\x89PNG\r\n\x1a\n", "GIF": b"GIF8", "WEBP": b"RIFF"}
_TYPES: Final = {"image/jpeg": "JPEG", "image/png": "PNG", "image/webp": "WEBP"}
_EDGES: Final = (320, 240, 160, 96, 48)  # pixels of the longer side
_QUALITIES: Final = (75, 55, 35)
_PAPER: Final = (255, 255, 255)  # what shows through


def is_picture(beginning: bytes) -> bool:
    """Whether a file that begins so is of a format that a preview is made of."""
    return any(beginning.startswith(magic) for magic in _FORMATS.values())


def make_preview(root: bytes, data: bytes) -> Preview | None:
    """The preview of a content with these bytes; None where it is no picture, or one that is not to be decoded."""
    if len(data) > MOST_BYTES or not is_picture(data):
        return None
    from PIL import Image  # not before there is a picture: few commands meet one

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of oddities in a file that somebody sent, which nobody here can mend
            with Image.open(BytesIO(data), formats=list(_FORMATS)) as picture:
                # FIL-11: "A writer MUST bound the pixels of a picture before it decodes it to make a preview; where that
                # fails there is none."
                if not 0 < picture.width * picture.height <= MOST_PIXELS:
                    return None
                picture.draft("RGB", (2 * _EDGES[0], 2 * _EDGES[0]))
                return _small(root, picture)
    except Exception:
        # Decoders raise whatever they like over what somebody made to break them.
        return None


def _small(root: bytes, picture: Image.Image) -> Preview | None:
    from PIL import Image, ImageOps

    picture.thumbnail((2 * _EDGES[0], 2 * _EDGES[0]))
    turned = ImageOps.exif_transpose(picture).convert("RGBA")
    flat = Image.new("RGB", turned.size, _PAPER)
    flat.paste(turned, mask=turned.getchannel("A"))
    for edge in _EDGES:
        small = flat.copy()
        small.thumbnail((edge, edge))
        for quality in _QUALITIES:
            written = BytesIO()
            # Nothing of the picture's own goes along but what is seen: no place, no camera, no thumbnail before an edit.
            small.save(written, "JPEG", quality=quality, optimize=True, progressive=True)
            if written.tell() <= MAX_PICTURE:
                return Preview(root, "image/jpeg", written.getvalue(), small.width, small.height)
    return None


def is_shown(preview: Preview) -> bool:
    """Whether a preview may be decoded, and shown in place of a file that is not here."""
    # FIL-10: "…; it MUST decode a preview for its own media type alone, refuse one whose dimensions are not fields 4 and 5
    # before it decodes it, fetch nothing for it, and never take it for the content."
    form = _TYPES.get(preview.media_type)
    if form is None or not preview.picture.startswith(_FORMATS[form]):
        return False
    from PIL import Image

    try:
        with Image.open(BytesIO(preview.picture), formats=[form]) as picture:
            return picture.size == (preview.width, preview.height)
    except Exception:
        return False  # as in `make_preview`
