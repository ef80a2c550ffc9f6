"""The tables of a library in SQLite: rows from and to records. All of the room's SQL is here and in `tables.sql`."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from clapgen.data.text import label_key
from clapgen.library.columns import SOUND_COLUMNS, labels, sound_as_row, sound_from_row, texts, vector_rows
from clapgen.library.records import Changes, Embeddings, FileState, Selection, Sound, VectorRows

Ids = npt.NDArray[np.int64]

LAYOUT = Path(__file__).with_name("tables.sql")
_SOUND = ", ".join(["id", *SOUND_COLUMNS])
_IDS_PER_QUERY = 500
_ROWS_PER_BATCH = 65536


@dataclass(frozen=True)
class Tables:
    """The tables in an open database; paths below `base` are stored relative to it.

    Methods that change something expect a transaction that is open.
    """

    database: sqlite3.Connection
    base: Path

    def create(self) -> None:
        """Create what is missing."""
        for statement in _statements(LAYOUT.read_text(encoding="utf-8")):
            self.database.execute(statement)

    def facts(self) -> dict[str, str]:
        return dict(self.database.execute("SELECT name, value FROM facts"))

    def set_facts(self, facts: Mapping[str, str]) -> None:
        self.database.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", list(facts.items()))

    def states(self) -> dict[int, tuple[FileState, bool]]:
        rows = self.database.execute("SELECT id, path, size, mtime_ns, digest, given, vanished FROM sounds ORDER BY id")
        return {row[0]: (FileState(self._path(row[1]), *row[2:6]), bool(row[6])) for row in rows}

    def sounds(self, ids: Sequence[int]) -> list[Sound]:
        found: dict[int, Sound] = {}
        for some in _chunks(ids):
            query = f"SELECT {_SOUND} FROM sounds WHERE id IN ({_marks(some)})"
            found |= {row[0]: self._sound(row) for row in self.database.execute(query, some)}
        return [found[id] for id in ids if id in found]

    def sounds_after(self, id: int, count: int) -> list[Sound]:
        query = f"SELECT {_SOUND} FROM sounds WHERE id > ? ORDER BY id LIMIT ?"
        return [self._sound(row) for row in self.database.execute(query, [id, count])]

    def write(self, changes: Changes) -> list[int]:
        for some in _chunks(changes.removed):
            self.database.execute(f"DELETE FROM sounds WHERE id IN ({_marks(some)})", some)
            self.database.execute(f"DELETE FROM words WHERE rowid IN ({_marks(some)})", some)
        for sound in changes.updated:  # two files may have changed names with each other
            self.database.execute("UPDATE sounds SET path = ? WHERE id = ?", [b"\0%d" % sound.id, sound.id])
        for sound in changes.updated:
            self._put(sound)
        return [self._add(sound, embeddings) for sound, embeddings in changes.added]

    def _add(self, sound: Sound, embeddings: Embeddings) -> int:
        id = self._put(sound)
        self.database.execute("DELETE FROM vectors WHERE sound = ?", [id])
        spans = [(None, None), *embeddings.spans.tolist()]
        blobs = [row.astype("<f2").tobytes() for row in embeddings.vectors]
        rows = [(id, start, end, blob) for (start, end), blob in zip(spans, blobs, strict=True)]
        self.database.executemany('INSERT INTO vectors (sound, start, "end", vector) VALUES (?, ?, ?, ?)', rows)
        return id

    def _put(self, sound: Sound) -> int:
        """Insert a sound, or replace all but the vectors of the one that has its id."""
        row = sound_as_row(sound, self._stored_path(sound.path))
        if sound.id:
            assignments = ", ".join(f"{name} = ?" for name in SOUND_COLUMNS)
            self.database.execute(f"UPDATE sounds SET {assignments} WHERE id = ?", [*row, sound.id])
            self.database.execute("DELETE FROM tags WHERE sound = ?", [sound.id])
            self.database.execute("DELETE FROM words WHERE rowid = ?", [sound.id])
            id = sound.id
        else:
            query = f"INSERT INTO sounds ({', '.join(SOUND_COLUMNS)}) VALUES ({_marks(SOUND_COLUMNS)})"
            id = int(self.database.execute(query, row).lastrowid or 0)
        self.database.executemany("INSERT INTO tags VALUES (?, ?)", [(tag, id) for tag in labels(sound)])
        words = [id, *texts(sound)]
        self.database.execute("INSERT INTO words (rowid, captions, tags, name) VALUES (?, ?, ?, ?)", words)
        return id

    def rows(self, after: int, whole: bool, count: int) -> VectorRows:
        """At most `count` vectors with larger ids than `after`."""
        condition = "AND start IS NULL" if whole else ""
        query = f'SELECT id, sound, start, "end", vector FROM vectors WHERE id > ? {condition} ORDER BY id LIMIT ?'
        return vector_rows(self.database.execute(query, [after, count]).fetchall())

    def all_rows(self) -> Iterator[VectorRows]:
        """All vectors in batches, in the order of their ids."""
        last = 0
        while len(rows := self.rows(last, False, _ROWS_PER_BATCH)):
            yield rows
            last = int(rows.ids[-1])

    def whole_ids(self, count: int) -> Ids:
        """Ids of at most so many vectors of whole sounds that have not vanished, evenly over the library."""
        sounds = np.fromiter((row[0] for row in self.database.execute("SELECT id FROM sounds")), dtype=np.int64)
        sounds = np.setdiff1d(sounds, self.excluded(Selection()))
        chosen = sounds[np.linspace(0, len(sounds) - 1, min(count, len(sounds))).astype(np.int64)]
        found = []
        for some in _chunks(chosen.tolist()):
            query = f"SELECT id FROM vectors WHERE sound IN ({_marks(some)}) AND start IS NULL"
            found += self.database.execute(query, some).fetchall()
        return np.array(sorted(row[0] for row in found), dtype=np.int64)

    def sample_rows(self, count: int) -> Iterator[VectorRows]:
        """About so many vectors from all over the library, in batches."""
        ids = self.vector_ids()
        ids = ids[:: max(1, len(ids) // count)]
        for start in range(0, len(ids), _ROWS_PER_BATCH):
            yield self.rows_with(ids[start : start + _ROWS_PER_BATCH].tolist())

    def rows_of(self, sounds: Sequence[int]) -> VectorRows:
        return self._rows_where("sound", sounds)

    def rows_with(self, ids: Sequence[int]) -> VectorRows:
        return self._rows_where("id", ids)

    def _rows_where(self, column: str, ids: Sequence[int]) -> VectorRows:
        found = []
        for some in _chunks(ids):
            query = f'SELECT id, sound, start, "end", vector FROM vectors WHERE {column} IN ({_marks(some)})'
            found += self.database.execute(query, some).fetchall()
        return vector_rows(sorted(found))

    def vector_ids(self, after: int = 0) -> Ids:
        query = "SELECT id FROM vectors WHERE id > ? ORDER BY id"
        return np.fromiter((row[0] for row in self.database.execute(query, [after])), dtype=np.int64)

    def selected(self, selection: Selection) -> Ids | None:
        """Sorted ids of the sounds that a search considers, but for those `excluded`; None for all."""
        if selection.is_everything:
            return None
        condition, values = self._condition(selection)
        query = f"SELECT id FROM sounds WHERE {condition} ORDER BY id"
        return np.fromiter((row[0] for row in self.database.execute(query, values)), dtype=np.int64)

    def excluded(self, selection: Selection) -> Ids:
        """Ids of the sounds that a search leaves out: vanished ones, and given contents. They are few."""
        found = self.database.execute("SELECT id FROM sounds WHERE vanished").fetchall()
        for digest in selection.without_digests:
            found += self.database.execute("SELECT id FROM sounds WHERE digest = ?", [digest]).fetchall()
        return np.array([row[0] for row in found], dtype=np.int64)

    def with_words(self, alternatives: Sequence[Sequence[str]], limit: int, selection: Selection) -> list[int]:
        words = [f'"{word}"' for each in alternatives for word in (one.replace('"', " ") for one in each)]
        condition, values = self._condition(selection)
        query = (
            "SELECT sounds.id FROM words JOIN sounds ON sounds.id = words.rowid "
            f"WHERE words MATCH ? AND {condition} ORDER BY bm25(words), sounds.id LIMIT ?"
        )
        return [row[0] for row in self.database.execute(query, [" OR ".join(words), *values, limit])]

    def number(self, what: str) -> float:
        """One of a few numbers about the tables."""
        queries = {
            "sounds": "SELECT COUNT(*) FROM sounds",
            "vanished": "SELECT COUNT(*) FROM sounds WHERE vanished",
            "seconds": "SELECT COALESCE(SUM(seconds), 0) FROM sounds",
            "vectors": "SELECT COUNT(*) FROM vectors",
            "last vector": "SELECT COALESCE(MAX(id), 0) FROM vectors",
        }
        return self.database.execute(queries[what]).fetchone()[0]

    def tags(self) -> dict[str, int]:
        return dict(self.database.execute("SELECT tag, COUNT(*) FROM tags GROUP BY tag ORDER BY COUNT(*) DESC, tag"))

    def check(self, dim: int) -> Iterator[str]:
        """What is wrong, in words; `dim` is the width of the vectors."""
        for (problem,) in self.database.execute("PRAGMA integrity_check"):
            if problem != "ok":
                yield f"SQLite: {problem}"
        counts = {
            "vectors without a sound": "SELECT COUNT(*) FROM vectors WHERE sound NOT IN (SELECT id FROM sounds)",
            "sounds without exactly one vector of the whole": "SELECT COUNT(*) FROM sounds WHERE 1 != "
            "(SELECT COUNT(*) FROM vectors WHERE sound = sounds.id AND start IS NULL)",
            "vectors of another width": f"SELECT COUNT(*) FROM vectors WHERE LENGTH(vector) != {2 * dim}",
            "sounds without words": "SELECT COUNT(*) FROM sounds WHERE id NOT IN (SELECT rowid FROM words)",
            "words without a sound": "SELECT COUNT(*) FROM words WHERE rowid NOT IN (SELECT id FROM sounds)",
        }
        for what, query in counts.items():
            if count := self.database.execute(query).fetchone()[0]:
                yield f"{count} {what}"

    def _condition(self, selection: Selection) -> tuple[str, list[Any]]:
        conditions, values = ["NOT vanished"], list[Any]()
        for value, sign in ((selection.min_seconds, ">="), (selection.max_seconds, "<=")):
            if value is not None:
                conditions.append(f"seconds {sign} ?")
                values.append(value)
        for tag in selection.tags:
            conditions.append("id IN (SELECT sound FROM tags WHERE tag = ?)")
            values.append(label_key(tag))
        if selection.licences:
            conditions.append(f"({' OR '.join(['INSTR(LOWER(licence), ?)'] * len(selection.licences))})")
            values += [licence.lower() for licence in selection.licences]
        if selection.under:
            ranges = [each for folder in selection.under for each in self._ranges(folder)]
            conditions.append(f"({' OR '.join(['(path >= ? AND path < ?)'] * len(ranges))})")
            values += [value for each in ranges for value in each]
        if selection.without_digests:
            conditions.append(f"digest NOT IN ({_marks(selection.without_digests)})")
            values += selection.without_digests
        return " AND ".join(conditions), values

    def _ranges(self, folder: Path) -> list[tuple[bytes, bytes]]:
        """Between which bytes the stored paths of a folder's files are."""
        folder = Path(os.path.abspath(folder))
        absolute = os.fsencode(folder).rstrip(b"/") + b"/"
        ranges = [(absolute, absolute[:-1] + b"0")]  # "0" follows "/"
        if self.base.is_relative_to(folder):  # all that are stored as relative: everything but "/…"
            ranges += [(b"", b"/"), (b"0", b"\xff\xff")]
        elif folder.is_relative_to(self.base):
            inside = os.fsencode(folder.relative_to(self.base)) + b"/"
            ranges.append((inside, inside[:-1] + b"0"))
        return ranges

    def _stored_path(self, path: Path) -> bytes:
        return os.fsencode(path.relative_to(self.base) if path.is_relative_to(self.base) else path)

    def _path(self, stored: bytes) -> Path:
        return self.base / os.fsdecode(stored)

    def _sound(self, row: Sequence[Any]) -> Sound:
        return sound_from_row(row[0], self._path(row[1]), row[2:])


def _statements(script: str) -> list[str]:
    """The statements of a script; `executescript` would commit an open transaction."""
    lines = [line for line in script.splitlines() if not line.startswith("--")]
    return [statement for part in "\n".join(lines).split(";\n") if (statement := part.strip().rstrip(";"))]


def _chunks(values: Sequence[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(values), _IDS_PER_QUERY):
        yield [int(value) for value in values[start : start + _IDS_PER_QUERY]]


def _marks(values: Sequence[Any]) -> str:
    return ", ".join("?" * len(values))
