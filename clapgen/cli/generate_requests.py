"""What `clapgen generate` is to generate, and where it goes: from options to requests and a destination, checked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clapgen.cli.console import print_warning
from clapgen.cli.options import check_new_file, make_writable_folder
from clapgen.errors import ClapgenError

if TYPE_CHECKING:
    from generation.destinations import Destination
    from generation.requests import GenerationRequest


@dataclass(frozen=True)
class FileOptions:
    """The options about files, as they were given."""

    output: Path | None
    audio_format: str | None
    rate: int | None
    channels: int | None


def what_and_where(
    prompts: list[str] | None,
    prompt_file: Path | None,
    sidecar: Path | None,
    given: dict[str, Any],
    count: int,
    files: FileOptions,
) -> tuple[list[GenerationRequest], Destination, dict[str, Any] | None]:
    """The requests, where their sounds go, and the sidecar of the sound that is generated again, if any."""
    from generation.destinations import choose_destination
    from generation.prompt_files import requests_from_file
    from generation.recorded import request_from_sidecar
    from generation.requests import requests_from_arguments, with_seeds

    original = None
    if sidecar is not None:
        request, original = request_from_sidecar(sidecar, given)
        requests = [request]
    elif prompt_file is not None:
        requests = requests_from_file(prompt_file, given)
    else:
        requests = requests_from_arguments(prompts or [], given)
    requests = with_seeds(requests, count)
    recorded = original or {}
    destination = choose_destination(
        files.output,
        files.audio_format,
        several=len(requests) > 1,
        default_format=_recorded_format(recorded),
        rate=recorded.get("rate") if files.rate is None else files.rate,
        channels=(recorded.get("channels") or 1) if files.channels is None else files.channels,
    )
    changed = bool(given) or count > 1 or (files.rate, files.channels) != (None, None)
    if original is None or changed or destination.file or destination.stream:
        return requests, destination, original
    return requests, _under_its_old_name(destination, requests[0], recorded), original


def _under_its_old_name(destination: Destination, request: GenerationRequest, recorded: dict[str, Any]) -> Destination:
    """A sound that is generated again with the same settings keeps its name, and its format unless one was chosen."""
    from generation.sidecars import stem_of

    old_name = Path(recorded.get("file") or "").name.lstrip(".") or stem_of(request)
    return replace(destination, file=destination.folder / Path(old_name).with_suffix(destination.suffix))


def _recorded_format(recorded: dict[str, Any]) -> str | None:
    from generation.destinations import FORMATS

    return recorded["format"] if recorded.get("format") in FORMATS else None


def recorded_dtype(original: dict[str, Any] | None) -> str | None:
    """The number format in a sidecar; None if there is none, or none that we know."""
    from generation.requests import DTYPES

    dtype = (original or {}).get("dtype")
    return dtype if dtype in DTYPES else None


def recorded_model(original: dict[str, Any] | None) -> str | None:
    """The name of the model in a sidecar, if there is one."""
    return original["model"].get("name") if original else None


def check_weights(model: dict[str, Any], original: dict[str, Any] | None, force: bool) -> None:
    """ClapgenError if a sound would be generated again with other weights; only a warning if forced."""
    recorded_hashes = original["model"]["hashes"] if original else None
    if original is None or recorded_hashes == model["hashes"]:
        return
    difference = (
        f"the sound was generated with {_in_words(recorded_hashes)}, but model '{model['name']}' has "
        f"{_in_words(model['hashes'])}"
    )
    if not force:
        raise ClapgenError(f"{difference}; give its --model, or generate a different sound with --force.")
    print_warning(f"{difference}; the result will differ.")


def _in_words(hashes: Any) -> str:
    return ", ".join(f"{part} {digest}" for part, digest in sorted(hashes.items())) if hashes else "unknown weights"


def check_destination(destination: Destination, plot: bool, as_json: bool, force: bool) -> None:
    """ClapgenError if the sounds could not be written where they are to go."""
    file = destination.file
    if destination.stream is not None:
        if plot or as_json:
            raise ClapgenError("-o - writes the sound to standard output; omit --plot and --json, or give a file.")
    elif file is None:
        make_writable_folder(destination.folder)
    else:
        for path in (file, file.with_suffix(".json"), *([file.with_suffix(".png")] if plot else [])):
            check_new_file(path, force)
