"""Localisation evaluated on sounds whose content is known: frames, segments, false alarms, calibration."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clapgen.audio import read_audio
from clapgen.data.events import LabelledSound, read_events
from clapgen.errors import ClapgenError
from clapgen.evaluation.context import EvaluationContext, digest_summary
from clapgen.evaluation.localised_metrics import Curves, baseline_metrics, class_rows, clip_rows, metrics_of
from clapgen.evaluation.localised_sounds import (
    Answer,
    KnownSound,
    RawCosine,
    answer,
    asked_queries,
    text_rows,
)
from clapgen.evaluation.simulated_scenes import composed_sounds
from clapgen.localisation.curves import CurveReader
from clapgen.localisation.frames import WINDOW_SECONDS, FrameEmbedder, WindowFrames, frame_embedder
from clapgen.localisation.probabilities import FrameProbability, frame_probability
from clapgen.localisation.segments import SegmentRules
from clapgen.metrics.embeddings.zero_shot import class_prompts
from clapgen.metrics.localisation.segments import COLLAR
from clapgen.report.model import Report, Skipped

ABSENT = 16


@dataclass(frozen=True)
class LocalisationOptions:
    """How localisation is evaluated.

    Attributes:
        absent: how many labels that are not in a sound are asked of it, drawn with the context's seed.
        threshold: the probability from which on a sound counts as found; the model's own if None.
        template: the prompt with {label} for a label; the one that the probabilities were fitted with if None.
        collar: seconds by which the ends of a segment may be wrong.
        window: seconds of the windows whose cosine is the baseline.
    """

    absent: int = ABSENT
    threshold: float | None = None
    template: str | None = None
    collar: float = COLLAR
    window: float = WINDOW_SECONDS

    def __post_init__(self) -> None:
        for name, value in (("collar", self.collar), ("window", self.window)):
            if not 0 < value < math.inf:
                raise ClapgenError(f"the {name} must be above 0 seconds, not {value:g}.")
        if self.threshold is not None:
            SegmentRules(self.threshold)  # checks it


def evaluate_localisation(
    source: str | Path,
    context: EvaluationContext,
    options: LocalisationOptions | None = None,
    *,
    split: str | None = None,
    compose: int | None = None,
    label_field: str = "labels",
    probability: FrameProbability | None = None,
) -> Report:
    """Ask each recording for the sounds that are in it, and for some that are not, and compare with the truth.

    Args:
        source: a manifest or table with events; see `clapgen.data.events.read_events`.
        split: only this split of it.
        compose: instead, how many scenes to compose of the labelled clips of the manifest.
        label_field: key of the manifest with the class of a clip, for `compose`.
        probability: how cosines become probabilities, instead of the model's own.

    Raises:
        ClapgenError: no events, or no sound can be read; strict, and a sound cannot be read.
    """
    options, rate = options or LocalisationOptions(), context.clap.sample_rate
    of_split = f", split {split}" if split else ""
    if compose is not None:
        known, clips, unusable = composed_sounds(source, compose, context, label_field=label_field, split=split)
        digests = [file.digest for file in context.identify(clips)]
        content = f"{compose} scenes of the clips of {source}{of_split}: {digest_summary(digests)}"
        return evaluate_known_sounds(
            known, context, options, probability=probability, content=content, skipped=unusable
        )
    if label_field != "labels":
        raise ClapgenError("--label-field is the class of clips that are composed; give --compose too.")
    labelled = read_events(source, split)
    sounds = [KnownSound(str(each.path), each.events, _reader(each, rate), each.also) for each in labelled]
    files = context.identify([each.path for each in labelled])
    return evaluate_known_sounds(
        sounds,
        context,
        options,
        probability=probability,
        content=f"{source}{of_split}: {digest_summary([file.digest for file in files])}",
        files={str(each.path) for each in labelled},
    )


def evaluate_known_sounds(
    sounds: Sequence[KnownSound],
    context: EvaluationContext,
    options: LocalisationOptions,
    *,
    probability: FrameProbability | None = None,
    content: str = "",
    files: set[str] | None = None,
    skipped: Sequence[Skipped] = (),
) -> Report:
    """`evaluate_localisation` of sounds that are given; `content` says in words what they are."""
    clap = context.clap
    probability = probability or frame_probability(clap)
    template = options.template or probability.template
    rules = SegmentRules(probability.threshold if options.threshold is None else options.threshold)
    frames: FrameEmbedder = frame_embedder(clap)
    windows = WindowFrames(clap, options.window)
    ways = [(frames, probability), (windows, RawCosine())]
    (answers, baseline), unread = answers_of(sounds, context, options, template, ways)
    if not answers:
        raise ClapgenError(f"none of the {len(sounds)} sounds could be read: {unread[0].reason}")
    curves = Curves(answers, rules, options.collar)
    own = metrics_of(curves, context.seed)
    asked = [query for each in answers for query in each.queries]
    hours = sum(each.seconds for each in answers) / 3600
    return context.report(
        "localisation",
        f"Localisation: {len(answers)} sounds of {60 * hours:.1f} minutes, {len(set(asked))} labels",
        own + baseline_metrics(Curves(baseline, rules, options.collar), "window cosine"),
        clips=clip_rows(curves),
        classes=class_rows(curves),
        settings=context.describe_model()
        | {
            "frames": f"{frames.rate:g} a second from {frames.policy}",
            "probabilities": probability.description,
            "silence": "moments that peak below -60 dBFS have probability 0, and do not count in AUROC and calibration",
            "threshold": rules.threshold,
            "segments": f"at least {rules.min_seconds:g} s; gaps up to {rules.max_gap:g} s are closed; they last while "
            f"the probability is above {rules.hysteresis:g} of the threshold",
            "baseline": f"cosine of {windows.policy}, by a logistic function fitted on the evaluated sounds",
            "template": template,
            "queries": f"{len(asked)}; in each sound its own labels and up to {options.absent} absent ones",
            "content": content,
            "seed": context.seed,
        },
        skipped=[*skipped, *unread],
        lower_is_better=["false"],
        sounds=files or set(),
    )


def answers_of(
    sounds: Sequence[KnownSound],
    context: EvaluationContext,
    options: LocalisationOptions,
    template: str,
    ways: Sequence[tuple[FrameEmbedder, FrameProbability]],
) -> tuple[list[list[Answer]], list[Skipped]]:
    """The answers of several ways to find a sound, and the sounds that could not be read."""
    labels = sorted({label for sound in sounds for label in sound.labels})
    texts = context.embed_texts(class_prompts(labels, template))
    answers: list[list[Answer]] = [[] for _ in ways]
    skipped = []
    with context.progress(len(sounds), "Locating") as advance:
        for sound, queries in zip(sounds, asked_queries(sounds, options.absent, context.seed), strict=True):
            advance(1)
            try:
                waveform = sound.read()
                _check_events(sound, len(waveform) / context.clap.sample_rate)
            except ClapgenError as error:
                if context.strict:
                    raise
                skipped.append(Skipped(sound.name, str(error)))
                continue
            if not queries:
                continue
            rows = text_rows(texts, labels, queries)
            for own, (frames, probability) in zip(answers, ways, strict=True):
                own.append(answer(sound, waveform, queries, CurveReader(context.clap, rows, probability, frames)))
    return answers, skipped


def _check_events(sound: KnownSound, seconds: float) -> None:
    for event in sound.events:
        if event.start >= seconds:
            raise ClapgenError(
                f"{sound.name}: the event '{event.label[:60]}' starts at {event.start:g} s, but the sound lasts "
                f"{seconds:.3g} s."
            )


def _reader(sound: LabelledSound, sample_rate: int) -> Callable[[], np.ndarray]:
    return lambda: read_audio(sound.path, sample_rate)[0]
