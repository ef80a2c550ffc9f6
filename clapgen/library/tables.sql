CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);

-- path: bytes as in the file system, relative to the folder that holds the library for files below it.
-- Ids are never reused (AUTOINCREMENT): an index built from the vectors tells new ones and deleted ones by id.
CREATE TABLE IF NOT EXISTS sounds (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    path BLOB NOT NULL UNIQUE,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    digest TEXT NOT NULL,
    given TEXT NOT NULL,
    seconds REAL NOT NULL,
    sample_rate INTEGER NOT NULL,
    channels INTEGER NOT NULL,
    captions TEXT NOT NULL,
    tags TEXT NOT NULL,
    licence TEXT,
    author TEXT,
    category TEXT,
    name TEXT,
    recording TEXT,
    extra TEXT NOT NULL,
    vanished INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS sounds_by_digest ON sounds (digest);
CREATE INDEX IF NOT EXISTS sounds_by_seconds ON sounds (seconds, vanished);
CREATE INDEX IF NOT EXISTS vanished_sounds ON sounds (id) WHERE vanished;

-- start, end: seconds; NULL for the vector of a whole file. vector: float16, little-endian.
CREATE TABLE IF NOT EXISTS vectors (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    sound INTEGER NOT NULL REFERENCES sounds (id) ON DELETE CASCADE,
    start REAL,
    "end" REAL,
    vector BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS vectors_by_sound ON vectors (sound);

CREATE TABLE IF NOT EXISTS tags (
    tag TEXT NOT NULL,
    sound INTEGER NOT NULL REFERENCES sounds (id) ON DELETE CASCADE,
    PRIMARY KEY (tag, sound)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS tags_by_sound ON tags (sound);

CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5 (
    captions, tags, name, tokenize = "porter unicode61 remove_diacritics 2"
);
