"""WebDataset shards: tar files in which an audio file and a json (or txt) with the same name are one clip.

Reads shards of LAION's audio dataset (`text`, `tag`, `original_data`) and our own. Nothing is unpickled, and names in a
tar are used only to group its members: unpacked files get new names, so no member can be written outside its folder.
"""

import io
import json
import logging
import lzma
import shutil
import tarfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from clapgen.audio import AUDIO_SUFFIXES
from clapgen.data.manifest import Clip, save_manifest
from clapgen.errors import ClapgenError
from clapgen.files import atomic_path

logger = logging.getLogger(__name__)

MAX_TEXT_BYTES = 1 << 20
_KNOWN = {"captions": ("captions", "caption", "text", "txt"), "labels": ("labels", "tag", "tags")}
_PLAIN: dict[str, type] = {"recording": str, "licence": str, "split": str, "free": bool}


@dataclass
class Sample:
    """The metadata of one clip in a shard; `key` is its name in the tar without suffix."""

    key: str
    fields: dict[str, Any] = field(default_factory=dict)

    def clip(self, path: Path) -> Clip:
        """The sample as a clip; fields with a type that a manifest does not allow are dropped."""
        captions, labels = (_merged(self.fields.get(key, []) for key in keys) for keys in _KNOWN.values())
        plain: dict[str, Any] = {
            key: self.fields[key] for key in _PLAIN if isinstance(self.fields.get(key), _PLAIN[key])
        }
        taken = {"path", *_PLAIN, *(key for keys in _KNOWN.values() for key in keys)}
        rest = {key: value for key, value in self.fields.items() if key not in taken}
        return Clip(path, captions, labels, **plain, extra=rest)


def _merged(lists: Iterable[list[str]]) -> list[str]:
    return list(dict.fromkeys(text for texts in lists for text in texts if text))


def unpack_shards(shards: Sequence[str | Path], folder: str | Path, overwrite: bool = False) -> tuple[Path, int]:
    """Write the audio of shards and a `manifest.jsonl` to `folder`; returns the manifest's path and the clip count.

    Samples without audio are skipped and counted in a warning. The manifest is written last, so that an interrupted run
    can be repeated.

    Raises:
        ClapgenError: a shard is missing, truncated or has an unreadable text (shard and member are named), the folder
            already has a manifest, or no shard has any audio.
    """
    folder = Path(folder)
    manifest = folder / "manifest.jsonl"
    if manifest.exists() and not overwrite:
        raise ClapgenError(f"{manifest} already exists; choose another folder, or pass --force to replace it.")
    clips = []
    silent = 0
    for number, shard in enumerate(shards):
        for sample, audio in _unpacked(Path(shard), folder / f"{number:06d}"):
            if audio is None:
                silent += 1
            else:
                clips.append(sample.clip(audio))
    if silent:
        logger.warning("%d samples without audio were skipped", silent)
    if not clips:
        raise ClapgenError(f"no audio in {', '.join(map(str, shards)) or 'an empty list of shards'}; nothing to unpack")
    save_manifest(clips, manifest, overwrite=overwrite)
    return manifest, len(clips)


def write_shards(
    clips: Iterable[Clip], folder: str | Path, clips_per_shard: int = 512, overwrite: bool = False
) -> tuple[list[Path], list[Path]]:
    """Pack clips, with their audio files unchanged, into `folder/000000.tar` … and write LAION's `sizes.json`.

    Returns:
        The shards, and the missing audio files, whose clips are skipped.

    Raises:
        ClapgenError: a shard exists and `overwrite` is false, the folder cannot be written, or all files are missing.
    """
    folder = Path(folder)
    present: list[Clip] = []
    missing: list[Path] = []
    for clip in clips:
        if clip.path.is_file():
            present.append(clip)
        else:
            missing.append(clip.path)
    if not present:
        raise ClapgenError(
            f"none of the {len(missing)} audio files of the manifest exists; nothing to pack into {folder}"
        )
    sizes: dict[str, int] = {}
    for start in range(0, len(present), clips_per_shard):
        part = present[start : start + clips_per_shard]
        name = f"{len(sizes):06d}.tar"
        with atomic_path(folder / name, overwrite=overwrite) as temporary, tarfile.open(temporary, "w") as tar:
            for index, clip in enumerate(part, start):
                _add_clip(tar, f"{index:09d}", clip)
        sizes[name] = len(part)
    with atomic_path(folder / "sizes.json", overwrite=overwrite) as temporary:
        temporary.write_text(json.dumps(sizes, indent=1))
    return [folder / name for name in sizes], missing


def _add_clip(tar: tarfile.TarFile, key: str, clip: Clip) -> None:
    fields: dict[str, Any] = {"text": clip.captions, "tag": clip.labels}
    for name in _PLAIN:
        if getattr(clip, name) is not None:
            fields[name] = getattr(clip, name)
    text = json.dumps(fields | clip.extra, ensure_ascii=False).encode()
    with open(clip.path, "rb") as audio:
        _add_member(tar, key + clip.path.suffix.lower(), clip.path.stat().st_size, audio)
    _add_member(tar, f"{key}.json", len(text), io.BytesIO(text))


def _add_member(tar: tarfile.TarFile, name: str, size: int, content: IO[bytes]) -> None:
    member = tarfile.TarInfo(name)  # no owner or time, so that the same clips give the same shard bit for bit
    member.size = size
    tar.addfile(member, content)


def _unpacked(shard: Path, folder: Path) -> Iterator[tuple[Sample, Path | None]]:
    """Each sample of a shard, with the file its audio was written to; members of a sample need not be neighbours."""
    members: list[_Member] = []
    for index, (where, name, content) in enumerate(_members(shard)):
        stem, _, extension = name.rpartition(".")
        suffix = f".{extension.lower()}"
        if suffix in AUDIO_SUFFIXES:
            audio = folder / f"{index:09d}{suffix}"
            with _named_errors(where):
                folder.mkdir(parents=True, exist_ok=True)
                with open(audio, "wb") as file:
                    shutil.copyfileobj(content, file)
            members.append(_Member(name, stem, audio=audio))
        elif suffix in (".json", ".txt"):
            with _named_errors(where):
                text = content.read(MAX_TEXT_BYTES + 1)
            members.append(_Member(name, stem, _parse(text, suffix, where)))
    for key, sample in _samples(members):
        fields = {name: value for member in sample for name, value in member.fields.items()}
        audios = [member.audio for member in sample if member.audio]
        for unused in audios[1:]:
            unused.unlink()
        yield Sample(key, fields), next(iter(audios), None)


@dataclass
class _Member:
    """An audio file or a text of a shard; `stem` is its name without the last suffix."""

    name: str
    stem: str
    fields: dict[str, Any] = field(default_factory=dict)
    audio: Path | None = None


def _samples(members: Sequence[_Member]) -> Iterator[tuple[str, list[_Member]]]:
    """Members grouped into samples, in the order of their first member.

    As in WebDataset a key ends at the first dot ("1.flac", "1.seg.json"). But where several audio files would share a
    key, and every text belongs to one of them by its stem, names hold dots ("clip_1.0s.flac"): then stems are the keys.
    A name that comes twice is of another sample the second time.
    """
    groups: dict[tuple[str, int], list[_Member]] = {}
    seen: Counter[str] = Counter()
    for member in members:
        groups.setdefault((_key(member.name), seen[member.name]), []).append(member)
        seen[member.name] += 1
    for (key, _), group in groups.items():
        stems = dict.fromkeys(member.stem for member in group if member.audio)
        if len(stems) > 1 and all(member.stem in stems for member in group):
            yield from ((stem, [member for member in group if member.stem == stem]) for stem in stems)
        else:
            yield key, group


def _members(shard: Path) -> Iterator[tuple[str, str, IO[bytes]]]:
    """(location for error messages, name, content) of the regular files of a tar, in order.

    Links, devices, folders and what macOS adds are skipped, and so are sparse files, because their size cannot be
    trusted.
    """
    with _named_errors(str(shard)), tarfile.open(shard, "r:*") as tar:
        for member in tar:
            wanted = member.isfile() and not member.issparse() and not _is_of_macos(member.name)
            content = tar.extractfile(member) if wanted else None
            if content is not None:
                yield f"{shard}, member {member.name!r}", member.name, content
        _check_end(tar)


def _check_end(tar: tarfile.TarFile) -> None:
    """Check for the final block of zeros: tarfile mistakes a damaged header for the end of the archive."""
    assert tar.fileobj is not None
    tar.fileobj.seek(tar.offset)
    block = tar.fileobj.read(tarfile.BLOCKSIZE)
    if not block or block.strip(b"\0"):
        raise tarfile.ReadError("no end of archive after its last readable member")


def _key(name: str) -> str:
    """The WebDataset key of a member, which ends at the first dot: `"a.b/1.x.flac"` -> `"a.b/1"`."""
    folder, slash, file = name.rpartition("/")
    return f"{folder}{slash}{file.partition('.')[0]}"


def _is_of_macos(name: str) -> bool:
    """Whether a member is what macOS adds to archives: `._clip.wav` holds attributes of `clip.wav`."""
    folder, _, file = name.rpartition("/")
    return file.startswith("._") or "__MACOSX" in folder.split("/")


def _parse(text: bytes, suffix: str, where: str) -> dict[str, Any]:
    if len(text) > MAX_TEXT_BYTES:
        raise ClapgenError(f"{where}: the text is larger than {MAX_TEXT_BYTES >> 20} MiB")
    try:
        if suffix == ".txt":
            return {"txt": [text.decode().strip()]}
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ClapgenError(f"{where}: invalid {suffix[1:]} ({error})") from error
    if not isinstance(fields, dict):
        raise ClapgenError(f"{where}: must be a JSON object")
    for key in (key for keys in _KNOWN.values() for key in keys if key in fields):
        texts = [fields[key]] if isinstance(fields[key], str) else fields[key] or []
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise ClapgenError(f'{where}: "{key}" must be a string or a list of strings')
        fields[key] = texts
    return fields


@contextmanager
def _named_errors(where: str) -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, zlib.error, lzma.LZMAError, EOFError) as error:
        raise ClapgenError(f"{where}: the tar is damaged or truncated ({error}); download or pack it again") from error
    except OSError as error:
        raise ClapgenError(f"{where}: cannot be unpacked: {error.strerror or error}") from error
