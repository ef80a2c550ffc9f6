"""Public corpora as they lie on disk, turned into manifests: AudioCaps, Clotho, WavCaps, FSD50K and ESC-50.

Each corpus is a function from its folder to the clips that its tables name, and the names of those whose audio is
missing. Tables and audio are found by name anywhere below the folder, since everybody unpacks them in another way.
`recording` is the id at the source ("freesound:…", "youtube:…"), so that one recording is seen to be the same in two
corpora (WavCaps holds clips of Clotho's and AudioCaps' test sets). `free` is true only where licence of clip and of
captions both allow commercial use.
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
from clapgen.errors import ClapgenError, nearest
from pretrain.data.captions import clean_label


class CorpusFolder:
    """A corpus on disk, walked once: its tables by name and its audio by name without suffix."""

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise ClapgenError(f"{root} is not a folder; give the one the corpus was unpacked to")
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
        """The file of that name nearest to the root."""
        return min(self._tables.get(name, []), key=lambda path: (len(path.parts), path), default=None)

    def audio(self, stem: str, folder: str = "") -> Path | None:
        """The audio file of that name, in a folder whose name starts with `folder` or below one."""
        for path in self._audio.get(stem, []):
            if any(part.startswith(folder) for part in path.relative_to(self.root).parts[:-1]) or not folder:
                return path
        return None

    def rows(self, name: str, *columns: str) -> Iterator[dict[str, str]]:
        """The rows of a csv table; nothing if there is no such table. Clotho's metadata is Latin-1, the rest UTF-8."""
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
                raise ClapgenError(f"{path}:{reader.line_num}: fewer columns than the header has")
            yield row

    def json(self, name: str) -> Any:
        """The content of a json table; None if there is no such table."""
        path = self.table(name)
        if path is None:
            return None
        try:
            return json.loads(path.read_bytes())
        except ValueError as error:
            raise ClapgenError(f"{path} is not valid JSON ({error}); fetch it again") from error


@dataclass
class Found:
    """Clips of a corpus whose audio is there, and the names of those whose audio is not."""

    clips: list[Clip] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def add(self, name: str, path: Path | None, **known: Any) -> None:
        if path is None:
            self.missing.append(name)
        else:
            self.clips.append(Clip(path, **known))


def audiocaps(corpus: CorpusFolder) -> Found:
    """AudioCaps: `train.csv val.csv test.csv` (audiocap_id, youtube_id, start_time, caption).

    Audio is named by YouTube id (also with a leading Y, or a trailing _start) or by audiocap id, in a folder of the
    split or in one for all. The five captions of a clip of val or test make one clip.
    """
    found = Found()
    for split in ("train", "val", "test"):
        captions: dict[tuple[str, str], list[tuple[str, str]]] = {}
        for row in corpus.rows(f"{split}.csv", "audiocap_id", "youtube_id", "start_time", "caption"):
            captions.setdefault((row["youtube_id"], row["start_time"]), []).append((row["audiocap_id"], row["caption"]))
        for (video, start), texts in captions.items():
            names = [f"{video}_{start}", video, f"Y{video}", f"Y{video}_{start}", *(identity for identity, _ in texts)]
            places = ((name, folder) for folder in (split, "") for name in names)
            path = next((path for name, folder in places if (path := corpus.audio(name, folder))), None)
            extra = {"start_time": start}
            known = {"recording": f"youtube:{video}", "split": split, "free": False, "extra": extra}
            found.add(f"{video}_{start}", path, captions=[caption for _, caption in texts], **known)
    return found


def clotho(corpus: CorpusFolder) -> Found:
    """Clotho 2.1: `clotho_captions_*.csv` (five captions a clip), `clotho_metadata_*.csv`, a folder for each split.

    Its captions are for non-commercial use, so that no clip is free whatever its own licence says.
    """
    found = Found()
    for folder, split in (("development", "train"), ("validation", "val"), ("evaluation", "test")):
        metadata = {row["file_name"]: row for row in corpus.rows(f"clotho_metadata_{folder}.csv", "file_name")}
        for row in corpus.rows(f"clotho_captions_{folder}.csv", "file_name", "caption_1"):
            name = row["file_name"]
            about = metadata.get(name, {})
            identity = (about.get("sound_id") or "").strip()
            found.add(
                name,
                corpus.audio(Path(name).stem, folder) or corpus.audio(Path(name).stem, f"clotho_audio_{folder}"),
                captions=[text.strip() for key, text in row.items() if key and key.startswith("caption_") and text],
                labels=[word.strip() for word in (about.get("keywords") or "").split(";") if word.strip()],
                recording=f"freesound:{identity}" if identity.isdigit() else None,
                licence=(about.get("license") or "").strip() or None,
                split=split,
                free=False,
            )
    return found


_WAVCAPS = (
    ("as_final.json", "AudioSet_SL", "youtube"),
    ("bbc_final.json", "BBC_Sound_Effects", "bbc"),
    ("fsd_final.json", "FreeSound", "freesound"),
    ("sb_final.json", "SoundBible", "soundbible"),
)


def wavcaps(corpus: CorpusFolder) -> Found:
    """WavCaps: `as_ bbc_ fsd_ sb_final.json` and flac files named by id below a folder of the source's name.

    For academic use only, so that no clip is free. FreeSound holds clips of Clotho, AudioSet_SL clips of AudioCaps:
    leave out what shares a `recording` with a test set.
    """
    found = Found()
    for table, folder, source in _WAVCAPS:
        for number, entry in enumerate((corpus.json(table) or {}).get("data", [])):
            if not isinstance(entry, dict) or "id" not in entry or "caption" not in entry:
                raise ClapgenError(f"{corpus.table(table)}: entry {number} has no id or no caption")
            name = str(entry["id"]).removesuffix(".wav")
            identity = name.removeprefix("Y") if source == "youtube" else name
            found.add(
                f"{folder}/{name}",
                corpus.audio(name, folder),
                captions=[entry["caption"]],
                labels=[tag for tag in entry.get("tags") or [] if isinstance(tag, str)],
                recording=f"{source}:{identity}",
                split="train",
                free=False,
            )
    return found


def fsd50k(corpus: CorpusFolder) -> Found:
    """FSD50K: `dev.csv` (fname, labels, mids, split), `eval.csv`, `vocabulary.csv` and the clips' licences in json.

    Labels are smeared up the ontology, the most specific first. Its own split is kept; eval is "test".
    """
    found = Found()
    vocabulary = {cells[1] for cells in _vocabulary(corpus)}
    for part in ("dev", "eval"):
        about = corpus.json(f"{part}_clips_info_FSD50K.json") or {}
        for row in corpus.rows(f"{part}.csv", "fname", "labels", *(["split"] if part == "dev" else [])):
            labels = row["labels"].split(",")
            unknown = [label for label in labels if vocabulary and label not in vocabulary]
            if unknown:
                raise ClapgenError(f"{corpus.table(f'{part}.csv')}: {unknown[0]!r} is not in vocabulary.csv")
            licence = about.get(row["fname"], {}).get("license")
            found.add(
                row["fname"],
                corpus.audio(row["fname"], f"FSD50K.{part}_audio"),
                labels=[clean_label(label) for label in labels],
                recording=f"freesound:{row['fname']}",
                licence=licence,
                split=row["split"] if part == "dev" else "test",
                free=None if licence is None else allows_commercial_use(licence),
            )
    return found


def _vocabulary(corpus: CorpusFolder) -> list[list[str]]:
    path = corpus.table("vocabulary.csv")  # index, label, mid; no header
    if path is None:
        return []
    cells = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
    return [row for row in cells if len(row) > 1]


def esc50(corpus: CorpusFolder) -> Found:
    """ESC-50: `meta/esc50.csv` and `audio/`. Folds 1 to 3 are "train", 4 is "val", 5 is "test"; not free (CC BY-NC)."""
    table = corpus.table("esc50.csv")
    return Found(*esc50_clips(table, corpus.audio)) if table else Found()


LAYOUTS: dict[str, Callable[[CorpusFolder], Found]] = {
    "audiocaps": audiocaps,
    "clotho": clotho,
    "wavcaps": wavcaps,
    "fsd50k": fsd50k,
    "esc50": esc50,
}


def write_manifest(layout: str, source: str | Path, output: str | Path, overwrite: bool = False) -> Found:
    """Turn the corpus in folder `source` into a manifest at `output`; clips without audio are left out and reported.

    Raises:
        ClapgenError: the layout is unknown, the folder does not hold that corpus or none of its audio, a table is
            damaged (it is named), or the output exists and `overwrite` is false.
    """
    if layout not in LAYOUTS:
        raise ClapgenError(f"unknown layout {layout!r}; known are {', '.join(LAYOUTS)}.{nearest(layout, LAYOUTS)}")
    found = LAYOUTS[layout](CorpusFolder(Path(source)))
    if not found.clips and not found.missing:
        raise ClapgenError(f"{source} does not hold {layout}: none of its tables is there")
    if not found.clips:
        example = found.missing[0]
        raise ClapgenError(
            f"{source} holds none of the {len(found.missing)} audio files of {layout} (first: {example})"
        )
    save_manifest(found.clips, output, overwrite=overwrite)
    return found


def allows_commercial_use(licence: str) -> bool:
    """Whether a licence (name or Creative Commons address) is CC0, public domain, CC BY or CC BY-SA."""
    words = re.sub(r"[^a-z0-9+]+", "-", licence.lower()).strip("-")
    if re.search(r"(^|-)(nc|nd|noncommercial|sampling\+?)(-|$)|non-commercial", words):
        return False
    return bool(re.search(r"cc0|publicdomain|public-domain|zero|(^|-)(by|attribution)(-|$)", words))
