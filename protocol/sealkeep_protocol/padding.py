"""Buckets of body lengths and the frame inside a body's padding (spec §2.3)."""

from __future__ import annotations

import zstandard

from sealkeep_protocol.errors import AuthenticationError, MalformedError
from sealkeep_protocol.primitives import TAG_SIZE

MIN_BODY = 256
MAX_BODY = 262_144
MAX_CONTENT = 4_194_304
MAX_WINDOW = 8_388_608
COMPRESSION_LEVEL = 6
CLOSEST_LEVEL = 19
_CLOSELY = {"strategy": zstandard.STRATEGY_BTULTRA, "min_match": 3, "target_length": 1 << 17}

PLAIN, ZSTD = 0, 1
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_PREFIX = 5  # format and length
OVERHEAD = _PREFIX + TAG_SIZE


def padme(length: int) -> int:
    """The bucket of a length of at least 2: the smallest one that is not below it."""
    exponent = length.bit_length() - 1
    mask = (1 << (exponent - exponent.bit_length())) - 1
    return (length + mask) & ~mask


def is_bucket(length: int) -> bool:
    """Whether a body's ciphertext may have this length."""
    return MIN_BODY <= length <= MAX_BODY and padme(length) == length


def check_bucket(length: int) -> None:
    """Refuse a body's ciphertext length that is not a bucket. Raises `AuthenticationError` (`digest`)."""
    # ENC-07: "A relay and a reader MUST refuse a body whose ciphertext length is not a bucket of §2.3."
    if not is_bucket(length):
        raise AuthenticationError("digest", f"a body of {length} bytes, which is no bucket")


def bucket(content: int) -> int:
    """The ciphertext length for so many bytes of (compressed) content."""
    return padme(max(MIN_BODY, content + OVERHEAD))


def compress(content: bytes, *, closely: bool = False) -> bytes:
    """One zstd frame with its content size declared and no checksum (the AEAD has one). `closely` takes ten times as long
    and comes out a tenth shorter."""
    parameters = zstandard.ZstdCompressionParameters.from_level(
        CLOSEST_LEVEL if closely else COMPRESSION_LEVEL,
        source_size=len(content),
        write_content_size=True,
        write_checksum=False,
        **(_CLOSELY if closely else {}),
    )
    return zstandard.ZstdCompressor(compression_params=parameters).compress(content)


def pad(content: bytes, ciphertext_length: int, *, form: int) -> bytes:
    """Frame and pad content to the plaintext of a body with this ciphertext length.

    Raises `ValueError` where it does not fit: a mistake of the caller.
    """
    room = ciphertext_length - OVERHEAD - len(content)
    if room < 0 or not is_bucket(ciphertext_length):
        raise ValueError("the content does not fit this bucket")
    return bytes([form]) + len(content).to_bytes(4, "big") + content + bytes(room)


def unpad(plaintext: bytes, *, compressed_allowed: bool) -> bytes:
    """Take the content out of a body's plaintext, decompressed: at most 4 MiB. Raises `MalformedError`."""
    if len(plaintext) < _PREFIX:
        raise MalformedError("malformed", "the body is too short")
    form, length = plaintext[0], int.from_bytes(plaintext[1:_PREFIX], "big")
    # ENC-08: "A reader MUST refuse padding that is not zero, a length beyond the plaintext, an unknown format, and bytes
    # after the zstd frame."
    if form not in (PLAIN, ZSTD) or _PREFIX + length > len(plaintext):
        raise MalformedError("malformed", "the body has an unknown format or a length beyond its end")
    content = plaintext[_PREFIX : _PREFIX + length]
    if plaintext.count(0, _PREFIX + length) != len(plaintext) - _PREFIX - length:
        raise MalformedError("malformed", "the body's padding is not zero")
    if form == PLAIN:
        return content
    # SEG-10: "A writer MUST NOT compress the body of a `live` segment, and a reader MUST refuse one that is."
    if not compressed_allowed:
        raise MalformedError("malformed", "a live body is compressed")
    return decompress(content)


def decompress(frame: bytes) -> bytes:
    """Decompress exactly one zstd frame that declares its size. Raises `MalformedError`."""
    try:
        parameters = zstandard.get_frame_parameters(frame)
        declared = parameters.content_size
        # ENC-09: "A reader MUST refuse a frame that declares no size, or more than 4,194,304 bytes, before it decompresses,
        # and one that yields another size than it declares."
        if not frame.startswith(_ZSTD_MAGIC) or declared == zstandard.CONTENTSIZE_UNKNOWN or not declared:
            raise MalformedError("malformed", "the body is not a zstd frame that declares its size")
        if declared > MAX_CONTENT:
            raise MalformedError("too-large", f"the body would decompress to {declared} bytes")
        # §2.3: "… a window of at most 8 MiB, no dictionary and no skippable frames."
        if parameters.dict_id or parameters.window_size > MAX_WINDOW:
            raise MalformedError("malformed", "the zstd frame wants a dictionary or too large a window")
        # In one call, into a buffer of the declared size: zstd's stream would look at that size only at the frame's end,
        # after as much output as run-length blocks can make, 8 GiB for a body.
        return zstandard.ZstdDecompressor().decompress(frame, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise MalformedError("malformed", "the body is not exactly one zstd frame of its declared size") from error
