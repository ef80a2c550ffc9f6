"""CLAP scores of generated sounds with their prompts and references, and the bounds to compare them with."""

from __future__ import annotations

from collections.abc import Callable

from clapgen.evaluation.context import try_metric
from clapgen.evaluation.generation.data import Findings, GenerationData, column
from clapgen.metrics.embeddings.clap_score import ClapScore, clap_score, clap_score_bounds
from clapgen.report.model import Metric

SCALE = "cosine −1 to 1, × 1"
NAME = "CLAP score"


def alignment(data: GenerationData) -> Findings:
    """Text–audio, audio–audio and text–text scores, the floor of shuffled prompts, ceiling and floor of real pairs."""
    found = _text_audio(data)
    if data.pairs:
        found += _paired(data)
    if data.reference is not None:
        found += Findings(_bounds(data))
    return found


def _text_audio(data: GenerationData) -> Findings:
    generated, seed = data.generated, data.context.seed
    prompted = [index for index, clip in enumerate(generated.clips) if clip.caption]
    if not prompted:
        note = "no prompts: give --prompts FILE, or keep the .json that `clapgen generate` writes next to a sound"
        return Findings([Metric(f"{NAME}, text–audio", None, 0, scale=SCALE, higher_is_better=True, note=note)])
    prompts = [str(generated.clips[index].caption) for index in prompted]
    text, audio = data.context.embed_texts(prompts), generated.embeddings[prompted]
    score = clap_score(audio, text, seed=seed)
    floor = _try_score(
        f"{NAME}, prompts shuffled (floor)",
        len(prompted),
        lambda: clap_score_bounds(audio, text, groups=prompts, seed=seed).floor,
    )
    warnings = []
    if floor.value is not None and floor.interval and score.mean <= floor.interval[1]:
        warnings.append(
            f"The CLAP score {score.mean:.3f} is not above the score of the same sounds with each other's prompts "
            f"({floor.value:.3f}): they do not follow their prompts."
        )
    columns = {"prompt": column(prompted, prompts), NAME: column(prompted, score.cosines.tolist())}
    return Findings([_metric(f"{NAME}, text–audio", score), floor], columns, warnings)


def _paired(data: GenerationData) -> Findings:
    assert data.reference is not None
    rows, references = data.paired_rows
    seed = data.context.seed
    score = clap_score(data.generated.embeddings[rows], data.reference.embeddings[references], seed=seed)
    metrics = [_metric(f"{NAME}, audio–audio", score, "generated with its own reference")]
    captions = [
        (first.caption, second.caption)
        for first, second in ((data.generated.clips[i], data.reference.clips[j]) for i, j in data.pairs)
        if first.caption and second.caption
    ]
    if captions:
        texts = [data.context.embed_texts([str(pair[side]) for pair in captions]) for side in (0, 1)]
        note = "prompt with the reference's first caption"
        metrics.append(_metric(f"{NAME}, text–text", clap_score(*texts, seed=seed), note))
    columns = {
        "reference": column(rows, [str(data.reference.clips[index].path) for index in references]),
        "audio–audio": column(rows, score.cosines.tolist()),
    }
    return Findings(metrics, columns)


def _bounds(data: GenerationData) -> list[Metric]:
    """References with their own first caption, or else the prompt of the sound they are paired with."""
    assert data.reference is not None
    captions = {index: clip.caption for index, clip in enumerate(data.reference.clips) if clip.caption}
    prompts = {reference: data.generated.clips[generated].caption for generated, reference in data.pairs}
    captions = {index: caption for index, caption in prompts.items() if caption} | captions
    names = f"{NAME} of real pairs (ceiling)", f"{NAME} of real pairs, shuffled (floor)"
    if not captions:
        note = "the references have no captions: give a manifest that has them, or references paired with prompts"
        return [Metric(name, None, 0, scale=SCALE, higher_is_better=None, note=note) for name in names]
    rows = sorted(captions)
    text = [str(captions[row]) for row in rows]
    audio, embedded, seed = data.reference.embeddings[rows], data.context.embed_texts(text), data.context.seed
    return [
        _try_score(names[0], len(rows), lambda: clap_score(audio, embedded, seed=seed)),
        _try_score(names[1], len(rows), lambda: clap_score_bounds(audio, embedded, groups=text, seed=seed).floor),
    ]


def _try_score(name: str, n: int, score: Callable[[], ClapScore]) -> Metric:
    return try_metric(name, n, lambda: _metric(name, score(), better=None), scale=SCALE)


def _metric(name: str, score: ClapScore, note: str = "", better: bool | None = True) -> Metric:
    spread = f"std {score.std:.3f}" if score.std is not None else "one pair: no interval"
    notes = "; ".join(filter(None, (note, spread)))
    return Metric(name, score.mean, len(score.cosines), score.interval, SCALE, better, notes)
