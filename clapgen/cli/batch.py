"""Runs a batch of requests: finished clips are skipped, the others made and saved one after another."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clapgen.cli import clips
from clapgen.cli.console import garbage_collector_off, print_json, print_result, print_warning, spinner
from clapgen.cli.prompts import ClipRequest
from clapgen.devices import choose_device
from clapgen.terminal import progress

if TYPE_CHECKING:
    from generation.pipeline import Generation, TextToAudio


@dataclass(frozen=True)
class Plan:
    """What to make, where, and by which model: all that is known before the model is loaded."""

    requests: list[ClipRequest]
    destination: clips.Destination
    model: str
    hashes: dict[str, str]
    device: str
    dtype: str
    batch_size: int
    force: bool
    plot: bool
    as_json: bool
    original: Mapping[str, Any] | None = None  # sidecar of the clip to make again

    def settings(self, request: ClipRequest) -> dict[str, Any]:
        """All that decides the bytes of one clip."""
        return clips.settings_of(request, self.destination.audio_format, self.dtype, self.hashes)


def run(plan: Plan) -> None:
    """Make the clips of a plan that are not finished yet. Ctrl-C leaves the finished ones whole."""
    remaining = _unfinished(plan)
    if not remaining:
        return
    with garbage_collector_off(), spinner("Loading the model"):
        pipeline = _load(plan)
    _warn_of_cut_prompts(pipeline, remaining)
    made = 0
    try:
        for batch in _batches(remaining, plan.batch_size):
            started = time.perf_counter()
            generations = _generate(plan, pipeline, batch, f"sound {made + 1} of {len(remaining)}")
            for request, generation in zip(batch, generations, strict=True):
                path, sidecar = _save(plan, pipeline, request, generation)
                made += 1
                _report(plan, path, sidecar, (time.perf_counter() - started) / len(batch))
    except KeyboardInterrupt:
        rest = "run the same command again to make the rest" if len(remaining) > 1 else "nothing was written"
        raise KeyboardInterrupt(f"interrupted; {made} of {len(remaining)} sounds are finished, {rest}.") from None


def _unfinished(plan: Plan) -> list[ClipRequest]:
    """Requests without a finished clip, each once; says which are there already."""
    remaining: dict[ClipRequest, None] = {}
    for request in plan.requests:
        finished = None
        if plan.destination.file is None and not plan.force:
            finished = clips.find_finished(plan.destination.folder, clips.stem_of(request), plan.settings(request))
        if finished is None:
            remaining[request] = None
            continue
        if plan.plot and not finished.with_suffix(".png").exists():
            _draw(finished, request.prompt)
        if plan.as_json:
            print_json({**clips.read_sidecar(finished), "path": str(finished), "skipped": True})
        else:
            print_warning(f"{finished} is finished already, with the same settings (--force makes it again).")
    return list(remaining)


def _draw(audio: Path, prompt: str) -> None:
    from clapgen.audio import read_audio
    from clapgen.plot import spectrogram_png

    spectrogram_png(*read_audio(audio), audio.with_suffix(".png"), prompt)


def _load(plan: Plan) -> TextToAudio:
    from generation.pipeline import TextToAudio

    return TextToAudio.from_pretrained(plan.model, device=choose_device(plan.device), dtype=plan.dtype)


def _warn_of_cut_prompts(pipeline: TextToAudio, requests: list[ClipRequest]) -> None:
    limit = pipeline.clap.text_tower.max_tokens
    for request in requests:
        tokens = len(pipeline.clap.tokenizer.encode(request.prompt).ids)
        if tokens > limit:
            print_warning(f"'{request.prompt[:40]}…' has {tokens} tokens; the model reads the first {limit}.")


def _batches(requests: list[ClipRequest], batch_size: int) -> Iterator[list[ClipRequest]]:
    """Neighbours that differ in prompt, seed and name only can be made together."""
    for _, group in itertools.groupby(requests, key=lambda request: replace(request, prompt="", seed=0, name=None)):
        together = list(group)
        for start in range(0, len(together), batch_size):
            yield together[start : start + batch_size]


def _generate(plan: Plan, pipeline: TextToAudio, batch: list[ClipRequest], label: str) -> list[Generation]:
    settings = batch[0]
    description = f"{label}: {settings.prompt[:40]}"
    with progress(len(batch) * settings.candidates * settings.steps, "steps") as update:
        update(0, description)
        return pipeline.generate(
            [request.prompt for request in batch],
            seconds=settings.seconds,
            num_steps=settings.steps,
            guidance_scale=settings.guidance,
            negative_prompt=settings.negative,
            seeds=[request.seed for request in batch],
            candidates=settings.candidates,
            callback=lambda step: update(step["item"] * settings.steps + step["i"] + 1, description),
        )


def _save(
    plan: Plan, pipeline: TextToAudio, request: ClipRequest, generation: Generation
) -> tuple[Path, dict[str, Any]]:
    from clapgen.audio import write_audio
    from clapgen.plot import spectrogram_png

    waveform, sample_rate = generation.waveform, generation.sample_rate
    bits = clips.FORMATS[plan.destination.audio_format][1]
    path, sidecar = clips.save_clip(
        plan.destination,
        clips.stem_of(request),
        _sidecar(plan, pipeline, request, generation),
        lambda temporary: write_audio(temporary, waveform, sample_rate, bits=bits, overwrite=True),
        plan.force,
    )
    if plan.plot:
        replace_plot = plan.force or plan.destination.file is None  # in a folder the name is this clip's own
        spectrogram_png(waveform, sample_rate, path.with_suffix(".png"), request.prompt, overwrite=replace_plot)
    return path, sidecar


def _sidecar(plan: Plan, pipeline: TextToAudio, request: ClipRequest, generation: Generation) -> dict[str, Any]:
    settings = plan.settings(request)
    model = {"name": plan.model, "hashes": settings.pop("hashes")}
    return {
        **settings,
        "model": model,
        "score": generation.score,
        "candidate_scores": generation.candidate_scores,
        "candidate_seed": generation.seed,
        "sample_rate": generation.sample_rate,
        "device": str(pipeline.device),
        "versions": clips.versions(),
    }


def _report(plan: Plan, path: Path, sidecar: dict[str, Any], took: float) -> None:
    if plan.as_json:
        print_json({**sidecar, "path": str(path), "skipped": False})
    else:
        score = sidecar["score"]
        heard = "" if score is None else f", CLAP score {score:.2f}"
        print_result(f"{path}  ({sidecar['seconds']:g} s, seed {sidecar['seed']}{heard}, made in {took:.1f} s)")
    original = plan.original
    if original is None or clips.settings_of_sidecar(dict(original)) != clips.settings_of_sidecar(sidecar):
        return
    if original["sha256"] == sidecar["sha256"]:
        print_warning("the same file as the original, bit for bit.")
    else:
        print_warning(
            "the same settings and weights, but not the same bits as the original: "
            f"it was made on {original.get('device')} with {original.get('versions')}."
        )
