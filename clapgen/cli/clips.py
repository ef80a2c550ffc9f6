"""Generated clips on disk: their names, their sidecars, and which of them are finished already."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import itertools
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import clapgen
from clapgen.cli.prompts import ClipRequest
from clapgen.errors import ClapgenError, nearest
from clapgen.files import atomic_path, slug

LONGEST_STEM = 180  # bytes; with seed, number and suffix it stays below the 255 of most file systems

# Name on the command line -> suffix and bits per sample, as clapgen.audio.write_audio takes them.
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
    """Where clips go: exactly one `file`, or free names in a `folder`."""

    folder: Path
    file: Path | None
    audio_format: str

    @property
    def suffix(self) -> str:
        """Suffix of the sound files, with its dot."""
        return FORMATS[self.audio_format][0]


def destination_of(
    output: Path | None, audio_format: str | None, several: bool = False, usual_format: str = "wav"
) -> Destination:
    """Decide between file and folder: a folder exists or has no suffix; none given is the current folder.

    `usual_format` is taken where neither `audio_format` nor the suffix of `output` says which.
    """
    if audio_format is not None and audio_format not in FORMATS:
        raise ClapgenError(
            f"--format must be one of {', '.join(FORMATS)}, not '{audio_format}'.{nearest(audio_format, FORMATS)}"
        )
    if output is None or output.is_dir() or not output.suffix:
        folder = output or Path()
        if folder.is_file():
            raise ClapgenError(f"-o {folder} is a file, not a folder; give it a suffix such as .wav to write a sound.")
        return Destination(folder, None, audio_format or usual_format)
    matching = [name for name, (suffix, _) in FORMATS.items() if suffix == output.suffix.lower()]
    if not matching:
        suffixes = ", ".join(dict.fromkeys(suffix for suffix, _ in FORMATS.values()))
        raise ClapgenError(
            f"-o {output}: a sound is written as one of {suffixes} (make the folder first if it is one)."
        )
    if audio_format is not None and audio_format not in matching:
        raise ClapgenError(f"-o {output} and --format {audio_format} contradict each other; leave one out.")
    if several:
        raise ClapgenError(f"-o {output} is one file, but there are several prompts; give a folder.")
    return Destination(
        output.parent, output, audio_format or (usual_format if usual_format in matching else matching[0])
    )


def stem_of(request: ClipRequest) -> str:
    """File name of a clip without suffix: its own name, or its prompt and seed."""
    words = slug(request.name or request.prompt).encode()[:LONGEST_STEM].decode(errors="ignore")
    return words if request.name else f"{words}_seed{request.seed}"


def settings_of(request: ClipRequest, audio_format: str, dtype: str, hashes: dict[str, str]) -> dict[str, Any]:
    """All that decides the bytes of a clip on one machine; two clips with equal settings are the same clip."""
    settings = dataclasses.asdict(request)
    settings.pop("name")
    return {**settings, "format": audio_format, "dtype": dtype, "hashes": hashes}


def settings_of_sidecar(sidecar: dict[str, Any]) -> dict[str, Any]:
    """The same out of a sidecar."""
    keys = [*(field.name for field in dataclasses.fields(ClipRequest) if field.name != "name"), "format", "dtype"]
    model = sidecar.get("model")
    return {
        **{key: sidecar.get(key) for key in keys},
        "hashes": model.get("hashes") if isinstance(model, dict) else None,
    }


def find_finished(folder: Path, stem: str, settings: dict[str, Any]) -> Path | None:
    """The sound file of a clip made with these settings, if it is there as its sidecar says; else None."""
    for path in _stems(folder, stem):
        if not _is_taken(path):
            return None
        sidecar = _sidecar_at(path)
        if sidecar is not None and settings_of_sidecar(sidecar) == settings and _is_whole(folder, sidecar):
            return folder / Path(sidecar["file"]).name
    return None


def save_clip(
    destination: Destination, stem: str, sidecar: dict[str, Any], write: Callable[[Path], None], force: bool = False
) -> tuple[Path, dict[str, Any]]:
    """Write sound and sidecar; each appears whole, and neither without the other unless the process is killed.

    In a folder, a name that is taken by another clip is left to it; the same clip (made by another process
    meanwhile) is not written twice.

    Args:
        write: writes the sound to the path it is given.
        force: replace the file of the destination, or in a folder the clip of the same settings.

    Returns: path of the sound, and the sidecar as written.
    """
    if destination.file is not None:
        return destination.file, _write_pair(destination.file, sidecar, write, force)
    for path in _stems(destination.folder, stem):
        saved = _save_as(path, destination.suffix, sidecar, write, force)
        if saved is not None:
            return path.with_name(path.name + destination.suffix), saved
    raise AssertionError("unreachable")


def _save_as(
    path: Path, suffix: str, sidecar: dict[str, Any], write: Callable[[Path], None], force: bool
) -> dict[str, Any] | None:
    """Write a clip under this name, or find that the very same is there; None when another clip has the name."""
    audio = path.with_name(path.name + suffix)
    while True:
        taken = _is_taken(path)  # before the sidecar is read: it may appear in between
        present = _sidecar_at(path)
        if present is not None and settings_of_sidecar(present) == settings_of_sidecar(sidecar):
            if force:
                return _write_pair(audio, sidecar, write, overwrite=True)
            if _is_whole(path.parent, present) or _complete_pair(audio, present, write):
                return present
        if taken:
            return None
        try:
            return _write_pair(audio, sidecar, write, overwrite=False)
        except ClapgenError:
            if not _is_taken(path):
                raise
            # Another process took the name a moment ago: look again whose clip it is.


def _write_pair(audio: Path, sidecar: dict[str, Any], write: Callable[[Path], None], overwrite: bool) -> dict[str, Any]:
    """Write both; the sidecar takes its name first, and who has that name may give the sound its own."""
    sidecar_path = audio.with_suffix(".json")
    claimed = False
    try:
        with atomic_path(audio, overwrite=overwrite) as temporary:
            write(temporary)
            sidecar = {**sidecar, "file": audio.name, "sha256": sha256_of(temporary)}
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
        # Otherwise another process took the sidecar for an orphan and has just added the very same sound.
    return sidecar


def _complete_pair(audio: Path, sidecar: dict[str, Any], write: Callable[[Path], None]) -> bool:
    """Add the sound to a sidecar that lost it; false when what was made now is not the sound it tells of."""
    with contextlib.suppress(ClapgenError), atomic_path(audio) as temporary:
        write(temporary)
        if sha256_of(temporary) != sidecar.get("sha256"):
            raise ClapgenError("another sound")
    return _is_whole(audio.parent, sidecar)


def sha256_of(path: Path) -> str:
    """Hex sha256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def versions() -> dict[str, str]:
    """Versions of what computes a sound, for the sidecar."""
    import platform

    import numpy
    import torch

    return {
        "clapgen": clapgen.__version__,
        "torch": str(torch.__version__),
        "numpy": numpy.__version__,
        "python": platform.python_version(),
    }


def _stems(folder: Path, stem: str) -> Iterator[Path]:
    for count in itertools.count(1):
        yield folder / (stem if count == 1 else f"{stem}-{count}")


def _is_taken(path: Path) -> bool:
    """Whether a sound, a plot or a sidecar has this name: `rain.wav` and `rain.flac` would share `rain.json`."""
    suffixes = {".json", ".png", *(suffix for suffix, _ in FORMATS.values())}
    return any(os.path.lexists(path.with_name(path.name + suffix)) for suffix in suffixes)


def _is_whole(folder: Path, sidecar: dict[str, Any]) -> bool:
    audio = folder / Path(str(sidecar.get("file"))).name
    return audio.is_file() and sha256_of(audio) == sidecar.get("sha256")


def read_sidecar(audio: Path) -> dict[str, Any]:
    """The sidecar beside a finished clip."""
    return _sidecar_at(audio.with_suffix("")) or {}


def _sidecar_at(path: Path) -> dict[str, Any] | None:
    try:
        sidecar = json.loads(path.with_name(path.name + ".json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return sidecar if isinstance(sidecar, dict) else None
