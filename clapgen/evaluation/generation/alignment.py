"""CLAP scores of generations: with their prompts, with their references, and between which bounds to read them."""

from __future__ import annotations

from collections.abc import Callable

from clapgen.evaluation.generation.sound_sets import Material
from clapgen.evaluation.setup import measured
from clapgen.metrics.embeddings.clap_score import ClapScore, clap_score, clap_score_bounds
from clapgen.report.model import Metric

SCALE = "cosine −1 to 1, × 1"
NAME = "CLAP score"


def alignment_figures(material: Material) -> list[Metric]:
    """Text–audio, audio–audio and text–text scores, the floor of shuffled prompts, ceiling and floor of real pairs."""
    metrics = _text_audio(material)
    if material.reference is not None:
        if material.pairs:
            metrics += _paired(material)
        metrics += _bounds(material)
    return metrics


def _text_audio(material: Material) -> list[Metric]:
    generated, seed = material.generated, material.setup.seed
    prompted = [index for index, sound in enumerate(generated.sounds) if sound.caption]
    if not prompted:
        note = "no prompts: give --prompts FILE, or keep the .json that `clapgen generate` writes beside a sound"
        return [Metric(f"{NAME}, text–audio", None, 0, scale=SCALE, higher_is_better=True, note=note)]
    prompts = [str(generated.sounds[index].caption) for index in prompted]
    text, audio = material.setup.embed_texts(prompts), generated.embeddings[prompted]
    score = clap_score(audio, text, seed=seed)
    material.fill("prompt", prompted, prompts)
    material.fill(NAME, prompted, score.cosines.tolist())
    metrics = [_figure(f"{NAME}, text–audio", score)]
    floor = _measured(
        f"{NAME}, prompts shuffled (floor)",
        len(prompted),
        lambda: clap_score_bounds(audio, text, groups=prompts, seed=seed).floor,
    )
    if floor.value is not None and floor.interval and score.mean <= floor.interval[1]:
        material.warnings.append(
            f"The CLAP score {score.mean:.3f} is not above what the same sounds reach with each other's prompts "
            f"({floor.value:.3f}): they do not follow their prompts."
        )
    return [*metrics, floor]


def _paired(material: Material) -> list[Metric]:
    assert material.reference is not None
    made, real = material.pair_rows()
    score = clap_score(
        material.generated.embeddings[made], material.reference.embeddings[real], seed=material.setup.seed
    )
    material.fill("reference", made, [str(material.reference.sounds[index].path) for index in real])
    material.fill("audio–audio", made, score.cosines.tolist())
    metrics = [_figure(f"{NAME}, audio–audio", score, "generated with its own reference")]
    both = [
        (first.caption, second.caption)
        for first, second in ((material.generated.sounds[i], material.reference.sounds[j]) for i, j in material.pairs)
        if first.caption and second.caption
    ]
    if both:
        texts = [material.setup.embed_texts([str(pair[side]) for pair in both]) for side in (0, 1)]
        score = clap_score(*texts, seed=material.setup.seed)
        metrics.append(_figure(f"{NAME}, text–text", score, "prompt with the reference's first caption"))
    return metrics


def _bounds(material: Material) -> list[Metric]:
    """Of the references with their own first caption, or the prompt of the sound they are paired with."""
    assert material.reference is not None
    captions = {index: sound.caption for index, sound in enumerate(material.reference.sounds) if sound.caption}
    prompts = {real: material.generated.sounds[made].caption for made, real in material.pairs}
    captions = {index: caption for index, caption in prompts.items() if caption} | captions
    names = f"{NAME} of real pairs (ceiling)", f"{NAME} of real pairs, shuffled (floor)"
    if not captions:
        note = "the references have no captions: give a manifest that has them, or references paired with prompts"
        return [Metric(name, None, 0, scale=SCALE, higher_is_better=None, note=note) for name in names]
    rows = sorted(captions)
    text = [str(captions[row]) for row in rows]
    audio = material.reference.embeddings[rows]
    embedded = material.setup.embed_texts(text)
    seed = material.setup.seed
    return [
        _measured(names[0], len(rows), lambda: clap_score(audio, embedded, seed=seed)),
        _measured(names[1], len(rows), lambda: clap_score_bounds(audio, embedded, groups=text, seed=seed).floor),
    ]


def _measured(name: str, n: int, score: Callable[[], ClapScore]) -> Metric:
    return measured(name, n, lambda: _figure(name, score(), better=None), scale=SCALE)


def _figure(name: str, score: ClapScore, note: str = "", better: bool | None = True) -> Metric:
    spread = f"std {score.std:.3f}" if score.std is not None else "one pair: no interval"
    notes = "; ".join(filter(None, (note, spread)))
    return Metric(name, score.mean, len(score.cosines), score.interval, SCALE, better, notes)
