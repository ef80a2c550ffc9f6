"""Generated sounds on disk: their file names, their sidecars, and which of them are finished. Imports no torch."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clapgen.errors import ClapgenError, nearest
from clapgen.files import atomic_path, slug
from generation.requests import DEFAULTS, GenerationRequest, with_current_keys

PARTS = ("clap", "autoencoder", "diffusion")  # of a model that generates; a sidecar records the hash of each

LONGEST_STEM = 180  # bytes; with seed, number and suffix it stays below the 255 of most file systems

# Name on the command line -> suffix and bits per sample, as clapgen.write_audio takes them.
FORMATS: dict[str, tuple[str, int | None]] = {
    "wav": (".wav", 16),
    "wav24": (".wav", 24),
    "wav32": (".wav", 32),
    "flac": (".flac", 16),
    "flac24": (".flac", 24),
    "ogg": (".ogg", None),
    "opus": (".opus", None),
}


@dataclass(frozen=True)
class Destination:
    """Where sounds go: into exactly one `file`, or under free names in a `folder`."""

    folder: Path
    file: Path | None
    audio_format: str

    @property
    def suffix(self) -> str:
        """Suffix of the sound files, with its dot."""
        return FORMATS[self.audio_format][0]


def choose_destination(
    output: Path | None, audio_format: str | None = None, several: bool = False, default_format: str = "wav"
) -> Destination:
    """A file if `output` has a suffix and is not a folder, otherwise a folder: the current one if `output` is None.

    `default_format` applies if neither `audio_format` nor the suffix of `output` names one. `ClapgenError` if they
    contradict each other, or if `several` sounds would go into one file.
    """
    if audio_format is not None and audio_format not in FORMATS:
        raise ClapgenError(
            f"--format must be one of {', '.join(FORMATS)}, not '{audio_format}'.{nearest(audio_format, FORMATS)}"
        )
    if output is None or output.is_dir() or not output.suffix:
        folder = output or Path()
        if folder.is_file():
            raise ClapgenError(f"-o {folder} is a file, not a folder; add a suffix such as .wav to write a sound.")
        return Destination(folder, None, audio_format or default_format)
    matching = [name for name, (suffix, _) in FORMATS.items() if suffix == output.suffix.lower()]
    if not matching:
        suffixes = ", ".join(dict.fromkeys(suffix for suffix, _ in FORMATS.values()))
        raise ClapgenError(
            f"-o {output}: unsupported suffix; use one of {suffixes} (create the folder first if it is meant as one)."
        )
    if audio_format is not None and audio_format not in matching:
        raise ClapgenError(f"-o {output} and --format {audio_format} contradict each other; omit one.")
    if several:
        raise ClapgenError(f"-o {output} is a single file, but there are several prompts; give a folder.")
    return Destination(
        output.parent, output, audio_format or (default_format if default_format in matching else matching[0])
    )


def stem_of(request: GenerationRequest) -> str:
    """File name of a sound without suffix: the request's `name`, or its prompt and seed."""
    words = slug(request.name or request.prompt).encode()[:LONGEST_STEM].decode(errors="ignore")
    return words if request.name else f"{words}_seed{request.seed}"


def planned_sidecar(request: GenerationRequest, audio_format: str, identity: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a sidecar that is known before the sound is generated: request, format and the model's `identity`.

    On one machine these decide the bytes of the file. The settings are keyword arguments of `TextToAudio.generate`.
    """
    return {"prompt": request.prompt, **request.settings(), "format": audio_format, **identity}


def model_identity(name: str, hashes: Mapping[str, str], dtype: str) -> dict[str, Any]:
    """How sidecars identify a model, and what `TextToAudio.describe` returns."""
    return {"dtype": dtype, "model": {"name": name, "hashes": dict(hashes)}}


def settings_of(sidecar: Mapping[str, Any]) -> dict[str, Any]:
    """The values in a sidecar that decide the bytes of the sound; sounds with equal settings are identical.

    Sidecars of earlier versions lack settings that did not exist then; their defaults apply.
    """
    model = sidecar.get("model")
    settings = {key: sidecar.get(key) for key in ("prompt", *DEFAULTS.settings(), "format", "dtype")}
    settings |= {key: sidecar.get(key, getattr(DEFAULTS, key)) for key in ("sampler", "time_shift")}
    return {**settings, "hashes": model.get("hashes") if isinstance(model, dict) else None}


def find_finished(folder: Path, stem: str, planned: Mapping[str, Any]) -> tuple[Path, dict[str, Any]] | None:
    """The sound file that has the settings of the `planned` sidecar, and its sidecar, if both exist and are intact."""
    for path in _stems(folder, stem):
        if not _is_taken(path):
            return None
        sidecar = _sidecar_at(path)
        if sidecar is not None and settings_of(sidecar) == settings_of(planned) and _is_whole(folder, sidecar):
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
        if present is not None and settings_of(present) == settings_of(sidecar):
            if overwrite:
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


def sha256_of(path: Path) -> str:
    """Hex sha256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


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
    except (OSError, ValueError):
        return None
    return with_current_keys(sidecar) if isinstance(sidecar, dict) else None
