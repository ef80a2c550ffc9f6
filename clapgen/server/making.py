"""Making sounds for requests: what `clapgen generate` and `clapgen edit` make, as bytes and sidecars."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clapgen.errors import ClapgenError
from clapgen.server.answers import MadeSound, MadeSounds
from clapgen.server.work import Job
from generation.destinations import Destination, choose_destination
from generation.requests import GenerationRequest, check_level, checked_setting
from generation.sidecars import stem_of

if TYPE_CHECKING:
    from generation.generator import Callback
    from generation.pipeline import TextToAudio

PREVIEWS = 4  # of a sound, while it is being made
FILE_KEYS = ("format", "rate", "channels")


def request_of(settings: Mapping[str, Any]) -> GenerationRequest:
    """A request out of checked keys. ClapgenError, with the sentences of `TextToAudio.generate`, for a wrong value."""
    from clapgen.data.text import clean_prompt

    values = {key: checked_setting(key, value, key) for key, value in settings.items() if key not in ("prompt", "name")}
    check_level(values)
    return GenerationRequest(clean_prompt(settings["prompt"], "the prompt"), name=settings.get("name"), **values)


def destination_of(values: Mapping[str, Any]) -> Destination:
    """The format of a sound; nothing is written to it. ClapgenError if there is no such format."""
    try:
        return choose_destination(
            None, values.get("format"), rate=values.get("rate"), channels=values.get("channels") or 1
        )
    except ClapgenError as error:
        raise ClapgenError(str(error).replace("--", "")) from error


def make_sounds(
    job: Job,
    generator: TextToAudio,
    requests: Sequence[GenerationRequest],
    destination: Destination,
    preview: bool = False,
    upload: Path | None = None,
) -> MadeSounds:
    """Generate sounds one after another, or edit an upload.

    The settings, and thus the bytes, are those that the command line has; an upload is known by its name alone.
    """
    made = MadeSounds([])
    for number, request in enumerate(requests):
        there = request
        if upload is not None and request.edit is not None:
            there = replace(request, edit=replace(request.edit, path=str(upload)))
        callback = _reporting(job, generator, request, number, len(requests), preview)
        [generation] = generator.generate([there.prompt], callback=callback, **_own(there))
        made.sounds.append(encoded(request, generation, destination, generator))
        made.warnings += [each for each in generation.warnings if each not in made.warnings]
    return made


def encoded(request: GenerationRequest, generation: Any, destination: Destination, generator: TextToAudio) -> MadeSound:
    """A generated sound as a file in memory."""
    from generation.rendering import encode_clip

    sidecar, content = encode_clip(request, generation, destination, generator)
    stem = stem_of(request)
    more = {"sha256": hashlib.sha256(content).hexdigest(), "file": stem + destination.suffix}
    return MadeSound(content, {**sidecar, **more}, stem, destination.suffix)


def _own(request: GenerationRequest) -> dict[str, Any]:
    settings = request.settings()
    return {**settings, "seeds": [settings.pop("seed")]}


def _reporting(
    job: Job, generator: TextToAudio, request: GenerationRequest, number: int, count: int, preview: bool
) -> Callback:
    """Reports every step, and now and then what the sound is like so far."""
    every: Callable[[int], int] = lambda steps: max(1, steps // (PREVIEWS + 1))  # noqa: E731

    def report(step: Mapping[str, Any]) -> None:
        steps = step["num_steps"]
        one = steps * step["num_items"]
        picture = None
        if preview and 0 < step["i"] < steps - 1 and step["i"] % every(steps) == 0:
            picture = _preview(generator, step, request)
        job.report(number * one + step["item"] * steps + step["i"] + 1, count * one, picture)

    return report


def _preview(generator: TextToAudio, step: Mapping[str, Any], request: GenerationRequest) -> dict[str, Any]:
    """The sound that the model now expects, as a small picture of its spectrogram."""
    from clapgen.server.pictures import spectrogram_address

    seconds = request.seconds if request.edit is None else step["x"].shape[-1] / generator.autoencoder.frames_for(1.0)
    [waveform] = generator.decode(step["denoised"][:1], seconds, [0])
    return {"step": step["i"] + 1, "spectrogram": spectrogram_address(waveform, generator.sample_rate)}
