"""The page as PDF, in the fonts that every reader has. The kit's URI stands in it as it is, so that it can be read back.

Nothing in it comes from a clock or from chance: the same kit gives the same bytes.
"""

from __future__ import annotations

import io
from typing import Final

import pydyf

from sealkeep_client.kit._model import RecoveryKit
from sealkeep_client.kit._page import HEIGHT, WIDTH, Bars, Box, Font, Page, Text, draw
from sealkeep_client.kit._words import TITLE

_POINTS: Final = 72 / 25.4  # a millimetre
_FACES: Final = {
    Font.SANS: "Helvetica",
    Font.BOLD: "Helvetica-Bold",
    Font.MONO: "Courier",
    Font.MONO_BOLD: "Courier-Bold",
}


def write_pdf(kit: RecoveryKit) -> bytes:
    document = pydyf.PDF()
    document.info["Title"] = pydyf.String(TITLE)
    document.info["SealkeepKit"] = pydyf.String(kit.to_uri())
    document.catalog["Lang"] = pydyf.String("en")
    fonts = pydyf.Dictionary({font.value: _font(document, face).reference for font, face in _FACES.items()})
    for page in draw(kit):
        content = _content(page)
        document.add_object(content)
        document.add_page(
            pydyf.Dictionary(
                {
                    "Type": "/Page",
                    "Parent": document.pages.reference,
                    "MediaBox": pydyf.Array([0, 0, round(WIDTH * _POINTS, 2), round(HEIGHT * _POINTS, 2)]),
                    "Contents": content.reference,
                    "Resources": pydyf.Dictionary({"Font": fonts}),
                }
            )
        )
    output = io.BytesIO()
    document.write(output)
    return output.getvalue()


def _font(document: pydyf.PDF, face: str) -> pydyf.Dictionary:
    font = pydyf.Dictionary(
        {"Type": "/Font", "Subtype": "/Type1", "BaseFont": f"/{face}", "Encoding": "/WinAnsiEncoding"}
    )
    document.add_object(font)
    return font


def _content(page: Page) -> pydyf.Stream:
    stream = pydyf.Stream()
    for shape in page:
        if isinstance(shape, Text):
            stream.begin_text()
            stream.set_font_size(shape.font.value, _points(shape.size))
            stream.set_text_matrix(1, 0, 0, 1, _points(shape.x), _points(HEIGHT - shape.y))
            stream.show_text_string(shape.text)
            stream.end_text()
        elif isinstance(shape, Box):
            stream.set_line_width(_points(shape.line))
            bottom = _points(HEIGHT - shape.y - shape.height)
            stream.rectangle(_points(shape.x), bottom, _points(shape.width), _points(shape.height))
            stream.stroke()
        else:
            _code(stream, shape)
    return stream


def _code(stream: pydyf.Stream, bars: Bars) -> None:
    """All modules as one path, so that no reader smooths the seams between them."""
    stream.push_state()
    module = bars.module * _POINTS
    stream.set_matrix(module, 0, 0, -module, _points(bars.x), _points(HEIGHT - bars.y))
    for column, row, length in bars.runs:
        stream.rectangle(column, row, length, 1)
    stream.fill()
    stream.pop_state()


def _points(millimetres: float) -> float:
    return round(millimetres * _POINTS, 3)
