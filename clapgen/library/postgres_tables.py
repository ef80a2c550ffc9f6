"""The tables of a library in PostgreSQL: rows from and to records. All of its SQL is here, in `postgres.sql` and in
`postgres_words.py`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pgvector import HalfVector, Vector
from psycopg import Connection, Cursor

from clapgen.data.text import label_key
from clapgen.library.columns import SOUND_COLUMNS, labels, sound_as_row, sound_from_row, texts, vector_rows
from clapgen.library.postgres_words import BY_WORDS, split_words
from clapgen.library.records import Changes, Embeddings, FileState, Selection, Sound, VectorRows
from clapgen.library.store import Totals

Ids = list[int]

LAYOUT = Path(__file__).with_name("postgres.sql")
MARK = "A clapgen sound library"  # the comment on a schema by which we recognise ours
INDEX = "vectors_near"
_SOUND = ", ".join(["id", *SOUND_COLUMNS])
_ROW = 'vectors.id, sound, start, "end", halfvec_send(embedding)'  # a header of two numbers, then big-endian float16
_COLUMNS = {  # of a sound, and how its value is given
    **dict.fromkeys((*SOUND_COLUMNS, "labels"), "%s"),
    "words": "to_tsvector('words', %s)",
    "word_count": "%s",
}
_LONGEST_LABEL = 200  # characters: what an index takes
_MOST_WORDS = 10_000  # of one sound
_SAME = 4e-6  # cosines closer than this may be equal in the order of `Store.nearest`
_LOCKS = 0x636C6170  # "clap": ours among the advisory locks of the database

_EXACTLY = """
    WITH near AS MATERIALIZED (
        SELECT sound, min(embedding::vector <=> %b) AS distance
        FROM vectors JOIN sounds ON sounds.id = sound WHERE {} GROUP BY sound
    ), last AS (
        SELECT distance FROM near ORDER BY distance LIMIT 1 OFFSET %s
    )
    SELECT sound FROM near WHERE distance <= COALESCE((SELECT distance FROM last), 'NaN') + %s ORDER BY sound
"""
_PROBABLY = """
    SELECT sound FROM vectors JOIN sounds ON sounds.id = sound
    WHERE {} ORDER BY embedding::halfvec({}) <=> %b::halfvec LIMIT %s
"""
_PROBLEMS = {
    "sounds without exactly one vector of the whole": "SELECT count(*) FROM sounds WHERE 1 != "
    "(SELECT count(*) FROM vectors WHERE sound = sounds.id AND start IS NULL)",
    "vectors without a sound": "SELECT count(*) FROM vectors WHERE sound NOT IN (SELECT id FROM sounds)",
    "vectors of another width": "SELECT count(*) FROM vectors WHERE vector_dims(embedding) != %s",
    "sounds without words": "SELECT count(*) FROM sounds WHERE word_count != 0 AND words = ''",
}


@dataclass(frozen=True)
class PostgresTables:
    """The tables of the library in a schema, which the connection looks into first.

    Methods that change something expect a transaction that is open.
    """

    database: Connection
    schema: str

    def exists(self) -> bool | None:
        """Whether the library is there; None if something else has its name."""
        query = "SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = %s"
        found = self.all(query, [self.schema])
        if not found or found[0][0] == MARK:
            return bool(found)
        objects = "SELECT 1 FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = %s LIMIT 1"
        return None if self.all(objects, [self.schema]) else False

    def extension(self) -> tuple[str, str] | None:
        """Version and schema of pgvector in this database."""
        query = "SELECT extversion, nspname FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace"
        found = self.all(f"{query} WHERE extname = 'vector'")
        return (found[0][0], found[0][1]) if found else None

    def look_into(self, *schemas: str) -> None:
        """Where names without a schema are looked up."""
        self.run(f"SET search_path = {', '.join(map(_quoted, schemas))}")

    def create(self) -> None:
        """Make the schema and the tables."""
        self.run(f"CREATE SCHEMA IF NOT EXISTS {_quoted(self.schema)}")
        self.run(f"COMMENT ON SCHEMA {_quoted(self.schema)} IS '{MARK}'")
        self.run(LAYOUT.read_text(encoding="utf-8"))

    def run(self, query: str, values: Sequence[Any] | None = None) -> Cursor:
        """Execute a statement; %s and %b are its values."""
        return self.database.execute(query.encode(), values)

    def all(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        """All rows of a query."""
        return self.database.cursor(binary=True).execute(query.encode(), values).fetchall()

    def many(self, query: str, values: Sequence[Sequence[Any]]) -> None:
        """Execute a statement for each of the values."""
        self.database.cursor().executemany(query.encode(), values)

    def lock_for_creation(self) -> None:
        """Wait until nobody else makes a library in this database; the end of the transaction releases it."""
        self.run(f"SELECT pg_advisory_xact_lock({_LOCKS}, 0)")

    def lock(self) -> str | None:
        """Become the one who writes until `unlock` or the end of the connection; the name of who it is, if another."""
        if self.all(f"SELECT pg_try_advisory_lock({_LOCKS}, hashtext(%s))", [self.schema])[0][0]:
            return None
        holder = (
            "SELECT application_name FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory' "
            f"AND classid = {_LOCKS} AND objid = hashtext(%s)::oid AND granted AND datname = current_database()"
        )
        found = self.all(holder, [self.schema])
        return found[0][0] if found and found[0][0] else "another process"

    def unlock(self) -> None:
        self.run(f"SELECT pg_advisory_unlock({_LOCKS}, hashtext(%s))", [self.schema])

    def facts(self) -> dict[str, str]:
        return dict(self.all("SELECT name, value FROM facts"))

    def set_facts(self, facts: Mapping[str, str]) -> None:
        query = "INSERT INTO facts VALUES (%s, %s) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
        self.many(query, list(facts.items()))

    def states(self) -> dict[int, tuple[FileState, bool]]:
        rows = self.all("SELECT id, path, size, mtime_ns, digest, given, vanished FROM sounds ORDER BY id")
        return {row[0]: (FileState(_path(row[1]), *row[2:6]), row[6]) for row in rows}

    def sounds(self, ids: Sequence[int]) -> list[Sound]:
        rows = self.all(f"SELECT {_SOUND} FROM sounds WHERE id = ANY(%s)", [_whole(ids)])
        found = {row[0]: _sound(row) for row in rows}
        return [found[id] for id in ids if id in found]

    def sounds_after(self, id: int, count: int) -> list[Sound]:
        rows = self.all(f"SELECT {_SOUND} FROM sounds WHERE id > %s ORDER BY id LIMIT %s", [id, count])
        return [_sound(row) for row in rows]

    def write(self, changes: Changes) -> Ids:
        self.run("DELETE FROM sounds WHERE id = ANY(%s)", [_whole(changes.removed)])
        moving = [(b"\0%d" % sound.id, sound.id) for sound in changes.updated]
        self.many("UPDATE sounds SET path = %s WHERE id = %s", moving)  # two files may have changed names
        added = [sound for sound, _ in changes.added]
        replaced = [sound for sound in added if sound.id]
        self._update([*changes.updated, *replaced])
        self.run("DELETE FROM vectors WHERE sound = ANY(%s)", [_whole([sound.id for sound in replaced])])
        new = iter(self._insert([sound for sound in added if not sound.id]))
        ids = [sound.id or next(new) for sound in added]
        rows = [row for id, (_, table) in zip(ids, changes.added, strict=True) for row in _as_rows(id, table)]
        self.many('INSERT INTO vectors (sound, start, "end", embedding) VALUES (%s, %s, %s, %b)', rows)
        return ids

    def _update(self, sounds: Sequence[Sound]) -> None:
        """Replace all but the vectors of stored sounds."""
        pairs = ", ".join(f"{name} = {mark}" for name, mark in _COLUMNS.items())
        rows = [[*_columns(sound), sound.id] for sound in sounds]
        self.many(f"UPDATE sounds SET {pairs} WHERE id = %s", rows)

    def _insert(self, sounds: Sequence[Sound]) -> Ids:
        if not sounds:
            return []
        query = f"INSERT INTO sounds ({', '.join(_COLUMNS)}) VALUES ({', '.join(_COLUMNS.values())}) RETURNING id"
        cursor = self.database.cursor()
        cursor.executemany(query.encode(), [_columns(sound) for sound in sounds], returning=True)
        ids = [cursor.fetchone()]
        while cursor.nextset():
            ids.append(cursor.fetchone())
        return [row[0] for row in ids if row]

    def rows(self, after: int, whole: bool, count: int) -> VectorRows:
        """At most `count` vectors with larger ids than `after`."""
        condition = "AND start IS NULL" if whole else ""
        query = f"SELECT {_ROW} FROM vectors WHERE id > %s {condition} ORDER BY id LIMIT %s"
        return _rows(self.all(query, [after, count]))

    def rows_of(self, sounds: Sequence[int]) -> VectorRows:
        return _rows(self.all(f"SELECT {_ROW} FROM vectors WHERE sound = ANY(%s) ORDER BY id", [_whole(sounds)]))

    def sample(self, count: int) -> VectorRows:
        """At most so many vectors of whole sounds that have not vanished, evenly over the library."""
        total = int(self.all("SELECT count(*) FROM sounds WHERE NOT vanished")[0][0])
        places = np.linspace(0, total - 1, min(count, total)).astype(np.int64).tolist()
        query = (
            "WITH numbered AS (SELECT id, row_number() OVER (ORDER BY id) - 1 AS place FROM sounds WHERE NOT vanished) "
            f"SELECT {_ROW} FROM vectors WHERE start IS NULL "
            "AND sound IN (SELECT id FROM numbered WHERE place = ANY(%s)) ORDER BY id"
        )
        return _rows(self.all(query, [places]))

    def selected_rows(self, selection: Selection) -> VectorRows:
        """The vectors that a search considers."""
        condition, values = _condition(selection, vectors=True)
        query = f"SELECT {_ROW} FROM vectors JOIN sounds ON sounds.id = sound WHERE {condition} ORDER BY vectors.id"
        return _rows(self.all(query, values))

    def count(self, selection: Selection, limit: int) -> int:
        """How many sounds a search considers; at most `limit` are counted."""
        condition, values = _condition(selection)
        query = f"SELECT count(*) FROM (SELECT FROM sounds WHERE {condition} LIMIT %s) AS passing"
        return int(self.all(query, [*values, limit])[0][0])

    def nearest_exactly(self, query: npt.NDArray[np.float32], k: int, selection: Selection) -> Ids:
        """The k nearest sounds, and those that are as near but for rounding, by a scan on the server."""
        condition, values = _condition(selection, vectors=True)
        rows = self.all(_EXACTLY.format(condition), [Vector(query), *values, k - 1, _SAME])
        return [row[0] for row in rows]

    def nearest_probably(self, query: npt.NDArray[np.float32], count: int, selection: Selection, effort: int) -> Ids:
        """The sounds of about `count` vectors that are near, by the index, which keeps `effort` candidates."""
        self.run(
            f"SET LOCAL hnsw.iterative_scan = relaxed_order; SET LOCAL hnsw.ef_search = {effort}; "
            "SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off"
        )
        condition, values = _condition(selection, vectors=True)
        rows = self.all(_PROBABLY.format(condition, len(query)), [*values, HalfVector(query), count])
        self.run("SET LOCAL enable_seqscan = DEFAULT; SET LOCAL enable_sort = DEFAULT")
        return sorted({row[0] for row in rows})

    def has_index(self) -> bool:
        """Whether there is an index to search with."""
        query = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)"
        return any(row[0] for row in self.all(query, [f"{_quoted(self.schema)}.{INDEX}"]))

    def create_index(self, dim: int) -> None:
        self.run(f"CREATE INDEX {INDEX} ON vectors USING hnsw ((embedding::halfvec({dim})) halfvec_cosine_ops)")

    def with_words(self, alternatives: Sequence[Sequence[str]], limit: int, selection: Selection) -> Ids:
        phrases = [" ".join(words) for each in alternatives for one in each if (words := split_words(one))]
        condition, values = _condition(selection)
        return [row[0] for row in self.all(BY_WORDS.format(condition), [phrases, *values, limit])]

    def totals(self) -> Totals:
        sounds, vanished, seconds = self.all(
            "SELECT count(*), count(*) FILTER (WHERE vanished), COALESCE(sum(seconds), 0) FROM sounds"
        )[0]
        vectors = self.vector_count()
        query = "SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class WHERE relnamespace = %s::regnamespace "
        size = self.all(query + "AND relkind = 'r'", [_quoted(self.schema)])[0][0]
        return Totals(sounds, vanished, vectors, seconds, vectors if self.has_index() else 0, size)

    def vector_count(self) -> int:
        return int(self.all("SELECT count(*) FROM vectors")[0][0])

    def tags(self) -> dict[str, int]:
        query = "SELECT label, count(*) FROM sounds, unnest(labels) AS label GROUP BY label"
        return dict(sorted(self.all(query), key=lambda pair: (-pair[1], pair[0])))

    def check(self, dim: int) -> Iterator[str]:
        """What is wrong, in words; `dim` is the width of the vectors."""
        for what, query in _PROBLEMS.items():
            if count := self.all(query, [dim] if "%s" in query else [])[0][0]:
                yield f"{count} {what}"


def _condition(selection: Selection, vectors: bool = False) -> tuple[str, list[Any]]:
    """The condition on a sound and, if `vectors`, on one of its vectors, and its values."""
    conditions, values = ["NOT vanished"], list[Any]()
    for limit, sign in ((selection.min_seconds, ">="), (selection.max_seconds, "<=")):
        if limit is not None:
            conditions.append(f"seconds {sign} %s")
            values.append(limit)
    if selection.tags:
        conditions.append("labels @> %s")
        values.append([label_key(tag)[:_LONGEST_LABEL] for tag in selection.tags])
    if selection.licences:
        conditions.append(f"({' OR '.join(['strpos(lower(licence), %s) > 0'] * len(selection.licences))})")
        values += [licence.lower() for licence in selection.licences]
    if selection.under:
        conditions.append(f"({' OR '.join(['(path >= %s AND path < %s)'] * len(selection.under))})")
        for folder in selection.under:
            start = os.fsencode(os.path.abspath(folder)).rstrip(b"/")
            values += [start + b"/", start + b"0"]  # "0" follows "/"
    if selection.without_digests:
        conditions.append("digest != ALL(%s)")
        values.append(list(selection.without_digests))
    if vectors and selection.whole:
        conditions.append("start IS NULL")
    return " AND ".join(conditions), values


def _columns(sound: Sound) -> list[Any]:
    """The values of `_COLUMNS`."""
    words = split_words(" ".join(texts(sound)))[:_MOST_WORDS]
    compared = [label[:_LONGEST_LABEL] for label in labels(sound)]
    return [*sound_as_row(sound, os.fsencode(sound.path)), compared, " ".join(words), len(words)]


def _as_rows(sound: int, embeddings: Embeddings) -> Iterator[tuple[Any, ...]]:
    spans = [(None, None), *embeddings.spans.tolist()]
    for (start, end), vector in zip(spans, embeddings.vectors, strict=True):
        yield sound, start, end, HalfVector(vector)


def _rows(found: Sequence[Sequence[Any]]) -> VectorRows:
    return vector_rows(found, dtype=">f2", header=2)


def _sound(row: Sequence[Any]) -> Sound:
    return sound_from_row(row[0], _path(row[1]), row[2:])


def _path(stored: bytes) -> Path:
    return Path(os.fsdecode(stored))


def _whole(ids: Sequence[int]) -> Ids:
    return [int(id) for id in ids]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
