"""Sounds and vectors as the columns of tables, the same in every database."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from clapgen.data.text import label_key
from clapgen.library.records import Description, FileState, Sound, VectorRows

_STATE = ("path", "size", "mtime_ns", "digest", "given")
_ABOUT = ("captions", "tags", "licence", "author", "category", "name", "recording", "extra")
SOUND_COLUMNS = (*_STATE, "seconds", "sample_rate", "channels", *_ABOUT, "vanished")


def sound_as_row(sound: Sound, path: bytes) -> tuple[Any, ...]:
    """The values of `SOUND_COLUMNS`; `path` is how its path is stored."""
    file, about = sound.file, sound.description
    state = (path, file.size, file.mtime_ns, file.digest, file.given)
    known = (sound.seconds, sound.sample_rate, sound.channels, _json(about.captions), _json(about.tags))
    texts = (about.licence, about.author, about.category, about.name, about.recording)
    return (
        *state,
        *known,
        *(None if text is None else _plain(text) for text in texts),
        _json(about.extra),
        sound.vanished,
    )


def sound_from_row(id: int, path: Path, row: Sequence[Any]) -> Sound:
    """The sound with these values of `SOUND_COLUMNS` after the path."""
    size, mtime_ns, digest, given, seconds, rate, channels, captions, tags, *texts, extra, vanished = row
    licence, author, category, name, recording = texts
    lists = (tuple(json.loads(captions)), tuple(json.loads(tags)))
    about = Description(*lists, licence, author, category, name, recording, json.loads(extra))
    return Sound(id, FileState(path, size, mtime_ns, digest, given), seconds, rate, channels, about, bool(vanished))


def labels(sound: Sound) -> list[str]:
    """The tags and the category of a sound, in the form in which they are compared."""
    about = sound.description
    return sorted({label_key(_plain(tag)) for tag in (*about.tags, *filter(None, [about.category]))})


def texts(sound: Sound) -> tuple[str, str, str]:
    """What a search by words looks at: captions, tags and names."""
    about = sound.description
    named = " ".join(filter(None, [about.name, about.category, sound.path.stem.replace("_", " ")]))
    captions, tags = "\n".join(about.captions), "\n".join(about.tags).replace("_", " ")
    return _plain(captions), _plain(tags), _plain(named)


def vector_rows(found: Sequence[Sequence[Any]], dtype: str = "<f2", header: int = 0) -> VectorRows:
    """Rows of id, sound, start, end and the bytes of a vector, of which `header` numbers come before the vector."""
    if not found:
        empty = np.zeros(0, dtype=np.int64)
        return VectorRows(empty, empty, np.zeros((0, 2)), np.zeros((0, 0), dtype=np.float16))
    ids, sounds, starts, ends, blobs = zip(*found, strict=True)
    spans = np.array([starts, ends], dtype=np.float64).T  # None becomes NaN
    table = np.frombuffer(b"".join(blobs), dtype=dtype).reshape(len(blobs), -1)[:, header:]
    vectors = table.astype(np.float16)  # a copy, which torch may have
    return VectorRows(np.array(ids, dtype=np.int64), np.array(sounds, dtype=np.int64), spans, vectors)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=True)  # escapes what is not UTF-8


def _plain(text: str) -> str:
    """Without what a database may refuse."""
    return text.encode(errors="replace").decode().replace("\0", "")
