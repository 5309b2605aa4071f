"""Previews: small, of what is seen alone, and never a way to break in (spec §12.3)."""

from __future__ import annotations

import random
import struct
import subprocess
import sys
import zlib
from dataclasses import replace
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sealkeep_client import previews
from sealkeep_client.previews import is_shown, make_preview
from sealkeep_protocol.records import MAX_PICTURE, Preview

ROOT = bytes(32)


def picture(form: str, size: tuple[int, int] = (900, 600), mode: str = "RGB", **more: object) -> bytes:
    """A picture of noise, which compresses badly."""
    made = Image.frombytes("RGB", size, random.Random(1).randbytes(size[0] * size[1] * 3)).convert(mode)
    written = BytesIO()
    made.save(written, form, **more)
    return written.getvalue()


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF"])
@pytest.mark.parametrize("size", [(1, 1), (900, 600), (40, 3_000)])
def test_a_preview_is_small(form: str, size: tuple[int, int]) -> None:
    made = make_preview(ROOT, picture(form, size))
    assert made is not None
    assert len(made.picture) <= MAX_PICTURE
    assert max(made.width, made.height) <= 320
    assert is_shown(made)
    assert Image.open(BytesIO(made.picture)).size == (made.width, made.height)


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "CMYK"])
def test_every_kind_of_colour(mode: str) -> None:
    made = make_preview(ROOT, picture("JPEG" if mode == "CMYK" else "PNG", mode=mode))
    assert made is not None
    assert Image.open(BytesIO(made.picture)).mode == "RGB"


def test_nothing_goes_along_but_what_is_seen() -> None:
    """No place, no camera; and the picture is turned as its maker held it."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "SpyCam"
    made = make_preview(ROOT, picture("JPEG", (800, 400), exif=exif.tobytes()))
    assert made is not None
    assert b"SpyCam" not in made.picture
    assert (made.width, made.height) == (160, 320)


def png_of(width: int, height: int) -> bytes:
    """The beginning of a PNG that says to be so large."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header)) + bytes(40)


def test_a_bomb_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """FIL-11: the pixels are bounded by what the header says, before anything is decoded."""
    decoded: list[object] = []
    monkeypatch.setattr(previews, "_small", lambda root, picture: decoded.append(picture))
    for size in ((50_000, 50_000), (200_000, 1_000), (0, 5)):
        assert make_preview(ROOT, png_of(*size)) is None
    assert decoded == []
    make_preview(ROOT, picture("PNG"))
    assert len(decoded) == 1


@pytest.mark.parametrize(
    "data", [b"", b"text", b"%PDF-1.7", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"RIFFxxxxWAVE", png_of(9, 9)]
)
def test_what_is_no_picture(data: bytes) -> None:
    assert make_preview(ROOT, data) is None


def test_a_file_that_is_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(previews, "MOST_BYTES", 1_000)
    assert make_preview(ROOT, picture("PNG")) is None


@given(st.data())
def test_spoilt_pictures(data: st.DataObject) -> None:
    """Whatever a decoder makes of it: a preview that may be shown, or none."""
    whole = bytearray(picture(data.draw(st.sampled_from(["JPEG", "PNG", "WEBP", "GIF"])), (60, 40)))
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    made = make_preview(ROOT, bytes(whole[: data.draw(st.integers(8, len(whole)))]))
    assert made is None or is_shown(made)


def test_what_is_not_shown() -> None:
    """FIL-10: another media type than the picture's, other dimensions than it says, or no picture at all."""
    made = make_preview(ROOT, picture("PNG"))
    assert made is not None
    gif = picture("GIF", (9, 9))
    for wrong in (
        replace(made, width=made.width + 1),
        replace(made, height=1),
        replace(made, media_type="image/png"),
        replace(made, media_type="image/gif"),
        replace(made, picture=b"\xff\xd8\xff junk"),
        Preview(ROOT, "image/jpeg", gif, 9, 9),
        Preview(ROOT, "image/png", png_of(50_000, 50_000), 320, 320),
    ):
        assert not is_shown(wrong)
    assert is_shown(made)


def test_commands_load_no_decoder() -> None:
    """Only who meets a picture does."""
    code = "import sys, sealkeep_client.vault; sys.exit('PIL' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
