"""Scenes composed from labelled clips while localisation is evaluated on them; nothing is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from clapgen.audio import read_audio
from clapgen.data.events import TimedLabel
from clapgen.data.manifest import Clip
from clapgen.data.splits import check_class_field
from clapgen.data.text import readable_label
from clapgen.embedders.file_identity import worker_count
from clapgen.errors import ClapgenError
from clapgen.evaluation.context import EvaluationContext
from clapgen.evaluation.localised_sounds import KnownSound
from clapgen.evaluation.sounds import read_sounds
from clapgen.report.model import Skipped
from clapgen.scenes import Scene, SceneClip, SceneOptions, SceneSampler, scene_clip
from clapgen.scenes.rendering import render
from clapgen.training.seeds import step_seed

SECONDS = 10.0  # of a scene, at most


def composed_sounds(
    manifest: str | Path,
    count: int,
    context: EvaluationContext,
    *,
    label_field: str = "labels",
    split: str | None = None,
    seconds: float = SECONDS,
) -> tuple[list[KnownSound], list[Path], list[Skipped]]:
    """`count` scenes of the clips of a manifest, drawn with the context's seed; the clips, and those not usable.

    A scene is rendered when it is read. Single sounds are left out: there is nothing to locate in them.

    Args:
        label_field: key of the manifest with the class of a clip, which is what it is called; its labels are true of it
            too.
        seconds: of the longest scene.

    Raises:
        ClapgenError: no clip can be used; strict, and a clip cannot be read.
    """
    clips = read_sounds(manifest, split, context.notes)
    field = "" if label_field == "labels" else label_field
    check_class_field(clips, field)
    facts, skipped = _facts(clips, field, context)
    if not facts:
        raise ClapgenError(f"no clip of {manifest} can be read: {skipped[0].reason}")
    usable = [clip for clip, _ in facts]
    sampler = SceneSampler([fact for _, fact in facts], SceneOptions(single=0.0), seconds)
    rate = context.clap.sample_rate
    sounds = []
    for number in range(count):
        seed = step_seed(context.seed, number, 0)
        scene = sampler.draw(torch.Generator().manual_seed(seed))
        events = tuple(TimedLabel(readable_label(each.label), each.start, each.end) for each in scene.events)
        also = tuple(name for each in scene.events for name in sampler.clips[each.clip].names)
        sounds.append(KnownSound(f"scene {number}", events, _reader(scene, usable, rate, seed), also))
    return sounds, [clip.path for clip in usable], skipped


def _facts(
    clips: Sequence[Clip], field: str, context: EvaluationContext
) -> tuple[list[tuple[Clip, SceneClip]], list[Skipped]]:
    rate = context.clap.sample_rate

    def read(clip: Clip) -> SceneClip | ClapgenError:
        try:
            waveform, _ = read_audio(clip.path, rate)
        except ClapgenError as error:
            return error
        return scene_clip(clip, len(waveform) / rate, field, waveform=waveform, sample_rate=rate)

    facts, skipped = [], []
    with context.progress(len(clips), "Reading") as advance, ThreadPoolExecutor(worker_count()) as pool:
        for clip, fact in zip(clips, pool.map(read, clips), strict=True):
            advance(1)
            if isinstance(fact, SceneClip):
                facts.append((clip, fact))
            elif context.strict:
                raise fact
            else:
                skipped.append(Skipped(str(clip.path), str(fact)))
    return facts, skipped


def _reader(scene: Scene, clips: Sequence[Clip], sample_rate: int, seed: int) -> Callable[[], npt.NDArray[np.float32]]:
    def read() -> npt.NDArray[np.float32]:
        waveforms = {each.clip: read_audio(clips[each.clip].path, sample_rate)[0] for each in scene.events}
        return render(scene, waveforms, sample_rate, seed).waveform

    return read
