-- The tables of a library, in a schema of their own. pgvector may be in another schema of the search path.
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);

-- Words are compared as SQLite's FTS5 does with `porter unicode61`; the text is split into words before.
CREATE TEXT SEARCH DICTIONARY stems (TEMPLATE = snowball, LANGUAGE = porter);
CREATE TEXT SEARCH CONFIGURATION words (PARSER = "default");
ALTER TEXT SEARCH CONFIGURATION words
    ADD MAPPING FOR asciiword, word, numword, int, uint, float, sfloat, version WITH stems;

-- path: bytes as in the file system, absolute. labels: tags and category in the form in which they are compared.
CREATE TABLE sounds (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    path BYTEA NOT NULL,
    size BIGINT NOT NULL,
    mtime_ns BIGINT NOT NULL,
    digest TEXT NOT NULL,
    given TEXT NOT NULL,
    seconds DOUBLE PRECISION NOT NULL,
    sample_rate BIGINT NOT NULL,
    channels BIGINT NOT NULL,
    captions TEXT NOT NULL,
    tags TEXT NOT NULL,
    licence TEXT,
    author TEXT,
    category TEXT,
    name TEXT,
    recording TEXT,
    extra TEXT NOT NULL,
    vanished BOOLEAN NOT NULL,
    labels TEXT[] NOT NULL,
    words TSVECTOR NOT NULL,
    word_count INTEGER NOT NULL
);
CREATE UNIQUE INDEX sounds_by_path ON sounds (sha256(path)); -- paths may be too long for an index
CREATE INDEX sounds_by_digest ON sounds (digest);
CREATE INDEX sounds_by_label ON sounds USING gin (labels);
CREATE INDEX sounds_by_word ON sounds USING gin (words);
CREATE INDEX sounds_by_length ON sounds (seconds);
CREATE INDEX vanished_sounds ON sounds (id) WHERE vanished;

-- start, end: seconds; NULL for the vector of a whole file. Vectors stay in the row, not in a table of their own.
CREATE TABLE vectors (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sound BIGINT NOT NULL REFERENCES sounds (id) ON DELETE CASCADE,
    start DOUBLE PRECISION,
    "end" DOUBLE PRECISION,
    embedding HALFVEC NOT NULL
);
ALTER TABLE vectors ALTER COLUMN embedding SET STORAGE PLAIN;
CREATE INDEX vectors_by_sound ON vectors (sound);
