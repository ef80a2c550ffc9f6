"""`render`: from requests to files on disk, skipping those that are finished. Prints nothing and imports no torch."""

from __future__ import annotations

import contextlib
import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clapgen.devices import circumstances
from generation.destinations import FORMATS, Destination, choose_destination
from generation.generator import Callback, Generation, Generator
from generation.requests import GenerationRequest
from generation.sidecars import comment_of, find_finished, planned_sidecar, save_clip, stem_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Progress = Callable[[Sequence[GenerationRequest]], AbstractContextManager[Callback | None]]


@dataclass(frozen=True)
class SavedClip:
    """A sound file and its sidecar; if it was not finished before, also the sound and the seconds that it took."""

    path: Path
    sidecar: dict[str, Any]
    request: GenerationRequest
    generation: Generation | None = None
    took: float = 0.0


def split_finished(
    requests: Sequence[GenerationRequest], destination: Destination, identity: Mapping[str, Any]
) -> tuple[list[SavedClip], list[GenerationRequest]]:
    """Clips that are already in the destination's folder, and the requests that remain, each once.

    Args:
        identity: what `describe` of the generator returns; the generator itself need not be loaded.
    """
    finished, remaining = [], []
    for request in dict.fromkeys(requests):
        planned = planned_sidecar(request, destination, identity)
        found = (
            None
            if destination.file or destination.stream
            else find_finished(destination.folder, stem_of(request), planned)
        )
        if found is None:
            remaining.append(request)
        else:
            finished.append(SavedClip(*found, request))
    return finished, remaining


def render(
    requests: Sequence[GenerationRequest],
    destination: Destination | str | Path,
    generator: Generator,
    batch_size: int = 1,
    overwrite: bool = False,
    progress: Progress = lambda _: contextlib.nullcontext(),
) -> Iterator[SavedClip]:
    """Generate sounds, save each with its sidecar, and yield it; clips that are finished come first, as they are.

    Args:
        destination: a folder, the name of one sound file, or "-" for standard output; see `choose_destination`.
        batch_size: sounds generated at once, if their settings differ in prompt and seed only.
        overwrite: generate finished clips again and replace existing files.
        progress: called with each batch; the context manager that it returns gives `generate` its callback.

    Raises:
        ClapgenError: a sound cannot be generated or written; those before it are saved.
    """
    remaining = list(dict.fromkeys(requests))
    if not isinstance(destination, Destination):
        destination = choose_destination(Path(destination), several=len(remaining) > 1)
    if not overwrite:
        finished, remaining = split_finished(requests, destination, generator.describe())
        yield from finished
    for batch in _batches(remaining, batch_size):
        started = time.perf_counter()
        with progress(batch) as callback:
            generations = generator.generate(
                [request.prompt for request in batch],
                seeds=[request.seed for request in batch],
                callback=callback,
                **batch[0].settings(),
            )
        for request, generation in zip(batch, generations, strict=True):
            path, sidecar = _save(request, generation, destination, generator, overwrite)
            yield SavedClip(path, sidecar, request, generation, (time.perf_counter() - started) / len(batch))


def _batches(requests: Sequence[GenerationRequest], batch_size: int) -> Iterator[list[GenerationRequest]]:
    """Neighbours that differ only in prompt, seed and name can be generated together."""
    for _, group in itertools.groupby(requests, key=lambda request: {**request.settings(), "seed": 0}):
        together = list(group)
        for start in range(0, len(together), batch_size):
            yield together[start : start + batch_size]


def _save(
    request: GenerationRequest, generation: Generation, destination: Destination, generator: Generator, overwrite: bool
) -> tuple[Path, dict[str, Any]]:
    sidecar, content = encode_clip(request, generation, destination, generator)
    return save_clip(destination, stem_of(request), sidecar, content, overwrite)


def encode_clip(
    request: GenerationRequest, generation: Generation, destination: Destination, generator: Generator
) -> tuple[dict[str, Any], bytes]:
    """The sidecar of a generated sound, still without its `file` and `sha256`, and the bytes of its file."""
    from clapgen.audio import encode_audio

    suffix, bits = FORMATS[destination.audio_format]
    path = destination.file or destination.folder / (stem_of(request) + suffix)
    rate = destination.rate or generation.sample_rate
    made = request if generation.novelty is None else replace(request, seed=generation.novelty["seed"])
    sidecar = {
        **planned_sidecar(made, destination, generator.describe()),
        **({} if generation.novelty is None else {"novelty": generation.novelty}),
        "score": generation.score,
        "candidate_scores": generation.candidate_scores,
        "candidate_seed": generation.seed,
        "decoder_peak": generation.decoder_peak if math.isfinite(generation.decoder_peak) else None,
        "gain": generation.gain,
        "sample_rate": rate,
        "warnings": generation.warnings,
        **circumstances(generator.device),
    }
    waveform = _for_file(generation.waveform, generation.sample_rate, rate, destination.channels)
    return sidecar, encode_audio(path, waveform, rate, bits, comment_of(sidecar))


def _for_file(waveform: NDArray[np.float32], from_rate: int, rate: int, channels: int) -> NDArray[np.float32]:
    """At the rate of the file, no louder than before (filters overshoot), and in all its channels."""
    from clapgen.audio import resample

    resampled = resample(waveform, from_rate, rate)
    before, after = (float(abs(each).max(initial=0.0)) for each in (waveform, resampled))
    if after > before:
        resampled = resampled * (before / after)
    return resampled if channels == 1 else resampled[None].repeat(channels, axis=0)
