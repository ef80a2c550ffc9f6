"""Where a public checkpoint is (a folder, a file, the Hugging Face hub), what it holds, and the hash of its content.

Imports no torch: a wrong name is an error before anything slow happens.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

from clapgen.errors import ClapgenError

HUB_FILES = ("*.json", "*.safetensors", "*.txt")
CONFIG_FILE = "config.json"
TOKENIZER_FILES = ("tokenizer.json", "vocab.json", "vocab.txt")
PICKLES = (".pt", ".pth", ".ckpt")  # weights as their authors' own code saves them
HUB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
HUB_SECONDS = 3.0  # to wait for the hub's answer


def is_hub_name(name: str) -> bool:
    """Whether a name is that of a model on the hub, owner/name, or of a file in one: owner/name/file.pt."""
    path = Path(name).expanduser()
    if path.exists() or ".." in name:
        return False
    owner, _, rest = name.partition("/")
    model, slash, file = rest.partition("/")
    if slash and not (file.endswith(PICKLES) and HUB_NAME.fullmatch(f"x/{file}")):
        return False
    return HUB_NAME.fullmatch(f"{owner}/{model}") is not None


def find_checkpoint(name: str, revision: str | None = None) -> Path:
    """The folder or file of a checkpoint: a path, or a name on the hub, which is downloaded unless it is in the cache.

    Args:
        name: a folder, a file, owner/name, or owner/name/file.pt.
        revision: commit, tag or branch on the hub; its main branch if None.

    Raises:
        ClapgenError: there is none, or it cannot be downloaded.
    """
    path = Path(name).expanduser()
    if path.exists():
        return path
    if not is_hub_name(name):
        raise ClapgenError(f"there is no folder {name}; give a folder, or owner/name from the Hugging Face hub.")
    owner, model, *file = name.split("/")
    return _from_hub(f"{owner}/{model}", file[0] if file else None, revision)


def model_type_of(folder: Path) -> str:
    """What `config.json` says a folder holds, such as "clap"; empty if there is no such file or it does not say."""
    try:
        config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return ""
    found = config.get("model_type") if isinstance(config, dict) else None
    return found if isinstance(found, str) else ""


def pickles_in(folder: Path) -> list[Path]:
    """The weight files of a folder that are not safetensors."""
    return sorted(file for file in folder.iterdir() if file.suffix in PICKLES)


def content_hash(folder: Path) -> str:
    """First 12 hex digits of the sha256 over a checkpoint's weights, configurations and vocabulary.

    Raises:
        ClapgenError: there are no weights in safetensors, or one of the files that they are divided into is missing.
    """
    files = sorted(file for pattern in HUB_FILES for file in folder.glob(pattern))
    if not any(file.suffix == ".safetensors" for file in files):
        raise ClapgenError(f"{folder} has no .safetensors; other weights are not read, they could run code.")
    check_shards(folder)
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.name}\0{file.stat().st_size}\0".encode())
        with open(file, "rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()[:12]


def check_shards(folder: Path) -> None:
    """ClapgenError if a file that an index of divided weights names is missing."""
    for index in sorted(folder.glob("*.index.json")):
        try:
            shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise ClapgenError(f"{index} is damaged; download it again.") from None
        missing = sorted(shard for shard in map(str, shards) if not (folder / Path(shard).name).is_file())
        if missing:
            raise ClapgenError(f"{folder} is not complete: {missing[0]} is missing; download it again.")


def has_tokenizer(folder: Path) -> bool:
    """Whether a folder holds the files of a tokenizer."""
    return any((folder / name).is_file() for name in TOKENIZER_FILES)


def find_tokenizer(model: str) -> Path:
    """The folder of the tokenizer of a model on the hub, in the hub's cache; it is downloaded unless it is there.

    Raises:
        ClapgenError: it cannot be downloaded.
    """
    from huggingface_hub import snapshot_download

    patterns = ["tokenizer*.json", "vocab.*", "merges.txt", CONFIG_FILE]
    try:
        folder = Path(snapshot_download(model, local_files_only=True, allow_patterns=patterns))
        if has_tokenizer(folder):
            return folder
    except (OSError, ValueError):  # not in the cache
        pass
    try:
        return Path(snapshot_download(model, etag_timeout=HUB_SECONDS, allow_patterns=patterns))
    except Exception as error:
        reason = _why_not(model, None, error).partition(": ")[2]
        raise ClapgenError(
            f"the checkpoint has no tokenizer, and {model} cannot be downloaded from the Hugging Face hub: {reason} "
            "A tokenizer.json beside the checkpoint serves too."
        ) from None


def _from_hub(model: str, file: str | None, revision: str | None) -> Path:
    """What is in the cache if it is complete, otherwise a download."""
    from huggingface_hub import snapshot_download

    patterns = [file, "*.json", "*.txt"] if file else list(HUB_FILES)
    options: dict[str, Any] = {"revision": revision, "allow_patterns": patterns}
    try:
        folder = Path(snapshot_download(model, local_files_only=True, **options))
        if _is_complete(folder, file):
            return folder / file if file else folder
    except (OSError, ValueError):  # not in the cache
        pass
    try:
        folder = Path(snapshot_download(model, etag_timeout=HUB_SECONDS, **options))
    except Exception as error:  # huggingface_hub and its HTTP client raise a dozen classes
        raise ClapgenError(_why_not(model, revision, error)) from None
    if not _is_complete(folder, file):
        raise ClapgenError(
            f"{model} lacks {file or 'config.json or .safetensors'} in {folder}: its download was cut off and the hub "
            "cannot be reached, or it is published without."
        )
    return folder / file if file else folder


def _is_complete(folder: Path, file: str | None) -> bool:
    if file:
        return (folder / file).is_file()
    try:
        check_shards(folder)
    except ClapgenError:
        return False
    return (folder / CONFIG_FILE).is_file() and any(folder.glob("*.safetensors"))


def _why_not(model: str, revision: str | None, error: Exception) -> str:
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        return f"{model} asks its users to accept its licence: do so on its page of the hub, then run `hf auth login`."
    if isinstance(error, errors.RepositoryNotFoundError):
        return f"there is no model {model} on the Hugging Face hub, nor a folder of this name."
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{model} on the Hugging Face hub has no revision '{revision}'."
    if isinstance(error, OSError) and error.errno is not None and error.filename:
        return f"{model} cannot be stored in the hub's cache: {error.strerror}: {error.filename}."
    reason = " ".join(str(error).split())[:160].rstrip(". ")
    if isinstance(error, errors.LocalEntryNotFoundError):  # what it raises for any failed connection
        reason = "it cannot be reached"
    if os.environ.get("HF_HUB_OFFLINE") == "1":
        reason = "HF_HUB_OFFLINE is set"
    return (
        f"there is no folder {model}, and it cannot be downloaded from the Hugging Face hub: {reason}. Download it "
        "elsewhere and give its folder."
    )
