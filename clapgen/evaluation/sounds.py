"""The clips to evaluate, with their prompts and labels, and which belong together: matched by name, never by order."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from clapgen.audio import AUDIO_SUFFIXES
from clapgen.audio.finding import search_audio
from clapgen.data.manifest import Clip, read_manifest
from clapgen.data.tables import SUFFIXES, TableRow, read_table
from clapgen.data.text import read_text
from clapgen.errors import ClapgenError, nearest
from clapgen.evaluation.names import SoundNames
from clapgen.files import slug

MANIFEST_SUFFIXES = (".jsonl", ".csv", ".tsv")
NAMES = ("file_name", "path", "file", "name")
PROMPTS = ("prompt", "caption", "text")
MOST_NAMED = 5


def read_sounds(source: str | Path, split: str | None = None, notes: list[str] | None = None) -> list[Clip]:
    """The clips of a folder, of a manifest (those of `split` if given), or one file, each with its `name`.

    What a folder holds that is not audio is counted in a sentence that is added to `notes`.

    Raises:
        ClapgenError: nothing there, nothing of that split (only a manifest has splits), or a file listed twice.
    """
    source = Path(source)
    if source.suffix.lower() in MANIFEST_SUFFIXES and not source.is_dir():
        clips = read_manifest(source)
        chosen = [clip for clip in clips if split is None or clip.split == split]
        if not chosen:
            splits = ", ".join(sorted({str(clip.split) for clip in clips}))
            raise ClapgenError(f"{source} has no clips of split '{split}'; its splits are {splits}.")
        if twice := _repeated([str(clip.path) for clip in chosen]):
            raise ClapgenError(f"{source} lists '{twice[0]}' {twice[1]} times; list each file once.")
        return [replace(clip, name=_name(clip.path, source.parent)) for clip in chosen]
    if split is not None:
        raise ClapgenError(f"--split {split}: {source} is not a manifest (.jsonl, .csv), so it has no splits.")
    folder = source if source.is_dir() else source.parent
    found = search_audio([source])
    if notes is not None and found.left_out:
        notes.append(f"{source}: {found.summary()}.")
    return [Clip(path, name=_name(path, folder)) for path in found.files]


def use_label_field(clips: Sequence[Clip], field: str | None) -> list[Clip]:
    """The clips with the labels that another key of their manifest holds; those that lack it have no labels.

    Raises:
        ClapgenError: no clip has the key, or its value is neither text nor a list of texts.
    """
    if field is None or field == "labels":
        return list(clips)
    keys = {key for clip in clips for key in clip.extra}
    if field not in keys:
        raise ClapgenError(
            f"no clip of the manifest has '{field}'.{nearest(field, keys)} Set --label-field to the key that holds "
            "the class."
        )
    labelled = []
    for clip in clips:
        value = clip.extra.get(field)
        labels = [value] if isinstance(value, str) else (value or [])
        if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
            raise ClapgenError(f"{clip.path}: '{field}' in the manifest must be text or a list of text, not {value!r}.")
        labelled.append(replace(clip, labels=labels))
    return labelled


def with_sidecar_prompts(clips: Sequence[Clip]) -> list[Clip]:
    """The clips with the prompts of the .json files that `clapgen generate` writes next to its sounds."""
    prompted = []
    for clip in clips:
        sidecar = clip.path.with_suffix(".json")
        prompt = None if clip.captions or not sidecar.is_file() else _sidecar_prompt(sidecar)
        prompted.append(replace(clip, captions=[prompt]) if prompt else clip)
    return prompted


def _sidecar_prompt(sidecar: Path) -> str | None:
    try:
        content = json.loads(read_text(sidecar))
    except ValueError:
        return None  # a .json of another program
    prompt = content.get("prompt") if isinstance(content, dict) else None
    return prompt if isinstance(prompt, str) and prompt.strip() else None


def with_prompts(clips: Sequence[Clip], path: str | Path) -> tuple[list[Clip], list[str]]:
    """The clips with the prompts (and labels and references, if any) of a file, and what did not match, as sentences.

    A .csv, .tsv or .jsonl file names the sound in `file_name` (or `path`, `file`, `name`) and has `prompt` (or
    `caption`, `text`), optionally `labels` (separated by semicolons) and `reference`. Rows without a name, and the
    lines of a .txt file, belong to the sounds that `clapgen generate` names after the prompt; a line of a .txt file may
    also be a name, a tab and a prompt.

    Raises:
        ClapgenError: a missing column, a name that comes twice or matches two sounds, or no row that matches a sound.
    """
    path = Path(path)
    names = SoundNames(clips)
    matched: dict[int, TableRow] = {}
    unmatched = []
    for row in _prompt_rows(path):
        indices = _matching(row, clips, names)
        for index in indices:
            if index in matched and "name" in row.cells:
                raise ClapgenError(
                    f"{row.where}: '{row.cells['name']}' is {clips[index].path}, like {matched[index].where}; "
                    "keep one of the two rows."
                )
            matched[index] = row
        if not indices:
            unmatched.append(row.cells.get("name") or row.cells["prompt"])
    if not matched:
        raise ClapgenError(
            f"no row of {path} matches any of the {len(clips)} sounds by name: the first row is '{unmatched[0]}', the "
            f"first sound {clips[0].path.name}."
        )
    prompted = [_prompted(clip, matched[index]) if index in matched else clip for index, clip in enumerate(clips)]
    without = [str(clip.path) for index, clip in enumerate(clips) if index not in matched]
    problems = [f"{_named(without)} without a prompt in {path}."] if without else []
    if unmatched:
        problems.append(f"{_named(unmatched, f'row of {path}', f'rows of {path}')} without a sound.")
    return prompted, problems


def _prompted(clip: Clip, row: TableRow) -> Clip:
    return replace(
        clip,
        captions=[row.cells["prompt"]],
        labels=row.lists.get("labels", []),
        reference=row.cells.get("reference"),
    )


@dataclass(frozen=True)
class Pairs:
    """Indices (generated, reference) of the clips that belong together, and the files without a partner."""

    pairs: list[tuple[int, int]]
    unpaired_generated: list[Path]
    unpaired_reference: list[Path]

    def problems(self) -> list[str]:
        """The unpaired files, as sentences; none if there are no pairs at all."""
        if not self.pairs:
            return []
        sides = (
            ("generated", self.unpaired_generated, "reference"),
            ("reference", self.unpaired_reference, "generated"),
        )
        return [
            f"{_named(list(map(str, unpaired)), f'{this} file', f'{this} files')} without a {other} file of that name."
            for this, unpaired, other in sides
            if unpaired
        ]


def pair_sounds(generated: Sequence[Clip], reference: Sequence[Clip]) -> Pairs:
    """Pair by the references that a prompts file names, else by name: path below both folders, or file name alone.

    Raises:
        ClapgenError: a name shared by two generated or two reference files, or a named reference that does not exist.
    """
    if any(clip.reference for clip in generated):
        references = SoundNames(reference)
        return _pairs(
            [(index, _only(references, clip, reference)) for index, clip in enumerate(generated) if clip.reference],
            generated,
            reference,
        )
    for key in (lambda clip: clip.name, lambda clip: clip.path.stem):
        names = [[key(clip) for clip in side] for side in (generated, reference)]
        common = set(names[0]) & set(names[1])
        if common:
            for side, of_side in zip(("generated", "reference"), names, strict=True):
                if twice := _repeated([name for name in of_side if name in common]):
                    raise ClapgenError(
                        f"{twice[1]} {side} files are named '{twice[0]}'; files are matched by name, so rename one."
                    )
            position = {name: index for index, name in enumerate(names[1])}
            return _pairs([(i, position[n]) for i, n in enumerate(names[0]) if n in common], generated, reference)
    return _pairs([], generated, reference)


def _pairs(pairs: list[tuple[int, int]], generated: Sequence[Clip], reference: Sequence[Clip]) -> Pairs:
    paired = [{pair[side] for pair in pairs} for side in (0, 1)]
    return Pairs(
        pairs,
        [clip.path for index, clip in enumerate(generated) if index not in paired[0]],
        [clip.path for index, clip in enumerate(reference) if index not in paired[1]],
    )


def _only(names: SoundNames, clip: Clip, reference: Sequence[Clip]) -> int:
    indices = names.find(str(clip.reference))
    if len(indices) != 1:
        found = f"{len(indices)} files: {', '.join(str(reference[i].path) for i in indices)}" if indices else "no file"
        raise ClapgenError(f"{clip.path} has the reference '{clip.reference}', which matches {found}.")
    return indices[0]


def _matching(row: TableRow, clips: Sequence[Clip], names: SoundNames) -> list[int]:
    name = row.cells.get("name")
    if name is None:
        start = slug(row.cells["prompt"])
        named = [index for index, clip in enumerate(clips) if clip.path.stem.rpartition("_seed")[0] == start]
        return named or names.find(start)
    indices = names.find(name)
    if len(indices) > 1:
        raise ClapgenError(
            f"{row.where}: '{name}' matches {len(indices)} sounds, {clips[indices[0]].path} and "
            f"{clips[indices[1]].path}; give the path below the folder."
        )
    return indices


def _prompt_rows(path: Path) -> list[TableRow]:
    if path.suffix.lower() in SUFFIXES:
        optional = {"name": NAMES, "reference": ("reference",)}
        lists = {"labels": ("labels", "label")}
        return read_table(path, {"prompt": PROMPTS}, optional, lists, files=("name", "reference"))
    if path.suffix.lower() != ".txt":
        raise ClapgenError(f"Unsupported file type: {path}; give prompts as .txt, {', '.join(SUFFIXES)}.")
    rows = []
    for number, line in enumerate(read_text(path).split("\n"), 1):
        name, tab, prompt = line.rstrip("\r").partition("\t")
        cells = {"name": name, "prompt": prompt.strip()} if tab else {"prompt": name.strip()}
        if cells["prompt"]:
            rows.append(TableRow(f"{path}:{number}", cells))
    if not rows:
        raise ClapgenError(f"{path} has no prompts; write one per line.")
    return rows


def _name(path: Path, folder: Path) -> str:
    path, folder = path.absolute(), folder.absolute()
    inside = path.relative_to(folder) if path.is_relative_to(folder) else Path(path.name)
    return inside.with_suffix("").as_posix() if inside.suffix.lower() in AUDIO_SUFFIXES else inside.as_posix()


def _repeated(names: Sequence[str]) -> tuple[str, int] | None:
    """The most frequent name and how often it occurs; None if no name occurs twice."""
    name, count = max(Counter(names).items(), key=lambda item: item[1], default=("", 0))
    return (name, count) if count > 1 else None


def _named(names: Sequence[str], one: str = "file", many: str = "files") -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    listed = f"({', '.join(names[:MOST_NAMED])}{more})"
    return f"1 {one} {listed} is" if len(names) == 1 else f"{len(names)} {many} {listed} are"
