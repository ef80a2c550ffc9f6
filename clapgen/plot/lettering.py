"""Fit any text into one line of an image, with the characters of Pillow's built-in font."""

import unicodedata
from bisect import bisect_left

from PIL import ImageDraw, ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def fitted(draw: ImageDraw.ImageDraw, text: str, font: Font, width: float) -> str:
    """`text` cut to `width` pixels with an ellipsis. Accents missing in the font are dropped, letters become `?`."""
    missing = bytes(font.getmask("\uffff"))
    text = text[:300].translate(str.maketrans("‘’“”–—−", "''\"\"---"))
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    for letter in set(text) - {" "}:
        if bytes(font.getmask(letter)) == missing:
            bare = unicodedata.normalize("NFKD", letter)[0]
            text = text.replace(letter, bare if bare.isascii() else "?")
    if draw.textlength(text, font) <= width:
        return text
    too_long = bisect_left(range(1, len(text)), True, key=lambda n: draw.textlength(f"{text[:n]}…", font) > width)
    return f"{text[:too_long].rstrip()}…"
