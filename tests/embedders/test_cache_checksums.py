"""A value in the cache belongs to its key: one that got under another key, as by a damaged index, is not used."""

import sqlite3
from pathlib import Path

from clapgen.embedders.store import CacheFolder


def test_a_value_under_another_key_is_missing(tmp_path: Path) -> None:
    store = CacheFolder(tmp_path, limit_bytes=10**7)
    values = {b"a" * 16: b"embedding of a", b"b" * 16: b"embedding of b", b"c" * 16: b"embedding of c"}
    store.put(values)
    assert store.get(list(values)) == values
    with sqlite3.connect(store.file) as database:
        stored = dict(database.execute("SELECT key, value FROM entries").fetchall())
        database.execute("UPDATE entries SET value = ? WHERE key = ?", [stored[b"b" * 16], b"a" * 16])
        database.execute("UPDATE entries SET value = ? WHERE key = ?", [stored[b"a" * 16], b"b" * 16])
    database.close()
    assert store.get(list(values)) == {b"c" * 16: b"embedding of c"}
