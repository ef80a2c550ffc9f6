"""Teacher tables: the embeddings that audio teachers give to the clips of a manifest, computed once, on disk.

A clip is found by the content of its file, so that folders may be moved and files renamed.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from torch.nn import functional as F

from clapgen.data.manifest import Clip
from clapgen.data.splits import some
from clapgen.embedders import Embedder
from clapgen.embedders.cache import embed_files
from clapgen.embedders.file_identity import identify_files
from clapgen.embedders.store import Store
from clapgen.errors import ClapgenError
from clapgen.files import atomic_path

logger = logging.getLogger(__name__)

KIND = "clapgen teacher table 1"


@dataclass(frozen=True)
class Parts:
    """What a teacher hears in half-overlapping parts of each clip: `vectors` (all parts, width), those of clip i at
    `first[i] : first[i + 1]` (n + 1,)."""

    vectors: Tensor
    first: Tensor

    def nearest(self, clips: Tensor, middles: Tensor, seconds: Tensor) -> Tensor:
        """The part of each clip (rows,) around a time in seconds (rows,), for clips of these lengths: (rows, width)."""
        count = self.first[clips + 1] - self.first[clips]
        place = (middles * (count + 1) / seconds - 1).round().nan_to_num(0).long()  # n halves, the ends counted
        return self.vectors[(self.first[clips] + place.clamp(min=0).minimum(count - 1)).clamp(min=0)]


@dataclass(frozen=True)
class TeacherTable:
    """Targets of training clips.

    Attributes:
        targets: (n, width) float32, one row for each clip; a row of zeros is "none".
        parts: of each clip, float32, if the table has them; none of clips without a target.
        teachers: names and hashes of the networks that gave them.
        missing: clips without a target because the table does not have their content.
        withheld: clips without a target because they, or others of their recording, are held out.
    """

    targets: Tensor
    teachers: list[dict[str, Any]]
    missing: list[Path]
    withheld: list[Path]
    parts: Parts | None = None

    @classmethod
    def load(
        cls,
        file: str | Path,
        clips: Sequence[Clip],
        held_out: Sequence[Clip] = (),
        cache: Store | None = None,
    ) -> TeacherTable:
        """Read the targets of `clips`, and report how many have none.

        A table may cover clips that a run measures itself on. None of their embeddings is ever returned: a clip with
        the content or the recording of one of `held_out` gets a row of zeros.

        Args:
            cache: where the contents of files that have not changed are known from.

        Raises:
            ClapgenError: the file is not a teacher table, or has none of the clips.
        """
        table, digests, teachers, stored = _read(Path(file))
        row_of = {digest: row for row, digest in enumerate(digests)}
        found = _digests([*clips, *held_out], cache)
        hidden = {found.get(clip.path) for clip in held_out} - {None}
        recordings = {clip.recording for clip in held_out} - {None}
        withheld = [c.path for c in clips if c.recording in recordings or found.get(c.path) in hidden]
        rows = [row_of.get(found.get(clip.path, ""), -1) for clip in clips]
        missing = [clip.path for clip, row in zip(clips, rows, strict=True) if row < 0]
        left_out = {*withheld, *missing}
        known = torch.tensor([clip.path not in left_out for clip in clips], dtype=torch.bool)
        if not known.any():
            raise ClapgenError(f"{file} has none of the {len(clips)} training clips; make it of their manifest.")
        targets = torch.where(known[:, None], table[torch.tensor(rows)].float(), 0.0)
        _report(Path(file), len(clips), missing, withheld)
        parts = None if stored is None else _parts_of(stored, rows, known.tolist())
        return cls(targets, teachers, missing, withheld, parts)

    def centred(self) -> TeacherTable:
        """The same without the mean that all targets share, each of length 1."""
        parts = self.parts
        if parts is not None:
            parts = Parts(F.normalize(parts.vectors - self.targets[self.targets.any(1)].mean(0), dim=-1), parts.first)
        return replace(self, targets=centred(self.targets), parts=parts)

    def of(self, clips: Tensor, middles: Tensor, seconds: Tensor) -> Tensor:
        """The targets (rows, width) of clips (rows,), -1 for none: zeros.

        Args:
            middles: (rows,), the middle of a crop in seconds; NaN for all of a clip. Only used if there are parts.
            seconds: (n,), the length of every clip.
        """
        whole = torch.where(clips[:, None] >= 0, self.targets[clips], 0.0)
        if self.parts is None:
            return whole
        known = whole.any(1) & ~middles.isnan()
        rows = clips.clamp(min=0)
        return torch.where(known[:, None], self.parts.nearest(rows, middles, seconds[rows]), whole)


def centred(targets: Tensor) -> Tensor:
    """Targets (n, width) without the mean that all share, of length 1; rows of zeros stay."""
    known = targets.any(1)
    result = torch.zeros_like(targets)
    result[known] = F.normalize(targets[known] - targets[known].mean(0), dim=-1)
    return result


def _parts_of(stored: Parts, rows: Sequence[int], known: Sequence[bool]) -> Parts:
    """Those of the clips at these rows of the table, float32."""
    first = stored.first.tolist()
    spans = [(first[row], first[row + 1]) if has else (0, 0) for row, has in zip(rows, known, strict=True)]
    pieces = [stored.vectors[start:stop].float() for start, stop in spans]
    counts = torch.tensor([0, *map(len, pieces)])
    return Parts(torch.cat(pieces), counts.cumsum(0))


def write_teacher_table(
    teachers: Sequence[Embedder],
    clips: Sequence[Clip],
    output: str | Path,
    folder: str | Path = ".",
    cache: Store | None = None,
    overwrite: bool = False,
    advance: Callable[[int], None] | None = None,
    parts: bool = False,
) -> list[tuple[Path, str]]:
    """Embed all clips with all teachers and write the table; with a cache, a killed run continues where it was.

    Of several teachers, each embedding is scaled to length 1 and all are concatenated: the cosine of two clips is then
    the mean of what the teachers say (an ensemble).

    Args:
        folder: paths in the table are relative to it.
        advance: called with the number of clips just done, once for each teacher.
        parts: also keep what the teacher hears in half-overlapping parts of each clip (`embed_frames`), for crops.

    Returns:
        The clips that could not be read, with the reasons.

    Raises:
        ClapgenError: no clip could be read, the output exists and `overwrite` is false, or parts of several teachers.
    """
    if parts and len(teachers) > 1:
        raise ClapgenError("parts of clips can be kept of one teacher only, as each has parts of its own length.")
    paths = [clip.path for clip in clips]
    embedded = [embed_files(paths, teacher, cache, frames=parts, advance=advance) for teacher in teachers]
    each = [torch.from_numpy(one.embeddings) for one in embedded]
    joined = each[0] if len(each) == 1 else torch.cat([F.normalize(e, dim=-1) for e in each], 1) / len(each) ** 0.5
    digests = np.array([list(bytes.fromhex(digest)) for digest in embedded[0].digests], dtype=np.uint8)
    names = [_relative(path, Path(folder)) for path in embedded[0].paths]
    about = [{"name": teacher.name, "hash": teacher.hash, "dim": teacher.dim} for teacher in teachers]
    metadata = {"kind": KIND, "teachers": json.dumps(about), "paths": json.dumps(names)}
    tensors = {"embeddings": joined.half(), "digests": torch.from_numpy(digests)}
    if parts:
        frames = embedded[0].frames
        tensors["parts"] = torch.from_numpy(np.concatenate(frames)).half()
        tensors["first_parts"] = torch.tensor([0, *map(len, frames)]).cumsum(0)
    with atomic_path(output, overwrite=overwrite) as temporary:
        temporary.write_bytes(_in_order(save(tensors, metadata=metadata)))
    return embedded[0].skipped


def _in_order(content: bytes) -> bytes:
    """A safetensors file with its header in alphabetical order, which is otherwise another at every run."""
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8:start]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + content[start:]


def _read(file: Path) -> tuple[Tensor, list[str], list[dict[str, Any]], Parts | None]:
    """Embeddings, digests, teachers and parts of a table."""
    try:
        with safe_open(file, "pt") as stored:
            metadata = stored.metadata() or {}
            if metadata.get("kind") != KIND:
                raise ClapgenError(f"{file} is not a teacher table; write one with: clapgen pretrain teacher")
            digests = [bytes(row).hex() for row in stored.get_tensor("digests").numpy()]
            parts = None
            if "parts" in stored.keys():  # noqa: SIM118  (it cannot be iterated)
                parts = Parts(stored.get_tensor("parts"), stored.get_tensor("first_parts"))
            return stored.get_tensor("embeddings"), digests, json.loads(metadata["teachers"]), parts
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise ClapgenError(f"cannot read the teacher table {file}: {error}") from error


def _digests(clips: Sequence[Clip], cache: Store | None) -> dict[Path, str]:
    files, _ = identify_files(list({clip.path: None for clip in clips}), cache)
    return {file.path: file.digest for file in files}


def _relative(path: Path, folder: Path) -> str:
    path, folder = path.absolute(), folder.absolute()
    return (path.relative_to(folder) if path.is_relative_to(folder) else path).as_posix()


def _report(file: Path, count: int, missing: list[Path], withheld: list[Path]) -> None:
    for why, paths in (("are not in it", missing), ("belong to held-out recordings", withheld)):
        if paths:
            names = some([str(path) for path in paths])
            logger.warning("%s: %d of %d clips have no target, as they %s: %s", file, len(paths), count, why, names)
