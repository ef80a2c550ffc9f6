"""Synonyms of sound labels: label → words and phrases, bundled or from the user."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from clapgen.data.text import read_text
from clapgen.errors import ClapgenError
from clapgen.metrics.captions.words import tokenize

BUNDLED = Path(__file__).with_name("synonyms.tsv")


def load_synonyms(path: str | Path | None = None) -> dict[str, list[str]]:
    """Label → words and phrases, for `keyword_accuracy`; the bundled ones by default.

    The bundled list has the 50 classes of ESC-50, with their official names, and about 240 everyday labels. It includes
    everything a listener would accept as a name of the sound (puppy and bark for dog, chopper and rotor for
    helicopter).

    - `.json`: an object, `{"dog": ["puppy", "bark"], …}`.
    - any other file: each line has labels, a tab, and words, both separated by commas. Lines starting with `#` are
      comments.

    Words are compared, not meanings: "the rooster crows" mentions crow. Labels that only differ in case, spaces or
    underscores are duplicates. Synonyms need not repeat the label.

    Raises:
        ClapgenError: the file cannot be read, is malformed or has no labels; a label comes twice; a label or synonym
            has no words.
    """
    if path is None:
        return {label: list(words) for label, words in _bundled().items()}
    rows = _json_rows(Path(path)) if Path(path).suffix.lower() == ".json" else _table_rows(Path(path))
    synonyms: dict[str, list[str]] = {}
    seen: dict[str, str] = {}
    for where, label, words in rows:
        for text in (label, *words):
            if not _words(text):
                raise ClapgenError(f"{where}: {text!r} has no words; remove it.")
        if before := seen.get(_words(label)):
            raise ClapgenError(f"{where}: the label {label!r} is already on {before}; merge the two.")
        seen[_words(label)] = where
        synonyms[label] = words
    if not synonyms:
        raise ClapgenError(f"{path} has no labels; each line needs labels, a tab and words, both separated by commas.")
    return synonyms


@cache
def _bundled() -> dict[str, list[str]]:
    return load_synonyms(BUNDLED)


def _words(text: str) -> str:
    return " ".join(tokenize(text.replace("_", " ")))


def _table_rows(path: Path) -> Iterator[tuple[str, str, list[str]]]:
    for number, line in enumerate(read_text(path).split("\n"), 1):
        where = f"{path}:{number}"
        if not line.strip() or line.startswith("#"):
            continue
        labels, tab, words = line.partition("\t")
        if not tab or not words.strip():
            raise ClapgenError(f"{where}: {line.strip()[:40]!r} has no tab followed by words; write label, tab, words.")
        for label in labels.split(","):
            yield where, label.strip(), [word.strip() for word in words.split(",")]


def _json_rows(path: Path) -> Iterator[tuple[str, str, list[str]]]:
    text = read_text(path)
    try:
        pairs = json.loads(text, object_pairs_hook=lambda pairs: pairs)  # a dict would hide a label given twice
    except (json.JSONDecodeError, RecursionError) as error:
        line, reason = getattr(error, "lineno", 1), getattr(error, "msg", "nested too deeply")
        raise ClapgenError(f'{path}:{line}: not JSON ({reason}); write {{"dog": ["puppy", "bark"]}}.') from error
    if not text.lstrip().startswith("{"):
        raise ClapgenError(f'{path}:1: not a JSON object; write {{"dog": ["puppy", "bark"]}}.')
    end = 0
    for label, words in pairs:
        end = max(end, text.find(json.dumps(label, ensure_ascii=False), end + 1))
        where = f"{path}:{text.count(chr(10), 0, end) + 1}"
        if not _is_list_of_strings(words):
            raise ClapgenError(f"{where}: the synonyms of {label!r} are not a list of strings; give one.")
        yield where, label, words


def _is_list_of_strings(words: Any) -> bool:
    return isinstance(words, list) and bool(words) and all(isinstance(word, str) for word in words)
