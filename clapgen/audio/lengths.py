"""Lengths that files state and decoders ignore: what is cut off in ogg and caf, and the length of an mp3."""

from __future__ import annotations

import os
from typing import BinaryIO


def mp3_seconds(stream: BinaryIO, sample_rate: int) -> float:
    """The length in the Xing or VBRI header of an mp3; 0 if there is none, where FFmpeg guesses from the bit rate."""
    position = stream.tell()
    stream.seek(0)
    head = stream.read(10)
    while head.startswith(b"ID3") and len(head) == 10:  # a tag, or several, before the sound
        size = sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
        stream.seek(size, os.SEEK_CUR)
        head = stream.read(10)
    head += stream.read(4096)
    stream.seek(position)
    frames = 0
    for mark, offset in ((b"Xing", 8), (b"Info", 8), (b"VBRI", 14)):
        at = head.find(mark)
        if at >= 0 and (mark == b"VBRI" or (head[at + 7 : at + 8] and head[at + 7] & 1)):
            frames = int.from_bytes(head[at + offset : at + offset + 4], "big")
    return frames * (1152 if sample_rate >= 32000 else 576) / sample_rate


def ogg_is_cut_off(stream: BinaryIO) -> bool:
    """Whether the last page is shorter than it says; decoders stop before it without a word."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - (1 << 17)))  # a page is at most 65,307 bytes
    tail = stream.read()
    stream.seek(0)
    last = tail.rfind(b"OggS")
    if last < 0 or len(tail) < last + 27:
        return True
    segments = tail[last + 27 : last + 27 + tail[last + 26]]
    return len(tail) < last + 27 + tail[last + 26] + sum(segments)


def caf_is_cut_off(stream: BinaryIO) -> bool:
    """Whether the file ends within one of its chunks; both decoders then stop without a word."""
    size = stream.seek(0, os.SEEK_END)
    position = 8
    while 0 <= position <= size - 12:
        stream.seek(position)
        length = int.from_bytes(stream.read(12)[4:], "big", signed=True)
        position = size if length < 0 else position + 12 + length  # -1: up to the end of the file
    stream.seek(0)
    return position > size
