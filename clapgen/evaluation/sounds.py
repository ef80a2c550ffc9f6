"""Which sounds are evaluated, what is said of each, and which belong together: by name, never by their order."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from clapgen.audio import AUDIO_SUFFIXES, find_audio
from clapgen.data.manifest import read_manifest
from clapgen.data.tables import SUFFIXES, TableRow, read_table
from clapgen.data.text import read_text
from clapgen.errors import ClapgenError
from clapgen.files import slug

MANIFEST_SUFFIXES = (".jsonl",)
NAMES = ("file_name", "path", "file", "name")
PROMPTS = ("prompt", "caption", "text")
MOST_NAMED = 5


@dataclass
class Sound:
    """A file with what is known of it: captions (or its prompt), labels, and the reference that it names."""

    path: Path
    name: str  # path below the folder it was found in, without suffix
    captions: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    reference: str | None = None
    split: str | None = None
    extra: dict[str, object] = field(default_factory=dict)

    @property
    def caption(self) -> str | None:
        """The first caption."""
        return self.captions[0] if self.captions else None


def read_sounds(source: str | Path, split: str | None = None) -> list[Sound]:
    """The sounds of a folder, of a manifest (.jsonl, those of `split` if given), or one file.

    Raises:
        ClapgenError: nothing there, nothing of that split (which only a manifest has), or a file that is listed twice.
    """
    source = Path(source)
    if source.suffix.lower() in MANIFEST_SUFFIXES and not source.is_dir():
        clips = read_manifest(source)
        chosen = [clip for clip in clips if split is None or clip.split == split]
        if not chosen:
            splits = ", ".join(sorted({str(clip.split) for clip in clips}))
            raise ClapgenError(f"{source} has no clips of split '{split}'; its splits are {splits}.")
        sounds = [
            Sound(
                clip.path,
                _name(clip.path, source.parent),
                clip.captions,
                clip.labels,
                split=clip.split,
                extra=dict(clip.extra),
            )
            for clip in chosen
        ]
        _refuse_repeated([str(sound.path) for sound in sounds], f"{source} lists", "once")
        return sounds
    if split is not None:
        raise ClapgenError(f"--split {split}: {source} is no manifest (.jsonl), and so has no splits.")
    folder = source if source.is_dir() else source.parent
    return [Sound(path, _name(path, folder)) for path in find_audio([source])]


def attach_sidecars(sounds: Sequence[Sound]) -> int:
    """Take prompts from the .json that `clapgen generate` puts beside a sound; how many there were."""
    found = 0
    for sound in sounds:
        sidecar = sound.path.with_suffix(".json")
        if sound.captions or not sidecar.is_file():
            continue
        try:
            content = json.loads(read_text(sidecar))
        except ValueError:
            continue  # somebody else's .json
        prompt = content.get("prompt") if isinstance(content, dict) else None
        if isinstance(prompt, str) and prompt.strip():
            sound.captions, found = [prompt], found + 1
    return found


def attach_prompts(sounds: Sequence[Sound], path: str | Path) -> list[str]:
    """Take prompts (and labels and references, if it has them) from a file; what did not pair, as sentences.

    A .csv, .tsv or .jsonl file names the sound in `file_name` (or `path`, `file`, `name`) and has `prompt` (or
    `caption`, `text`), perhaps `labels` (between semicolons) and `reference`. Rows without a name, and the lines of a
    .txt file, belong to the sounds that `clapgen generate` names after the prompt; a line of a .txt may also be a name,
    a tab and a prompt.

    Raises:
        ClapgenError: a missing column, a name that comes twice or fits two sounds, or no row that fits a sound.
    """
    path = Path(path)
    of_name = _by_any_name(sounds)
    matched: dict[int, TableRow] = {}
    left = []
    for row in _prompt_rows(path):
        indices = _fitting(row, sounds, of_name)
        for index in indices:
            if index in matched and "name" in row.cells:
                raise ClapgenError(
                    f"{row.where}: '{row.cells['name']}' is {sounds[index].path}, as in {matched[index].where}; "
                    "keep one of the two rows."
                )
            matched[index] = row
        if not indices:
            left.append(row.cells.get("name") or row.cells["prompt"])
    if not matched:
        raise ClapgenError(
            f"no row of {path} fits any of the {len(sounds)} sounds by name: the first row is '{left[0]}', the first "
            f"sound {sounds[0].path.name}."
        )
    for index, row in matched.items():
        sound = sounds[index]
        sound.captions = [row.cells["prompt"]]
        sound.labels = [label.strip() for label in row.cells.get("labels", "").split(";") if label.strip()]
        sound.reference = row.cells.get("reference")
    without = [str(sound.path) for index, sound in enumerate(sounds) if index not in matched]
    problems = [f"{_named(without)} without a prompt in {path}."] if without else []
    return problems + ([f"{_named(left, f'row of {path}', f'rows of {path}')} without a sound."] if left else [])


@dataclass(frozen=True)
class Pairs:
    """Indices (generated, reference) of what belongs together, and the files of both that have no partner."""

    pairs: list[tuple[int, int]]
    lone_generated: list[Path]
    lone_reference: list[Path]

    def problems(self) -> list[str]:
        """What did not pair, as sentences; nothing where no pair was found at all."""
        if not self.pairs:
            return []
        sides = (("generated", self.lone_generated, "reference"), ("reference", self.lone_reference, "generated"))
        return [
            f"{_named(list(map(str, lone)), f'{this} file', f'{this} files')} without a {other} file of that name."
            for this, lone, other in sides
            if lone
        ]


def pair_sounds(generated: Sequence[Sound], reference: Sequence[Sound]) -> Pairs:
    """Pair by the reference that a prompts file names, else by name: below both folders, or of the file alone.

    Raises:
        ClapgenError: a name that two generated or two reference files have, or a named reference that is not there.
    """
    if any(sound.reference for sound in generated):
        by_any_name = _by_any_name(reference)
        found = [
            (index, _only(by_any_name, sound, reference)) for index, sound in enumerate(generated) if sound.reference
        ]
        return _pairs(found, generated, reference)
    for key in (lambda sound: sound.name, lambda sound: sound.path.stem):
        names = [[key(sound) for sound in side] for side in (generated, reference)]
        common = set(names[0]) & set(names[1])
        if common:
            for side, of_side in zip(("generated", "reference"), names, strict=True):
                _refuse_repeated([name for name in of_side if name in common], f"{side} files have the name", "one")
            position = {name: index for index, name in enumerate(names[1])}
            return _pairs([(i, position[n]) for i, n in enumerate(names[0]) if n in common], generated, reference)
    return _pairs([], generated, reference)


def _pairs(found: list[tuple[int, int]], generated: Sequence[Sound], reference: Sequence[Sound]) -> Pairs:
    made, real = ({pair[side] for pair in found} for side in (0, 1))
    return Pairs(
        found,
        [sound.path for index, sound in enumerate(generated) if index not in made],
        [sound.path for index, sound in enumerate(reference) if index not in real],
    )


def _only(by_any_name: dict[str, set[int]], sound: Sound, reference: Sequence[Sound]) -> int:
    indices = sorted(by_any_name.get(str(sound.reference), set()))
    if len(indices) != 1:
        found = ", ".join(str(reference[index].path) for index in indices) or "none of that name"
        raise ClapgenError(f"{sound.path} has the reference '{sound.reference}', of which there is {found}.")
    return indices[0]


def _by_any_name(sounds: Sequence[Sound]) -> dict[str, set[int]]:
    """Everything that a sound may be called by: path, path below its folder, file name; with and without suffix."""
    names: dict[str, set[int]] = {}
    for index, sound in enumerate(sounds):
        suffix = sound.path.suffix
        for name in (str(sound.path), sound.name, sound.name + suffix, sound.path.name, sound.path.stem):
            names.setdefault(name, set()).add(index)
    return names


def _fitting(row: TableRow, sounds: Sequence[Sound], of_name: dict[str, set[int]]) -> list[int]:
    name = row.cells.get("name")
    if name is None:
        start = slug(row.cells["prompt"])
        named = [index for index, sound in enumerate(sounds) if sound.path.stem.rpartition("_seed")[0] == start]
        return named or sorted(of_name.get(start, set()))
    indices = sorted(of_name.get(name, set()) or of_name.get(name.removeprefix("./"), set()))
    if len(indices) > 1:
        raise ClapgenError(
            f"{row.where}: '{name}' is the name of {len(indices)} sounds, {sounds[indices[0]].path} and "
            f"{sounds[indices[1]].path}; give the path below the folder."
        )
    return indices


def _prompt_rows(path: Path) -> list[TableRow]:
    if path.suffix.lower() in SUFFIXES:
        optional = {"name": NAMES, "labels": ("labels", "label"), "reference": ("reference",)}
        return read_table(path, {"prompt": PROMPTS}, optional)
    if path.suffix.lower() != ".txt":
        raise ClapgenError(f"{path}: prompts are read from files ending in .txt, {', '.join(SUFFIXES)}.")
    rows = []
    for number, line in enumerate(read_text(path).split("\n"), 1):
        name, tab, prompt = line.rstrip("\r").partition("\t")
        cells = {"name": name.strip(), "prompt": prompt.strip()} if tab else {"prompt": name.strip()}
        if cells["prompt"]:
            rows.append(TableRow(f"{path}:{number}", cells))
    if not rows:
        raise ClapgenError(f"{path} holds no prompt; put one on each line.")
    return rows


def _name(path: Path, folder: Path) -> str:
    path, folder = path.absolute(), folder.absolute()
    inside = path.relative_to(folder) if path.is_relative_to(folder) else Path(path.name)
    return inside.with_suffix("").as_posix() if inside.suffix.lower() in AUDIO_SUFFIXES else inside.as_posix()


def _refuse_repeated(names: Sequence[str], what: str, only: str) -> None:
    name, count = max(Counter(names).items(), key=lambda item: item[1], default=("", 0))
    if count > 1:
        raise ClapgenError(f"{count} times {what} '{name}', but pairs go by name; it must be there {only} time.")


def _named(names: Sequence[str], one: str = "file", many: str = "files") -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    listed = f"({', '.join(names[:MOST_NAMED])}{more})"
    return f"1 {one} {listed} is" if len(names) == 1 else f"{len(names)} {many} {listed} are"
