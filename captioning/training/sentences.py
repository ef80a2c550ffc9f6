"""Sentences to train on: read from JSONL, CSV or plain text, tidied, counted, and embedded once by CLAP."""

from __future__ import annotations

import csv
import hashlib
import json
import logging
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from clapgen.embedders import ClapEmbedder
from clapgen.errors import ClapgenError
from clapgen.files import atomic_path

logger = logging.getLogger(__name__)

LONGEST_SENTENCE = 1000  # characters; captions have a tenth of that
CAPTION_COLUMNS = ("caption", "captions", "raw", "text", *(f"caption_{n}" for n in range(1, 6)))


@dataclass
class Sentences:
    """Different sentences of one file, how often each comes, and how many lines were left out, by reason."""

    source: str
    texts: list[str]
    counts: list[int]
    left_out: dict[str, int]


def read_sentences(path: str | Path, splits: Sequence[str] = ("train",), free_only: bool = False) -> Sentences:
    """The captions of a file, each once, in the order of their first coming.

    - `.jsonl`: objects with "caption" (a string) or "captions" (a list). Those with a "split" that is none of `splits`
      are left out, and with `free_only` those whose "free" is false. A manifest is such a file.
    - `.csv`, `.tsv`: a header with caption, or caption_1 … caption_5 (Clotho's and aac-metrics' form).
    - anything else: plain text, a sentence a line.

    Sentences of more than 1,000 characters, without a letter or with control characters are left out and counted.

    Raises:
        ClapgenError: naming file and line, when the file cannot be read, is not UTF-8, or has lines of another form;
            naming the file, when no sentence is left.
    """
    path = Path(path)
    counts: Counter[str] = Counter()
    left_out: Counter[str] = Counter()
    for text in _captions(path, splits, free_only, left_out):
        if len(text) > LONGEST_SENTENCE:
            left_out[f"longer than {LONGEST_SENTENCE} characters"] += 1
        elif not any(map(str.isalpha, text)):
            left_out["without a letter"] += 1
        elif _is_broken(tidied := tidy(text)):
            left_out["with control characters or halves of surrogate pairs"] += 1
        else:
            counts[tidied] += 1
    if not counts:
        why = "; ".join(f"{count} lines left out: {reason}" for reason, count in left_out.items()) or "it is empty"
        raise ClapgenError(f"{path} has no sentence to train on ({why}).")
    for reason, count in left_out.items():
        logger.warning("%s: %d lines left out: %s", path, count, reason)
    return Sentences(str(path), list(counts), list(counts.values()), dict(left_out))


def tidy(text: str) -> str:
    """One line, single spaces, a capital first, no full stop last: as captions of AudioCaps are written."""
    text = " ".join(text.split()).rstrip(" .")
    return text[:1].upper() + text[1:]


def _is_broken(text: str) -> bool:
    return not text.isprintable() and any(unicodedata.category(character) in ("Cc", "Cs") for character in text)


def embed_sentences(clap: ClapEmbedder, texts: Sequence[str], cache: str | Path) -> Tensor:
    """CLAP text embeddings (n, dim), kept in the folder `cache` by the sentences and the CLAP they came from."""
    key = hashlib.sha256("\n".join([clap.hash, *texts]).encode()).hexdigest()[:16]
    path = Path(cache) / f"text-{key}.safetensors"
    if clap.hash and path.is_file():
        try:
            return load_file(path)["embeddings"]
        except (OSError, SafetensorError, KeyError):
            logger.warning("%s is damaged; the sentences are embedded again", path)
    embeddings = _embed_by_length(clap, texts)
    if clap.hash:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_path(path, overwrite=True) as temporary:
                save_file({"embeddings": embeddings}, temporary)
        except OSError as error:
            raise ClapgenError(
                f"cannot keep embeddings in the folder {cache}: {(error.strerror or str(error)).lower()}; "
                "set cache=FOLDER to another"
            ) from error
    return embeddings


def _embed_by_length(clap: ClapEmbedder, texts: Sequence[str], batch_size: int = 256) -> Tensor:
    """Sentences of like length together, for speed."""
    from rich.console import Console
    from rich.progress import track

    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    embeddings = torch.empty(len(texts), clap.dim)
    starts = range(0, len(order), batch_size)
    for start in track(starts, "embedding sentences", console=Console(stderr=True), disable=len(starts) < 8):
        rows = order[start : start + batch_size]
        embeddings[rows] = clap.embed_text([texts[row] for row in rows])
    return embeddings


def _captions(path: Path, splits: Sequence[str], free_only: bool, left_out: Counter[str]) -> Iterator[str]:
    suffix = path.suffix.lower()
    if suffix in (".jsonl", ".json"):
        for where, line in _lines(path):
            row = _parsed(line, where)
            if "split" in row and row["split"] not in (*splits, None):
                left_out[f"of another split than {', '.join(splits)}"] += 1
            elif free_only and row.get("free") is False:
                left_out["not free"] += 1
            else:
                yield from _of_row(row, where)
    elif suffix in (".csv", ".tsv"):
        lines = (line + "\n" for _, line in _lines(path))
        reader = csv.DictReader(lines, delimiter="\t" if suffix == ".tsv" else ",")
        columns = [name for name in reader.fieldnames or [] if name.strip().lower() in CAPTION_COLUMNS]
        if not columns:
            raise ClapgenError(f"{path}:1 has no column caption or caption_1 … (it has {reader.fieldnames}).")
        try:
            for row in reader:
                yield from (row[name] for name in columns if row[name])
        except csv.Error as error:
            raise ClapgenError(
                f"{path}:{reader.line_num} is not a row of a table ({error}); is a quote open?"
            ) from error
    else:
        yield from (line for _, line in _lines(path) if line.strip())


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """(file:line, text) of every line."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    yield f"{path}:{number}", line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
                except UnicodeDecodeError as error:
                    raise ClapgenError(
                        f"{path}:{number} is not UTF-8 text (byte {error.start}); convert it, e.g. with iconv -t UTF-8"
                    ) from error
    except OSError as error:
        raise ClapgenError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error


def _parsed(line: str, where: str) -> dict[str, Any]:
    if not line.strip():
        return {"captions": []}
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ClapgenError(f"{where} is not JSON ({error})") from error
    if not isinstance(row, dict) or not ({"caption", "captions"} & row.keys()):
        raise ClapgenError(f'{where} is not a JSON object with "caption" or "captions"')
    return row


def _of_row(row: dict[str, Any], where: str) -> list[str]:
    captions = row["captions"] if "captions" in row else [row["caption"]]
    if not isinstance(captions, list) or not all(isinstance(caption, str) for caption in captions):
        raise ClapgenError(f'{where}: "captions" is not a list of strings, or "caption" not a string')
    return captions
