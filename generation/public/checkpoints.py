"""A public checkpoint on disk: found by the name of a folder or on the Hugging Face hub, complete, identified by its
weights. Imports no torch."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from clapgen.errors import ClapgenError, nearest
from clapgen.model_store import list_models
from generation.public.catalogue import (
    AUDIOCRAFT_FILES,
    CONFIG_FILE,
    KINDS,
    NAMES,
    PIPELINE_FILE,
    Kind,
    kind_of,
    licence_of,
    read_json,
)

HUB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*")
WEIGHT_SUFFIXES = (".safetensors", ".bin")
SMALL_FILES = ("*.json", "*.txt", "*.model", "README.md")  # configurations, tokenizers, the card
HUB_TIMEOUT = 4.0  # seconds
LISTS = ("neighbours", "mix", "without")  # settings that are empty rather than null in sidecars


@dataclass(frozen=True)
class Checkpoint:
    """A public generator on disk: `name` as it was given, the `folder` with its files, and the key of its `kind`."""

    name: str
    folder: Path
    kind_name: str

    @property
    def kind(self) -> Kind:
        """What its kind is and what its authors chose."""
        return KINDS[self.kind_name]

    @property
    def licence(self) -> str:
        """As its card says, or else as its authors publish models of this kind."""
        return licence_of(self.folder, self.kind)

    @cached_property
    def hashes(self) -> dict[str, str]:
        """The first 12 hex digits of a sha256 over the files of each part, by the part's folder ("." for files beside
        it)."""
        files: dict[str, list[Path]] = {}
        for file in sorted(self.files()):
            part = file.relative_to(self.folder).parent.as_posix()
            files.setdefault(part, []).append(file)
        return {part: _hash_of(members) for part, members in files.items()}

    def identity(self, dtype: str | None) -> dict[str, Any]:
        """How sidecars identify it; settings that it has no use for are null. A `dtype` of None matches any."""
        unused = {key: None for key in self.kind.refused if key not in LISTS}
        model = {"name": self.name, "kind": self.kind.name, "hashes": dict(self.hashes)}
        return {**unused, "dtype": dtype, "model": model}

    def files(self) -> Iterator[Path]:
        """The files that are read: weights, one format of each part, with their configurations and tokenizers."""
        for folder in [self.folder, *sorted(path for path in self.folder.iterdir() if path.is_dir())]:
            weights = weights_in(folder)
            yield from weights
            for pattern in SMALL_FILES[:-1]:
                yield from folder.glob(pattern)

    def bytes_of_weights(self) -> int:
        """The size of all weights on disk."""
        folders = [self.folder, *(path for path in self.folder.iterdir() if path.is_dir())]
        return sum(file.stat().st_size for folder in folders for file in weights_in(folder))


def is_public(name: str) -> bool:
    """Whether a name stands for a public checkpoint: one of the hub, or a folder in the layout of one."""
    if name in list_models():
        return False
    folder = Path(name).expanduser()
    if folder.is_dir():
        marks = (PIPELINE_FILE, CONFIG_FILE, AUDIOCRAFT_FILES[0])
        return any((folder / mark).is_file() for mark in marks)
    return not folder.exists() and HUB_NAME.fullmatch(name) is not None


def open_checkpoint(name: str, revision: str | None = None) -> Checkpoint:
    """A public checkpoint by the name of its folder or of the hub, from where it is downloaded unless it is cached.

    Args:
        revision: commit, branch or tag on the hub; the newest if None.

    Raises:
        ClapgenError: there is none, it is of another kind, is not complete, or cannot be downloaded.
    """
    folder = Path(name).expanduser()
    if not folder.is_dir():
        if HUB_NAME.fullmatch(name) is None or ".." in name:
            raise ClapgenError(f"'{name}' is neither a folder nor a name such as owner/name on the Hugging Face hub.")
        folder = _from_hub(name, revision)
    kind_name = kind_of(folder, name)
    check_complete(folder, name)
    return Checkpoint(name, folder, kind_name)


def part_of_its_own(folder: Path, name: str) -> Path:
    """The folder of a model that a checkpoint needs but does not contain, such as "t5-large": a folder of its name
    inside the checkpoint's, or else from the hub.

    Raises:
        ClapgenError: it is neither there nor on the hub.
    """
    inside = folder / name.rpartition("/")[2]
    if (inside / CONFIG_FILE).is_file():
        return inside
    full = name if "/" in name else f"google-t5/{name}"
    if HUB_NAME.fullmatch(full) is None or ".." in full:
        raise ClapgenError(f"{folder} needs a model {name[:60]!r}, which is not the name of one on the hub.")
    return _from_hub(full)


def weights_in(folder: Path) -> list[Path]:
    """The files with the weights of a part: safetensors where there are any, none of the half-precision variants."""
    for suffix in WEIGHT_SUFFIXES:
        found = [file for file in sorted(folder.glob(f"*{suffix}")) if ".fp16" not in file.name]
        if found:
            return found
    return []


def check_complete(folder: Path, name: str) -> None:
    """ClapgenError if a part that the checkpoint names is missing, or a file that it is divided into."""
    for index in folder.glob("**/*.index.json"):
        shards = read_json(index).get("weight_map", {})
        for shard in sorted(set(shards.values()) if isinstance(shards, dict) else ()):
            if not (index.parent / Path(str(shard)).name).is_file():
                raise ClapgenError(f"{name} is not complete: {index.parent / str(shard)} is missing. {_AGAIN}")
    if (folder / PIPELINE_FILE).is_file():
        for part, classes in read_json(folder / PIPELINE_FILE).items():
            if part.startswith("_") or not isinstance(classes, list) or classes[0] is None:
                continue
            if not (folder / part).is_dir():
                raise ClapgenError(f"{name} is not complete: it has no folder {part}/. {_AGAIN}")


_AGAIN = "Download it again."


def _hash_of(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.name}\0{_digest_of(file)}\0".encode())
    return digest.hexdigest()[:12]


def _digest_of(file: Path) -> str:
    target = file.resolve()
    if target.parent.name == "blobs" and re.fullmatch(r"[0-9a-f]{64}", target.name):
        return target.name  # the hub's cache names large files by their sha256
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _from_hub(name: str, revision: str | None = None) -> Path:
    """The snapshot of a model in the hub's cache, downloaded first where files are missing."""
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    try:
        files = None
        if not _is_offline():
            found = HfApi().model_info(name, revision=revision, timeout=HUB_TIMEOUT)
            files = [sibling.rfilename for sibling in found.siblings or []]
        return Path(snapshot_download(name, revision=revision, allow_patterns=_wanted(files), etag_timeout=HUB_TIMEOUT))
    except GatedRepoError:
        raise ClapgenError(
            f"{name} asks its users to accept its licence: do so at https://huggingface.co/{name}, then run "
            "`hf auth login`."
        ) from None
    except RevisionNotFoundError:
        raise ClapgenError(f"{name} has no revision '{revision}' on the Hugging Face hub.") from None
    except RepositoryNotFoundError:
        raise ClapgenError(f"there is no model {name} on the Hugging Face hub.{nearest(name, NAMES)}") from None
    except Exception as error:  # huggingface_hub and its HTTP client raise a dozen classes
        cached = _cached(name, revision)
        if cached is not None:
            return cached
        offline = " (HF_HUB_OFFLINE is set)" if _is_offline() else ""
        raise ClapgenError(
            f"{name} is not a folder, and cannot be downloaded from the Hugging Face hub{offline}: "
            f"{' '.join(str(error).split())[:160]} Download it elsewhere and give its folder."
        ) from None


def _cached(name: str, revision: str | None) -> Path | None:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, revision=revision, local_files_only=True))
    except Exception:
        return None


def _is_offline() -> bool:
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def _wanted(files: list[str] | None) -> list[str]:
    """Patterns of what to download: safetensors, and other weights only where a folder has none."""
    if files is None:
        return [*SMALL_FILES, "*.safetensors", "*.bin"]
    folders = {file.rpartition("/")[0] for file in files if file.endswith(".safetensors")}
    others = [file for file in files if file.endswith(".bin") and file.rpartition("/")[0] not in folders]
    safe = [file for file in files if file.endswith(".safetensors") and ".fp16" not in file]
    if PIPELINE_FILE in files:  # the original of the same model lies beside the folders of its parts
        safe, others = [file for file in safe if "/" in file], [file for file in others if "/" in file]
    return [*SMALL_FILES, *safe, *others]
