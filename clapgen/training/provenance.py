"""What a run was made of: recorded in its checkpoints, and compared when the run is resumed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from clapgen.data.manifest import Clip
from clapgen.errors import ClapgenError
from clapgen.training.checkpoints import newest_checkpoint, read_meta

LONGEST_SHOWN = 60  # characters of a value in a message


def describe_clips(
    clips: Sequence[Clip], lengths: Iterable[int] = (), keys: Sequence[str] = (), texts: bool = True
) -> str:
    """Number and digest of clips: names, `lengths` in samples, and (unless `texts` is false) captions, labels,
    recordings and `keys` of the manifest.

    The folder that holds them does not count: data may move.
    """
    rows: list[Any] = [[c.path.name] for c in clips]
    if texts:
        rows = [[c.path.name, c.captions, c.labels, c.recording, *map(c.extra.get, keys)] for c in clips]
    return f"{len(clips)} clips ({_digest([*rows, *map(int, lengths)])})"


def describe_texts(texts: Sequence[str]) -> str:
    """Number and digest of sentences, in order."""
    return f"{len(texts)} sentences ({_digest(texts)})"


def hold_out(texts: Sequence[str], share: float, most: int | None = None) -> tuple[list[int], list[int]]:
    """Indices of the texts to measure on, a `share` of them (at least one, at `most` so many), and of all others.

    The choice depends on each text alone, so that few change sides when texts are added or removed.
    """
    order = sorted(range(len(texts)), key=lambda i: hashlib.sha256(texts[i].encode(errors="surrogatepass")).digest())
    count = max(1, min(int(len(texts) * share), len(texts) if most is None else most))
    return order[:count], order[count:]


def stored_asset(output: str | Path, name: str) -> str | None:
    """An asset in the newest checkpoint of a run: what `Task.assets` returned. None if there is none."""
    checkpoint = newest_checkpoint(Path(output) / "checkpoints")
    return read_meta(checkpoint).get("assets", {}).get(name) if checkpoint else None


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """`"training clips: 3 clips (…) -> 4 clips (…)"` for each name whose value differs."""
    names = [name for name in dict.fromkeys([*old, *new]) if old.get(name) != new.get(name)]
    return [f"{name}: {_shown(old.get(name))} -> {_shown(new.get(name))}" for name in names]


def check_provenance(checkpoint: Path, old: Mapping[str, Any] | None, new: Mapping[str, Any], allow: bool) -> list[str]:
    """Lines to print when a run is resumed from `checkpoint`, which was made of `old`, with `new`.

    Raises:
        ClapgenError: they differ, and `allow` is false.
    """
    if old is None:
        return [f"resuming; {checkpoint.name} is of an older version and does not say what it was made of"]
    changed = changes(old, new)
    if changed and not allow:
        raise ClapgenError(
            f"{checkpoint} was made of other data than this run ({'; '.join(changed)}); restore the data, set another "
            "training.output to start a new run, or set training.allow_changes=true to continue with the new data"
        )
    return [f"resuming with changed data: {'; '.join(changed)}"] if changed else []


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, default=str).encode()).hexdigest()[:12]


def _shown(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 1]}…"
