"""Search by words in PostgreSQL with the ranks that SQLite's FTS5 gives in a folder."""

from __future__ import annotations

import re
import unicodedata

# BM25 as in SQLite's FTS5 (k1 = 1.2, b = 0.75; Robertson and Zaragoza 2009).
BY_WORDS = """
    WITH phrases AS (
        SELECT number, phraseto_tsquery('words', text) AS phrase, ARRAY(
            SELECT (ts_lexize('stems', word))[1]
            FROM unnest(string_to_array(text, ' ')) WITH ORDINALITY AS given (word, place) ORDER BY place
        ) AS stems FROM unnest(%s::text[]) WITH ORDINALITY AS given (text, number)
    ), matches AS (
        SELECT number, id, word_count, (
            SELECT count(*) FROM (
                SELECT position - place FROM unnest(stems) WITH ORDINALITY AS given (stem, place)
                JOIN unnest(words) AS word ON lexeme = stem, unnest(positions) AS position
                GROUP BY position - place HAVING count(*) = cardinality(stems)
            ) AS occurrences
        ) AS frequency FROM phrases JOIN sounds ON words @@ phrase
    ), totals AS (
        SELECT count(*) AS sounds, avg(word_count)::float8 AS mean FROM sounds
    ), weights AS (
        SELECT number, greatest(1e-6, ln((sounds - count(*) + 0.5) / (count(*) + 0.5)))::float8 AS weight
        FROM matches, totals GROUP BY number, sounds
    ), ranks AS (
        SELECT id, sum(weight * frequency * 2.2 / (frequency + 1.2 * (0.25 + 0.75 * word_count / mean))) AS rank
        FROM matches JOIN weights USING (number), totals GROUP BY id
    )
    SELECT id FROM ranks JOIN sounds USING (id) WHERE {} ORDER BY rank DESC, id LIMIT %s
"""


def split_words(text: str) -> list[str]:
    """The words of a text as FTS5's `unicode61 remove_diacritics 2` splits it."""
    plain = re.sub("[\u0300-\u036f]", "", unicodedata.normalize("NFD", text.lower()))
    return re.findall(r"[^\W_]+", unicodedata.normalize("NFC", plain))
