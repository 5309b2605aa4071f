"""Bytes for files, that look random and are the same each time."""

from __future__ import annotations

import hashlib


def made_bytes(size: int, seed: str = "") -> bytes:
    """So many bytes; those of a smaller size are the beginning of a larger one's."""
    return hashlib.shake_128(f"file {seed}".encode()).digest(size)
