"""Tokens of an image by OpenAI's published tile and patch rules.

Source: OpenAI, "Images and vision", and LiteLLM 1.109.1 `token_counter.py` for the newer families, read 2026-11-22.
"""

from __future__ import annotations

import binascii
import math
import struct
from typing import NamedTuple


class Tiles(NamedTuple):
    """A base, and so much for each tile of 512 by 512 pixels."""

    base: int
    tile: int


class Patches(NamedTuple):
    """So much for each patch of 32 by 32 pixels, of which there are at most `budget`."""

    multiplier: float
    longest: int
    budget: int


# The first prefix that fits decides; the longer one stands before the shorter one.
RULES: tuple[tuple[str, Tiles | Patches], ...] = (
    ("gpt-4o-mini", Tiles(2833, 5667)),
    ("gpt-4.1-mini", Patches(1.62, 2048, 1536)),
    ("gpt-4.1-nano", Patches(2.46, 2048, 1536)),
    ("gpt-5-mini", Patches(1.62, 2048, 1536)),
    ("gpt-5-nano", Patches(2.46, 2048, 1536)),
    ("o4-mini", Patches(1.72, 2048, 1536)),
    ("gpt-5.2", Patches(1.2, 2048, 6144)),
    ("gpt-5.3", Patches(1.2, 2048, 2500)),
    ("gpt-5.4", Patches(1.2, 2048, 2500)),
    ("gpt-5.5", Patches(1.2, 2048, 2500)),
    ("gpt-5.6", Patches(1.2, 2048, 2500)),
    ("gpt-6", Patches(1.2, 2048, 2500)),
    ("gpt-5", Tiles(70, 140)),
    ("o1", Tiles(75, 150)),
    ("o3", Tiles(75, 150)),
    ("computer-use-preview", Tiles(65, 129)),
    ("gpt-4", Tiles(85, 170)),
    ("chatgpt-4o", Tiles(85, 170)),
)
DEFAULT = Tiles(85, 170)
# What an image of unknown size is taken for.
UNKNOWN_SIZE = (1024, 1024)
TILE, PATCH = 512, 32
LONGEST_SIDE, SHORTEST_SIDE = 2048, 768
HEADER = 1 << 18


def rule_for(model: str) -> tuple[Tiles | Patches, bool]:
    """Return the rule of a model, and whether it is published."""
    name = model.rsplit("/", 1)[-1]
    for prefix, rule in RULES:
        if name.startswith(prefix):
            return rule, True
    return DEFAULT, False


def image_tokens(rule: Tiles | Patches, width: int, height: int, detail: str = "auto") -> int:
    """Count the tokens of an image of known size."""
    width, height = max(1, width), max(1, height)
    if isinstance(rule, Patches):
        return math.ceil(_patches(rule, width, height, detail) * rule.multiplier)
    if detail == "low":
        return rule.base
    scale = min(1.0, LONGEST_SIDE / max(width, height))
    scale *= min(1.0, SHORTEST_SIDE / (min(width, height) * scale))
    tiles = math.ceil(int(width * scale) / TILE) * math.ceil(int(height * scale) / TILE)
    return rule.base + rule.tile * max(1, tiles)


def _patches(rule: Patches, width: int, height: int, detail: str) -> int:
    scale = min(1.0, (TILE if detail == "low" else rule.longest) / max(width, height))
    across, down = max(1, round(width * scale)), max(1, round(height * scale))
    patches = math.ceil(across / PATCH) * math.ceil(down / PATCH)
    if patches <= rule.budget:
        return patches
    shrink = math.sqrt(PATCH**2 * rule.budget / (across * down))
    columns, rows = across * shrink / PATCH, down * shrink / PATCH
    shrink *= min(math.floor(columns) / columns, math.floor(rows) / rows)
    return min(rule.budget, math.ceil(int(across * shrink) / PATCH) * math.ceil(int(down * shrink) / PATCH))


def size_of(url: str) -> tuple[int, int] | None:
    """Return width and height of an image in a `data:` URL; nothing is fetched."""
    head, comma, data = url[: HEADER * 2].partition(",")
    if not comma or not head.startswith("data:") or not head.endswith(";base64"):
        return None
    try:
        size = _size(binascii.a2b_base64(data[: len(data) // 4 * 4]))
    except (binascii.Error, ValueError, struct.error, IndexError):
        return None
    return size if size and min(size) > 0 else None


def _size(image: bytes) -> tuple[int, int] | None:
    if image.startswith(b"\x89PNG\r\n\x1a\n"):
        width, height = struct.unpack(">II", image[16:24])
        return width, height
    if image[:6] in (b"GIF87a", b"GIF89a"):
        width, height = struct.unpack("<HH", image[6:10])
        return width, height
    if image.startswith(b"\xff\xd8"):
        return _jpeg(image)
    if image.startswith(b"RIFF") and image[8:12] == b"WEBP":
        return _webp(image)
    return None


def _jpeg(image: bytes) -> tuple[int, int] | None:
    at = 2
    while image[at] == 0xFF:  # noqa: PLR2004, the byte that starts a marker
        marker = image[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # noqa: PLR2004, start of a frame
            height, width = struct.unpack(">HH", image[at + 5 : at + 9])
            return width, height
        at += 2 + struct.unpack(">H", image[at + 2 : at + 4])[0]
    return None


def _webp(image: bytes) -> tuple[int, int] | None:
    kind = image[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(image[24:27], "little"), 1 + int.from_bytes(image[27:30], "little")
    if kind == b"VP8 ":
        width, height = struct.unpack("<HH", image[26:30])
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L":
        bits = int.from_bytes(image[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return None
