"""What sound editors write into WAV files: RIFF INFO, the BWF chunk `bext`, and iXML."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_MOST_BYTES = 1 << 20  # of a chunk that is read; a larger one is not a description
_MOST_CHUNKS = 1000
_INFO = {
    "INAM": "title",
    "IART": "artist",
    "ICMT": "comment",
    "ISBJ": "description",
    "IGNR": "genre",
    "IKEY": "keywords",
    "ICOP": "copyright",
}
_IXML = {  # element → key; of <BWFXML>, <BEXT> and <USER>, where Soundminer and its like write
    "CATID": "category",
    "FXNAME": "fxname",
    "DESCRIPTION": "description",
    "BWF_DESCRIPTION": "description",
    "KEYWORDS": "keywords",
    "CATEGORY": "genre",
    "SUBCATEGORY": "genre",
    "CATEGORYFULL": "genre",
    "NOTE": "comment",
    "DESIGNER": "artist",
    "ARTIST": "artist",
    "BWF_ORIGINATOR": "originator",
    "COPYRIGHT": "copyright",
    "LICENSE": "licence",
    "TRACKTITLE": "title",
}


def riff_texts(path: Path) -> list[tuple[str, str]]:
    """(key, text) of what a WAV file (RIFF, RF64) says about itself; empty for other files and damaged chunks.

    The keys are title, artist, comment, description, genre, keywords, copyright, originator, category, fxname, licence.
    """
    found: list[tuple[str, str]] = []
    with open(path, "rb") as stream:
        for kind, content in _chunks(stream):
            if kind == b"LIST" and content[:4] == b"INFO":
                found += _info(content[4:])
            elif kind == b"bext":
                found += [("description", _text(content[:256])), ("originator", _text(content[256:288]))]
            elif kind == b"iXML":
                found += _ixml(content)
    return [(key, text) for key, text in found if text]


def _chunks(stream: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """The chunks that may describe the sound, wherever in the file they are."""
    head = stream.read(12)
    if head[:4] not in (b"RIFF", b"RF64") or head[8:12] != b"WAVE":
        return
    long_data = 0
    for _ in range(_MOST_CHUNKS):
        kind, size = stream.read(4), int.from_bytes(stream.read(4), "little")
        if len(kind) < 4:
            return
        if kind == b"data" and size == 0xFFFFFFFF:
            size = long_data
        if kind in (b"LIST", b"bext", b"iXML", b"ds64") and size <= _MOST_BYTES:
            content = stream.read(size)
            if kind == b"ds64":
                long_data = int.from_bytes(content[8:16], "little")
            yield kind, content
            stream.seek(size % 2, 1)
        else:
            stream.seek(size + size % 2, 1)


def _info(content: bytes) -> Iterator[tuple[str, str]]:
    position = 0
    while position + 8 <= len(content):
        kind, size = content[position : position + 4], int.from_bytes(content[position + 4 : position + 8], "little")
        if key := _INFO.get(kind.decode("latin-1")):
            yield key, _text(content[position + 8 : position + 8 + size])
        position += 8 + size + size % 2


def _ixml(content: bytes) -> Iterator[tuple[str, str]]:
    """expat expands nested entities without limit in old versions, so a document type is refused."""
    from xml.etree import ElementTree

    if b"<!DOCTYPE" in content.upper() or b"<!ENTITY" in content.upper():
        return
    try:
        root = ElementTree.fromstring(content.rstrip(b"\0 \r\n\t"))
    except (ElementTree.ParseError, ValueError, LookupError):
        return
    for element in root.iter():
        if (key := _IXML.get(str(element.tag).upper())) and element.text:
            yield key, " ".join(element.text.split())


def _text(content: bytes) -> str:
    raw = content.split(b"\0")[0]
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("cp1252", errors="replace")
    return " ".join(text.split())
