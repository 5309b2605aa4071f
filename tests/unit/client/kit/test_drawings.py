"""The kit's page as SVG and PDF, looked at by readers that share nothing with their writers."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from xml.etree import ElementTree as ET

import pypdf
import pytest
import zxingcpp
from pypdf.generic import ContentStream

from sealkeep_client.kit import MAX_FEEDS, RecoveryKit
from sealkeep_client.kit._page import BOTTOM, LEFT, RIGHT, TOP, Bars, Box, Font, Page, Text, draw
from sealkeep_client.kit._qr import qr_code
from sealkeep_client.kit._rows import rows
from support.kits import FIRST_KIT, KIT, LARGEST_KIT, make_kit

SVG = "{http://www.w3.org/2000/svg}"
ALL = pytest.mark.parametrize(
    "kit", [FIRST_KIT, KIT, make_kit(9), make_kit(20), LARGEST_KIT], ids=lambda kit: kit.relay[:30]
)
DOTS = 8  # a millimetre
WIDTH, HEIGHT = 210 * DOTS, 297 * DOTS
Rectangle = tuple[float, float, float, float]


def scan(rectangles: Iterable[Rectangle]) -> list[str]:
    """What a QR code reader sees on an A4 sheet with these black rectangles (left, top, right, bottom in mm)."""
    sheet = bytearray(b"\xff") * (WIDTH * HEIGHT)
    for left, top, right, bottom in rectangles:
        begin, end = round(left * DOTS), round(right * DOTS)
        for row in range(round(top * DOTS), round(bottom * DOTS)):
            sheet[row * WIDTH + begin : row * WIDTH + end] = bytes(end - begin)
    codes = zxingcpp.read_barcodes(memoryview(sheet).cast("B", (HEIGHT, WIDTH)))
    return [code.text for code in codes]


def parsed(svg: str) -> ET.Element:
    return ET.fromstring(svg)  # noqa: S314 (our own)


def svg_rectangles(svg: str) -> Iterator[Rectangle]:
    [path] = parsed(svg).iter(f"{SVG}path")
    x, y, scale = map(float, re.findall(r"[\d.]+", path.attrib["transform"]))
    parts = re.findall(r"M(\d+) (\d+)h(\d+)v1h-(\d+)z", path.attrib["d"])
    assert "".join(f"M{a} {b}h{c}v1h-{d}z" for a, b, c, d in parts) == path.attrib["d"]
    for column, row, length, back in (tuple(map(int, part)) for part in parts):
        assert length == back
        yield x + column * scale, y + row * scale, x + (column + length) * scale, y + (row + 1) * scale


def pdf_rectangles(page: pypdf.PageObject) -> Iterator[Rectangle]:
    contents = page.get_contents()
    assert contents is not None
    matrix: list[float] = []
    found: list[list[float]] = []
    for operands, operator in ContentStream(contents, None).operations:
        if operator == b"cm":
            matrix = [float(value) for value in operands]
        elif operator == b"re" and matrix:
            found.append([float(value) for value in operands])
        elif operator == b"f":
            a, b, c, d, e, f = matrix
            assert (b, c, a) == (0, 0, -d)
            for column, row, length, height in found:
                top = 297 - (f + d * row) / 72 * 25.4
                left = (e + a * column) / 72 * 25.4
                yield left, top, left + a * length / 72 * 25.4, top + a * height / 72 * 25.4


def pdf(kit: RecoveryKit) -> pypdf.PdfReader:
    return pypdf.PdfReader(io.BytesIO(kit.to_pdf()), strict=True)


@ALL
def test_the_qr_code_of_the_svg_says_the_kit(kit: RecoveryKit) -> None:
    [said] = scan(svg_rectangles(kit.to_svg()))
    assert said == kit.to_uri()


@ALL
def test_the_qr_code_of_the_pdf_says_the_kit(kit: RecoveryKit) -> None:
    [said] = scan(pdf_rectangles(pdf(kit).pages[0]))
    assert said == kit.to_uri()


def test_a_creased_qr_code_can_be_read() -> None:
    """The kit of a new account bears a fold of the paper and a thumb's stain; so it says what is repaired of it."""
    clean = list(svg_rectangles(FIRST_KIT.to_svg()))
    left, top = min(at[0] for at in clean), min(at[1] for at in clean)
    stain = (left + 20, top + 22, left + 34, top + 33)
    assert scan([*clean, stain]) == [FIRST_KIT.to_uri()]


@ALL
def test_every_group_can_be_read_from_the_pdf(kit: RecoveryKit) -> None:
    reader = pdf(kit)
    assert len(reader.pages) == (1 if len(kit.feeds) <= 9 else 2)
    text = "".join("".join(page.extract_text().split()) for page in reader.pages)
    for row in rows(kit):
        assert row.label.replace(" ", "") in text
        for part in row.parts:
            assert part in text
    for page in reader.pages:
        assert [round(float(value) / 72 * 25.4) for value in page.mediabox] == [0, 0, 210, 297]


@ALL
def test_both_drawings_show_the_same_words(kit: RecoveryKit) -> None:
    drawn = [shape.text for page in draw(kit) for shape in page if isinstance(shape, Text)]
    root = parsed(kit.to_svg())
    assert [element.text for element in root.iter(f"{SVG}text")] == drawn
    shown = []
    for page in pdf(kit).pages:
        contents = page.get_contents()
        assert contents is not None
        shown += [operands[0] for operands, operator in ContentStream(contents, None).operations if operator == b"Tj"]
    assert shown == drawn
    assert any("Whoever has this page can read everything" in text for text in drawn)
    assert "sealkeep recover --kit FILE" in drawn
    assert all(text.isascii() and text.isprintable() for text in drawn)


def corners(shape: Text | Box | Bars) -> Rectangle:
    """Where a shape is, in mm: of prose as wide as in the widest of the usual fonts."""
    if isinstance(shape, Text):
        wide = 0.6 if shape.font in (Font.MONO, Font.MONO_BOLD) else 0.56
        return (
            shape.x,
            shape.y - 0.75 * shape.size,
            shape.x + wide * shape.size * len(shape.text),
            shape.y + 0.25 * shape.size,
        )
    if isinstance(shape, Box):
        return shape.x, shape.y, shape.x + shape.width, shape.y + shape.height
    right = max(column + length for column, _, length in shape.runs)
    bottom = max(row for _, row, _ in shape.runs) + 1
    return shape.x, shape.y, shape.x + shape.module * right, shape.y + shape.module * bottom


def overlaps(page: Page) -> list[tuple[object, object]]:
    shapes = [shape for shape in page if not isinstance(shape, Box)]
    found = []
    for number, one in enumerate(shapes):
        left, top, right, bottom = corners(one)
        for other in shapes[number + 1 :]:
            x, y, until, below = corners(other)
            if min(right, until) - max(left, x) > 0.2 and min(bottom, below) - max(top, y) > 0.6:
                found.append((one, other))
    return found


@pytest.mark.parametrize("relay", [22, 100, 256])
@pytest.mark.parametrize("feeds", [1, 6, 10, MAX_FEEDS])
def test_nothing_overlaps_or_leaves_the_paper_of_either_size(feeds: int, relay: int) -> None:
    check_page(make_kit(feeds, "https://relay.example/" + "x" * (relay - 22)))


@ALL
def test_the_extremes_fit_too(kit: RecoveryKit) -> None:
    check_page(kit)


def check_page(kit: RecoveryKit) -> None:
    # Printed on US Letter (216 x 279 mm) from the top left corner, from the middle, or to fit.
    assert LEFT >= 12
    assert RIGHT <= 210 - 12
    assert TOP >= 9 + 10
    assert BOTTOM <= 279 - 10
    for page in draw(kit):
        for left, top, right, bottom in map(corners, page):
            assert LEFT <= left < right <= RIGHT
            assert TOP <= top < bottom <= BOTTOM
        assert overlaps(page) == []


def test_white_stands_around_the_qr_code() -> None:
    for kit in (FIRST_KIT, KIT, LARGEST_KIT):
        page = draw(kit)[0]
        [code] = [shape for shape in page if isinstance(shape, Bars)]
        left, top, right, bottom = corners(code)
        quiet = 4 * code.module
        for shape in page:
            if shape is code:
                continue
            x, y, until, below = corners(shape)
            assert x >= right + quiet or until <= left - quiet or y >= bottom + quiet or below <= top - quiet


def test_the_same_kit_gives_the_same_bytes() -> None:
    copy = RecoveryKit.from_uri(KIT.to_uri())
    assert (copy.to_pdf(), copy.to_svg()) == (KIT.to_pdf(), KIT.to_svg())
    assert re.search(rb"/(CreationDate|ModDate|ID)\b", KIT.to_pdf()) is None


def test_the_drawings_are_black_and_white() -> None:
    colours = set(re.findall(r'(?:fill|stroke)="([^"]*)"', KIT.to_svg()))
    assert colours == {"white", "none", "black"}
    assert re.search(rb"\b(rg|RG|g|G|k|K|sc|scn|gs)\n", KIT.to_pdf()) is None


def test_a_drawing_holds_the_uri_once() -> None:
    for data in (KIT.to_svg().encode(), KIT.to_pdf()):
        assert data.count(KIT.to_uri().encode()) == 1
    assert pdf(KIT).metadata == {"/Title": "sealkeep recovery kit", "/SealkeepKit": KIT.to_uri()}
    assert parsed(KIT.to_svg()).findtext(f"{SVG}metadata") == KIT.to_uri()


def test_the_drawings_ask_nothing_of_the_network_and_run_nothing() -> None:
    svg = KIT.to_svg()
    assert re.findall(r"https?://[^\s\"<]*", svg.replace(KIT.relay, "")) == ["http://www.w3.org/2000/svg"]
    assert not re.search(r"<script|href|onload|<image|<style|<foreignObject|<!", svg)
    assert re.search(rb"/(JavaScript|JS|AA|OpenAction|URI|Launch|EmbeddedFile)\b", KIT.to_pdf()) is None


def test_more_than_a_qr_code_holds() -> None:
    with pytest.raises(ValueError, match="more than a QR code holds"):
        qr_code("A" * 5000)
