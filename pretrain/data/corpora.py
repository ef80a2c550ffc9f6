"""Manifests of public corpora on disk: AudioCaps, Clotho, WavCaps, FSD50K and ESC-50.

A corpus is a registered function from its folder to the clips in its tables. Tables and audio files are found by name
anywhere below the folder, because there is no standard way to unpack them. `recording` is the id at the source
("freesound:…", "youtube:…"), which identifies a recording across corpora (WavCaps contains clips of the test sets of
Clotho and AudioCaps). `free` is true only if the licences of both the clip and its captions allow commercial use.
"""

import csv
import io
import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clapgen.audio import AUDIO_SUFFIXES
from clapgen.data.esc50 import esc50_clips
from clapgen.data.manifest import Clip, save_manifest
from clapgen.errors import ClapgenError
from clapgen.registry import Registry
from clapgen.wording.grammar import clean_label


class CorpusFolder:
    """Index of a corpus on disk: its tables by file name, its audio files by name without suffix."""

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise ClapgenError(f"{root} is not a folder; give the folder into which the corpus was unpacked")
        self.root = root
        self._tables: dict[str, list[Path]] = {}
        self._audio: dict[str, list[Path]] = {}
        for folder, subfolders, names in os.walk(root, followlinks=True):
            subfolders.sort()
            for name in sorted(names):
                stem, suffix = os.path.splitext(name)
                if suffix.lower() in AUDIO_SUFFIXES:
                    self._audio.setdefault(stem, []).append(Path(folder, name))
                elif suffix in (".csv", ".json"):
                    self._tables.setdefault(name, []).append(Path(folder, name))

    def table(self, name: str) -> Path | None:
        """The file with this name that is nearest to the root, or None."""
        return min(self._tables.get(name, []), key=lambda path: (len(path.parts), path), default=None)

    def audio(self, stem: str, folder: str = "") -> Path | None:
        """The audio file with this name, inside a folder whose name starts with `folder` if one is given, or None."""
        for path in self._audio.get(stem, []):
            if any(part.startswith(folder) for part in path.relative_to(self.root).parts[:-1]) or not folder:
                return path
        return None

    def rows(self, name: str, *columns: str) -> Iterator[dict[str, str]]:
        """Rows of a CSV table; none if the table is missing. Clotho's metadata is Latin-1, everything else UTF-8."""
        path = self.table(name)
        if path is None:
            return
        content = path.read_bytes()
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = content.decode("latin-1")
        reader = csv.DictReader(io.StringIO(text, newline=""))
        absent = [column for column in columns if column not in (reader.fieldnames or ())]
        if absent:
            raise ClapgenError(f"{path} has no column {absent[0]!r}; it does not look like this corpus")
        for row in reader:
            if any(row[column] is None for column in columns):
                raise ClapgenError(f"{path}:{reader.line_num}: fewer columns than the header")
            yield row

    def json(self, name: str) -> Any:
        """Content of a JSON table, or None if it is missing."""
        path = self.table(name)
        if path is None:
            return None
        try:
            return json.loads(path.read_bytes())
        except ValueError as error:
            raise ClapgenError(f"{path} is not valid JSON ({error}); fetch it again") from error


@dataclass
class CorpusClips:
    """Clips of a corpus with an audio file, and the names of those without."""

    clips: list[Clip] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def add(self, name: str, path: Path | None, **known: Any) -> None:
        """Add the clip at `path` with the fields of `Clip` in `known`; without a path, `name` is missing."""
        if path is None:
            self.missing.append(name)
        else:
            self.clips.append(Clip(path, **known))


CORPORA: Registry[Callable[[CorpusFolder], CorpusClips]] = Registry("corpus")


@CORPORA.register("audiocaps")
def audiocaps(corpus: CorpusFolder) -> CorpusClips:
    """AudioCaps: `train.csv val.csv test.csv` (audiocap_id, youtube_id, start_time, caption).

    Audio files are named by YouTube id (also with a leading Y or a trailing _start) or by audiocap id, in one folder or
    in a folder for each split. The five captions of a clip in val or test are joined into one clip.
    """
    result = CorpusClips()
    for split in ("train", "val", "test"):
        captions: dict[tuple[str, str], list[tuple[str, str]]] = {}
        for row in corpus.rows(f"{split}.csv", "audiocap_id", "youtube_id", "start_time", "caption"):
            captions.setdefault((row["youtube_id"], row["start_time"]), []).append((row["audiocap_id"], row["caption"]))
        for (video, start), texts in captions.items():
            names = [f"{video}_{start}", video, f"Y{video}", f"Y{video}_{start}", *(identity for identity, _ in texts)]
            locations = ((name, folder) for folder in (split, "") for name in names)
            path = next((path for name, folder in locations if (path := corpus.audio(name, folder))), None)
            extra = {"start_time": start}
            known = {"recording": f"youtube:{video}", "split": split, "free": False, "extra": extra}
            result.add(f"{video}_{start}", path, captions=[caption for _, caption in texts], **known)
    return result


@CORPORA.register("clotho")
def clotho(corpus: CorpusFolder) -> CorpusClips:
    """Clotho 2.1: `clotho_captions_*.csv` (five captions a clip), `clotho_metadata_*.csv`, a folder for each split.

    Its captions are for non-commercial use only, so no clip is free, not even one with a free licence.
    """
    result = CorpusClips()
    for folder, split in (("development", "train"), ("validation", "val"), ("evaluation", "test")):
        metadata = {row["file_name"]: row for row in corpus.rows(f"clotho_metadata_{folder}.csv", "file_name")}
        for row in corpus.rows(f"clotho_captions_{folder}.csv", "file_name", "caption_1"):
            name = row["file_name"]
            about = metadata.get(name, {})
            identity = (about.get("sound_id") or "").strip()
            result.add(
                name,
                corpus.audio(Path(name).stem, folder) or corpus.audio(Path(name).stem, f"clotho_audio_{folder}"),
                captions=[text.strip() for key, text in row.items() if key and key.startswith("caption_") and text],
                labels=[word.strip() for word in (about.get("keywords") or "").split(";") if word.strip()],
                recording=f"freesound:{identity}" if identity.isdigit() else None,
                licence=(about.get("license") or "").strip() or None,
                split=split,
                free=False,
            )
    return result


_WAVCAPS = (
    ("as_final.json", "AudioSet_SL", "youtube"),
    ("bbc_final.json", "BBC_Sound_Effects", "bbc"),
    ("fsd_final.json", "FreeSound", "freesound"),
    ("sb_final.json", "SoundBible", "soundbible"),
)


@CORPORA.register("wavcaps")
def wavcaps(corpus: CorpusFolder) -> CorpusClips:
    """WavCaps: `as_ bbc_ fsd_ sb_final.json` and flac files named by id, in a folder named after their source.

    For academic use only, so no clip is free. FreeSound contains clips of Clotho, and AudioSet_SL clips of AudioCaps:
    exclude clips that share a `recording` with a test set.
    """
    result = CorpusClips()
    for table, folder, source in _WAVCAPS:
        for number, entry in enumerate((corpus.json(table) or {}).get("data", [])):
            if not isinstance(entry, dict) or "id" not in entry or "caption" not in entry:
                raise ClapgenError(f"{corpus.table(table)}: entry {number} lacks an id or a caption")
            name = str(entry["id"]).removesuffix(".wav")
            identity = name.removeprefix("Y") if source == "youtube" else name
            result.add(
                f"{folder}/{name}",
                corpus.audio(name, folder),
                captions=[text] if (text := _text(entry["caption"], f"{corpus.table(table)}: entry {number}")) else [],
                labels=[tag for tag in entry.get("tags") or [] if isinstance(tag, str)],
                recording=f"{source}:{identity}",
                split="train",
                free=False,
            )
    return result


def _text(value: Any, where: str) -> str:
    """A caption, empty if it is null."""
    if not isinstance(value, str | None):
        raise ClapgenError(f"{where} has the caption {value!r}, which is not text")
    return (value or "").strip()


@CORPORA.register("fsd50k")
def fsd50k(corpus: CorpusFolder) -> CorpusClips:
    """FSD50K: `dev.csv` (fname, labels, mids, split), `eval.csv`, `vocabulary.csv`, and JSON files with licences.

    Labels include their ancestors in the ontology, the most specific first. `split` is FSD50K's own; eval is "test".
    """
    result = CorpusClips()
    vocabulary = {cells[1] for cells in _vocabulary(corpus)}
    for part in ("dev", "eval"):
        about = corpus.json(f"{part}_clips_info_FSD50K.json") or {}
        for row in corpus.rows(f"{part}.csv", "fname", "labels", *(["split"] if part == "dev" else [])):
            labels = row["labels"].split(",")
            unknown = [label for label in labels if vocabulary and label not in vocabulary]
            if unknown:
                raise ClapgenError(f"{corpus.table(f'{part}.csv')}: {unknown[0]!r} is not in vocabulary.csv")
            licence = about.get(row["fname"], {}).get("license")
            result.add(
                row["fname"],
                corpus.audio(row["fname"], f"FSD50K.{part}_audio"),
                labels=[clean_label(label) for label in labels],
                recording=f"freesound:{row['fname']}",
                licence=licence,
                split=row["split"] if part == "dev" else "test",
                free=None if licence is None else allows_commercial_use(licence),
            )
    return result


def _vocabulary(corpus: CorpusFolder) -> list[list[str]]:
    path = corpus.table("vocabulary.csv")  # index, label, mid; no header
    if path is None:
        return []
    cells = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
    return [row for row in cells if len(row) > 1]


@CORPORA.register("esc50")
def esc50(corpus: CorpusFolder) -> CorpusClips:
    """ESC-50: `meta/esc50.csv`, `audio/` and `LICENSE`. Folds 1 to 3 are "train", 4 is "val", 5 is "test"."""
    table = corpus.table("esc50.csv")
    return CorpusClips(*esc50_clips(table, corpus.audio)) if table else CorpusClips()


def write_manifest(corpus: str, source: str | Path, output: str | Path, overwrite: bool = False) -> CorpusClips:
    """Write a manifest of the corpus in folder `source` to `output`, without the clips that have no audio file.

    Raises:
        ClapgenError: the corpus is unknown, the folder has none of its tables or none of its audio, a table is damaged
            (it is named), or the output exists and `overwrite` is false.
    """
    result = CORPORA.get(corpus)(CorpusFolder(Path(source)))
    if not result.clips and not result.missing:
        raise ClapgenError(f"{source} does not contain {corpus}: none of its tables was found")
    if not result.clips:
        raise ClapgenError(
            f"{source} contains none of the {len(result.missing)} audio files of {corpus} (first: {result.missing[0]})"
        )
    save_manifest(result.clips, output, overwrite=overwrite)
    return result


def allows_commercial_use(licence: str) -> bool:
    """Whether a licence (name or Creative Commons URL) is CC0, public domain, CC BY or CC BY-SA."""
    words = re.sub(r"[^a-z0-9+]+", "-", licence.lower()).strip("-")
    if re.search(r"(^|-)(nc|nd|noncommercial|sampling\+?)(-|$)|non-commercial", words):
        return False
    return bool(re.search(r"cc0|publicdomain|public-domain|zero|(^|-)(by|attribution)(-|$)", words))
