"""What `clapgen generate` prints: a line or a JSON object per sound, a progress bar, and warnings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clapgen.cli.console import print_json, print_result, print_warning
from clapgen.terminal import progress

if TYPE_CHECKING:
    from generation.generator import Callback, Generator
    from generation.rendering import SavedClip
    from generation.requests import GenerationRequest


def warn_of_prompts(generator: Generator, requests: Sequence[GenerationRequest]) -> None:
    """Print what may keep the generator from following a prompt, once for each prompt."""
    prompts = [text for request in requests for text in (request.prompt, request.negative_prompt) if text]
    for warnings in generator.prompt_warnings(prompts).values():
        for warning in warnings:
            print_warning(warning)


def warn_of_repeats(requests: Sequence[GenerationRequest]) -> None:
    """Announce that equal requests give one sound."""
    from generation.requests import repeated

    found = repeated(requests)
    if not found:
        return
    request, times = next(iter(found.items()))
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    print_warning(
        f"'{request.prompt[:40]}' is given {times} times with the same settings{more}, which makes one sound; "
        "--count N makes N with different seeds."
    )


def progress_bar(total: int) -> Callable[[Sequence[GenerationRequest]], AbstractContextManager[Callback]]:
    """A bar for each batch of `render`, counting the steps of all its sounds."""
    started = 0

    @contextmanager
    def bar(batch: Sequence[GenerationRequest]) -> Iterator[Callback]:
        nonlocal started
        first, steps = batch[0], batch[0].num_steps
        description = f"sound {started + 1} of {total}: {first.prompt[:40]}"
        started += len(batch)
        with progress(len(batch) * first.candidates * steps, "steps") as update:
            update(0, description)
            yield lambda step: update(step["item"] * steps + step["i"] + 1, description)

    return bar


@dataclass
class Output:
    """Prints clips as they are finished, and draws their spectrograms."""

    plot: bool
    as_json: bool
    replace_plots: bool
    original: dict[str, Any] | None  # sidecar of the sound that is generated again
    count: int = 0

    def show(self, clip: SavedClip) -> None:
        """Print a clip, draw its spectrogram if requested, and compare it with the original if there is one."""
        skipped = clip.generation is None
        self.count += 1
        if self.plot:
            self._draw(clip)
        if self.as_json:
            print_json({**clip.sidecar, "path": str(clip.path), "skipped": skipped})
        elif skipped:
            print_warning(f"Skipping {clip.path}: already generated with these settings (--force regenerates).")
        else:
            score, sidecar = clip.sidecar["score"], clip.sidecar
            scored = "" if score is None else f", CLAP score {score:.2f}"
            made = clip.generation
            seconds = sidecar["seconds"] if made is None else len(made.waveform) / made.sample_rate
            line = f"{clip.path}  ({seconds:.4g} s, seed {sidecar['seed']}{scored}, took {clip.took:.1f} s)"
            if str(clip.path) == "-":  # the sound itself is on stdout
                print_warning(line)
            else:
                print_result(line)
        if self.original is not None and not skipped:
            self._compare(clip.sidecar, self.original)

    def _draw(self, clip: SavedClip) -> None:
        from clapgen.audio import read_audio
        from clapgen.plot import spectrogram_png

        png = clip.path.with_suffix(".png")
        if clip.generation is not None:
            sound = clip.generation.waveform, clip.generation.sample_rate
            spectrogram_png(*sound, png, clip.request.prompt, overwrite=self.replace_plots)
        elif not png.exists():
            spectrogram_png(*read_audio(clip.path), png, clip.request.prompt)

    def _compare(self, sidecar: dict[str, Any], original: dict[str, Any]) -> None:
        from generation.sidecars import differences, settings_of

        if settings_of(original) != settings_of(sidecar):
            return
        if original["sha256"] == sidecar["sha256"]:
            print_warning("identical to the original, bit for bit.")
        else:
            print_warning(
                f"same settings and weights as the original, but different bits: {differences(original, sidecar)}."
            )
