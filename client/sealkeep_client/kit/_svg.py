"""The page as SVG. The kit's URI stands in its metadata too, so that the file can be read back."""

from __future__ import annotations

from typing import Final
from xml.etree import ElementTree as ET

from sealkeep_client.kit._model import RecoveryKit
from sealkeep_client.kit._page import HEIGHT, MONO_ADVANCE, WIDTH, Bars, Box, Font, Shape, Text, draw
from sealkeep_client.kit._words import TITLE

_SANS: Final = "Helvetica, Arial, 'Liberation Sans', sans-serif"
_MONO: Final = "'Courier New', Courier, 'Liberation Mono', monospace"
_FACES: Final = {
    Font.SANS: {"font-family": _SANS},
    Font.BOLD: {"font-family": _SANS, "font-weight": "bold"},
    Font.MONO: {"font-family": _MONO},
    Font.MONO_BOLD: {"font-family": _MONO, "font-weight": "bold"},
}


def write_svg(kit: RecoveryKit) -> str:
    """The pages below each other, in millimetres."""
    pages = draw(kit)
    height = HEIGHT * len(pages)
    root = ET.Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "width": f"{_number(WIDTH)}mm",
            "height": f"{_number(height)}mm",
            "viewBox": f"0 0 {_number(WIDTH)} {_number(height)}",
        },
    )
    ET.SubElement(root, "title").text = TITLE
    ET.SubElement(root, "metadata").text = kit.to_uri()
    ET.SubElement(root, "rect", {"width": _number(WIDTH), "height": _number(height), "fill": "white"})
    for number, page in enumerate(pages):
        group = ET.SubElement(root, "g", {"transform": f"translate(0 {_number(number * HEIGHT)})"} if number else {})
        for shape in page:
            group.append(_element(shape))
    ET.indent(root, "")
    return ET.tostring(root, encoding="unicode", xml_declaration=False) + "\n"


def _element(shape: Shape) -> ET.Element:
    if isinstance(shape, Text):
        element = ET.Element("text", {"x": _number(shape.x), "y": _number(shape.y), "font-size": _number(shape.size)})
        element.attrib.update(_FACES[shape.font])
        if shape.font in (Font.MONO, Font.MONO_BOLD):
            # Whatever font stands in for Courier, what follows keeps its distance.
            element.set("textLength", _number(len(shape.text) * MONO_ADVANCE * shape.size))
        element.text = shape.text
        return element
    if isinstance(shape, Box):
        return ET.Element(
            "rect",
            {
                "x": _number(shape.x),
                "y": _number(shape.y),
                "width": _number(shape.width),
                "height": _number(shape.height),
                "fill": "none",
                "stroke": "black",
                "stroke-width": _number(shape.line),
            },
        )
    return _code(shape)


def _code(bars: Bars) -> ET.Element:
    place = f"translate({_number(bars.x)} {_number(bars.y)}) scale({bars.module:.6f})"
    path = "".join(f"M{column} {row}h{length}v1h-{length}z" for column, row, length in bars.runs)
    # Without smoothing, no white hairlines stand between the rows.
    return ET.Element("path", {"transform": place, "shape-rendering": "crispEdges", "d": path})


def _number(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".")
