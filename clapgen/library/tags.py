"""What a sound file says about itself: tags in it (ID3, Vorbis comments, MP4, RIFF, BWF, iXML), and its name (UCS)."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from clapgen.library.records import Description
from clapgen.library.riff import riff_texts
from clapgen.library.ucs import parse_ucs

WAV_SUFFIXES = (".wav", ".wave", ".rf64", ".bwf")
LONGEST = 4000  # characters of one text; some programs store pictures or projects as text
_KEYS = {  # names of ID3 frames, Vorbis comments, MP4 atoms, APEv2 and ASF keys → ours
    "TIT2": "title",
    "TPE1": "artist",
    "TCON": "genre",
    "TCOP": "copyright",
    "COMM": "comment",
    "WCOP": "licence",
    "TXXX:CATID": "category",
    "TXXX:FXNAME": "fxname",
    "TXXX:DESCRIPTION": "description",
    "TXXX:KEYWORDS": "keywords",
    "TXXX:LICENSE": "licence",
    "\u00a9NAM": "title",
    "\u00a9ART": "artist",
    "\u00a9CMT": "comment",
    "\u00a9GEN": "genre",
    "CPRT": "copyright",
    "DESC": "description",
    "AUTHOR": "artist",
    "CATID": "category",
    "CREATOR": "artist",
    "LICENSE": "licence",
    "LICENCE": "licence",
    "WM/GENRE": "genre",
}
_PLAIN = ("title", "artist", "comment", "description", "genre", "keywords", "copyright", "fxname")


@functools.cache
def can_read_tags() -> bool:
    """Whether mutagen is installed, which reads the tags of everything but WAV files."""
    return importlib.util.find_spec("mutagen") is not None


def read_tags(path: Path) -> Description:
    """What a file says about itself. Tags that cannot be read are left out; nothing in a file is an error.

    A description or comment becomes a caption, or else the title; genre and keywords become tags; copyright becomes
    the licence if none is named. A UCS name fills in what the tags lack.
    """
    texts: dict[str, list[str]] = {}
    for key, text in _texts(path):
        one = " ".join(text.split())[:LONGEST]
        if one and one not in texts.setdefault(key, []):
            texts[key].append(one)
    ucs = parse_ucs(path.stem)
    first = {key: found[0] for key, found in texts.items() if found}
    captions = texts.get("description") or texts.get("comment") or texts.get("title") or []
    tags = [tag for key in ("keywords", "genre") for text in texts.get(key, ()) for tag in re.split(r"[;,/]\s*", text)]
    return Description(
        captions=tuple(captions),
        tags=tuple(dict.fromkeys(tag.strip() for tag in tags if tag.strip())),
        licence=first.get("licence") or first.get("copyright"),
        author=first.get("artist") or first.get("originator") or (ucs.creator if ucs else None),
        category=first.get("category") or (ucs.category if ucs else None),
        name=first.get("fxname") or (ucs.name if ucs else None),
    )


def _texts(path: Path) -> Iterator[tuple[str, str]]:
    with contextlib.suppress(OSError):
        if path.suffix.lower() in WAV_SUFFIXES:
            yield from riff_texts(path)
    if can_read_tags():
        yield from _mutagen_texts(path)


def _mutagen_texts(path: Path) -> list[tuple[str, str]]:
    import mutagen

    # Its parsers raise anything on damaged files.
    with contextlib.suppress(Exception):
        file: Any = mutagen.File(path)
        if file is not None and file.tags is not None:
            return [(key, text) for name, value in file.tags.items() for key, text in _named(str(name), value)]
    return []


def _named(name: str, value: Any) -> Iterator[tuple[str, str]]:
    upper = name.upper()
    key = _KEYS.get(upper) or _KEYS.get(upper.partition(":")[0]) or (name.lower() if name.lower() in _PLAIN else None)
    if key is None:
        return
    read: Callable[[Any], Any] = lambda each: getattr(each, "text", getattr(each, "url", each))  # noqa: E731
    values = read(value)
    for each in values if isinstance(values, list | tuple) else [values]:
        if isinstance(each := getattr(each, "value", each), str):
            yield key, each
