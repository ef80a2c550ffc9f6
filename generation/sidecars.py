"""Generated sounds on disk: their file names, their sidecars, and which of them are finished. Imports no torch."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from clapgen.errors import ClapgenError
from clapgen.files import atomic_path, slug
from generation.destinations import FORMATS, Destination
from generation.requests import DEFAULTS, GenerationRequest, with_current_keys
from generation.sources import sha256_of

PARTS = ("clap", "autoencoder", "diffusion")  # of a model that generates; a sidecar records the hash of each

LONGEST_STEM = 180  # bytes; with seed, number and suffix it stays below the 255 of most file systems

CIRCUMSTANCES = ("device", "cpu", "threads", "versions")  # of a run; may change the last bits of a sound
NOVELTY = "novelty"  # key of what a sound was compared with before it was kept; not a setting of the sound


def stem_of(request: GenerationRequest) -> str:
    """File name of a sound without suffix: the request's `name`, or its prompt, as it was typed, and seed."""
    text = request.name or request.original_prompt or request.prompt
    words = slug(text).encode()[:LONGEST_STEM].decode(errors="ignore")
    return words if request.name else f"{words}_seed{request.seed}"


def planned_sidecar(
    request: GenerationRequest, destination: Destination, identity: Mapping[str, Any]
) -> dict[str, Any]:
    """The part of a sidecar that is known before the sound is generated: request, format and the model's `identity`.

    On one machine these decide the bytes of the file. The settings are keyword arguments of `TextToAudio.generate`.
    """
    typed = {} if request.original_prompt is None else {"original_prompt": request.original_prompt}
    file = {"format": destination.audio_format, "rate": destination.rate, "channels": destination.channels}
    return {"prompt": request.prompt, **typed, **request.settings(), **file, **identity}


def model_identity(name: str, hashes: Mapping[str, str], dtype: str | None) -> dict[str, Any]:
    """How sidecars identify a model, and what `TextToAudio.describe` returns. A `dtype` of None matches any."""
    return {"dtype": dtype, "model": {"name": name, "hashes": dict(hashes)}}


def comment_of(sidecar: Mapping[str, Any]) -> str:
    """What is written into a sound file: its sidecar as ASCII, without the circumstances of the run and of its choice.

    The same sound thus has the same bytes wherever it was generated.
    """
    inside = {key: value for key, value in sidecar.items() if key not in (*CIRCUMSTANCES, NOVELTY)}
    return json.dumps(inside, separators=(",", ":"), allow_nan=False)


def settings_of(sidecar: Mapping[str, Any]) -> dict[str, Any]:
    """The values in a sidecar that decide the bytes of the sound; sounds with equal settings are identical.

    Sidecars of earlier versions lack settings that did not exist then; their defaults apply.
    """
    model = sidecar.get("model")
    defaults = {**DEFAULTS.settings(), "rate": None, "channels": 1, "prompt": None, "format": None, "dtype": None}
    settings = {key: sidecar.get(key, default) for key, default in defaults.items()}
    return {**settings, "hashes": model.get("hashes") if isinstance(model, dict) else None}


def differences(original: Mapping[str, Any], again: Mapping[str, Any]) -> str:
    """Why two sounds with equal settings may differ: what differs in the circumstances of their runs, in words."""
    there, here = _flat(original), _flat(again)
    different = [f"{key} {there[key]} then, {here[key]} now" for key in here if there.get(key, here[key]) != here[key]]
    if different:
        return "; ".join(different)
    missing = [key for key in here if key not in there]
    if missing and "versions" in original:
        return f"it is from a version of clapgen that did not record the {', '.join(missing)} yet"
    if missing:
        return f"the original does not record its {', '.join(missing)}"
    return f"although {', '.join(here)} are the same; was the original edited?"


def _flat(sidecar: Mapping[str, Any]) -> dict[str, Any]:
    flat = {key: sidecar[key] for key in CIRCUMSTANCES if key in sidecar}
    return flat | flat.pop("versions", {})


def _is_same_sound(present: Mapping[str, Any], planned: Mapping[str, Any]) -> bool:
    there, here = settings_of(present), settings_of(planned)
    return there == (here if here["dtype"] is not None else {**here, "dtype": there["dtype"]})


def _is_finished(present: Mapping[str, Any], planned: Mapping[str, Any]) -> bool:
    """Whether a sound is the planned one, and was compared with what the planned one is to be compared with."""
    wanted, found = planned.get(NOVELTY), present.get(NOVELTY)
    if wanted is None:
        return _is_same_sound(present, planned)
    if not isinstance(found, dict) or any(found.get(key) != value for key, value in wanted.items()):
        return False
    return _is_same_sound({**present, "seed": found.get("requested_seed")}, planned)


def find_finished(folder: Path, stem: str, planned: Mapping[str, Any]) -> tuple[Path, dict[str, Any]] | None:
    """The sound file that has the settings of the `planned` sidecar, and its sidecar, if both exist and are intact."""
    for path in _stems(folder, stem):
        if not _is_taken(path):
            return None
        sidecar = _sidecar_at(path)
        if sidecar is not None and _is_finished(sidecar, planned) and _is_whole(folder, sidecar):
            return folder / Path(sidecar["file"]).name, sidecar
    return None


def save_clip(
    destination: Destination, stem: str, sidecar: Mapping[str, Any], content: bytes, overwrite: bool = False
) -> tuple[Path, dict[str, Any]]:
    """Write a sound file and its sidecar, each in one step, and never one without the other unless the process is
    killed.

    In a folder, a sound with other settings keeps its name and this one gets the next free name; a sound with the same
    settings, written by another process in the meantime, is kept.

    Args:
        content: bytes of the sound file.
        overwrite: replace the destination's file, or in a folder the sound with the same settings.

    Returns: path of the sound, and the sidecar as written.
    """
    sidecar = {**sidecar, "sha256": hashlib.sha256(content).hexdigest()}
    if destination.stream is not None:
        destination.stream.write(content)
        destination.stream.flush()
        return Path("-"), sidecar
    if destination.file is not None:
        return destination.file, _write_pair(destination.file, sidecar, content, overwrite)
    for path in _stems(destination.folder, stem):
        saved = _save_as(path, destination.suffix, sidecar, content, overwrite)
        if saved is not None:
            return path.with_name(path.name + destination.suffix), saved
    raise AssertionError("unreachable")


def _save_as(
    path: Path, suffix: str, sidecar: dict[str, Any], content: bytes, overwrite: bool
) -> dict[str, Any] | None:
    """Write a sound under this name unless it is already there; None if another sound has the name."""
    audio = path.with_name(path.name + suffix)
    while True:
        taken = _is_taken(path)  # before the sidecar is read: it may appear in between
        present = _sidecar_at(path)
        if present is not None and _is_same_sound(present, sidecar):
            if overwrite or sidecar.get(NOVELTY) not in (None, present.get(NOVELTY)):
                return _write_pair(audio, sidecar, content, overwrite=True)
            if _is_whole(path.parent, present) or _complete_pair(audio, present, sidecar["sha256"], content):
                return present
        if taken:
            return None
        try:
            return _write_pair(audio, sidecar, content, overwrite=False)
        except ClapgenError:
            if not _is_taken(path):
                raise
            # Another process took the name a moment ago: check again which sound it is.


def _write_pair(audio: Path, sidecar: dict[str, Any], content: bytes, overwrite: bool) -> dict[str, Any]:
    """Write both; the sidecar takes its name first, and the process that has that name may write the sound."""
    sidecar = {**sidecar, "file": audio.name}
    sidecar_path = audio.with_suffix(".json")
    claimed = False
    try:
        with atomic_path(audio, overwrite=overwrite) as temporary:
            temporary.write_bytes(content)
            with atomic_path(sidecar_path, overwrite=overwrite) as temporary_sidecar:
                text = json.dumps(sidecar, indent=2, ensure_ascii=False, allow_nan=False)
                temporary_sidecar.write_text(text + "\n", encoding="utf-8")
            claimed = not overwrite
    except BaseException as error:
        if not claimed:
            raise
        if not isinstance(error, ClapgenError) or not _is_whole(audio.parent, sidecar):
            sidecar_path.unlink(missing_ok=True)
            raise
        # Otherwise another process found the sidecar without a sound and has just added the same one.
    return sidecar


def _complete_pair(audio: Path, sidecar: dict[str, Any], sha256: str, content: bytes) -> bool:
    """Write the missing sound of a sidecar; false if the new sound differs from the recorded one."""
    if sha256 == sidecar.get("sha256"):
        with contextlib.suppress(ClapgenError), atomic_path(audio) as temporary:
            temporary.write_bytes(content)
    return _is_whole(audio.parent, sidecar)


def _stems(folder: Path, stem: str) -> Iterator[Path]:
    for count in itertools.count(1):
        yield folder / (stem if count == 1 else f"{stem}-{count}")


def _is_taken(path: Path) -> bool:
    """Whether a sound, plot or sidecar has this name: `rain.wav` and `rain.flac` would share `rain.json`."""
    suffixes = {".json", ".png", *(suffix for suffix, _ in FORMATS.values())}
    return any(os.path.lexists(path.with_name(path.name + suffix)) for suffix in suffixes)


def _is_whole(folder: Path, sidecar: dict[str, Any]) -> bool:
    audio = folder / Path(str(sidecar.get("file"))).name
    return audio.is_file() and sha256_of(audio) == sidecar.get("sha256")


def _sidecar_at(path: Path) -> dict[str, Any] | None:
    try:
        sidecar = json.loads(path.with_name(path.name + ".json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return with_current_keys(sidecar) if isinstance(sidecar, dict) else None
