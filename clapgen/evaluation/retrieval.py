"""Retrieval evaluated: finding sounds by their captions, captions by their sounds, and both in other words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from clapgen.data.tables import read_table
from clapgen.embedders.cache import Array
from clapgen.errors import ClapgenError
from clapgen.evaluation.setup import Setup, content_hash, measured, rows_of, skipped
from clapgen.evaluation.sounds import Sound, read_sounds
from clapgen.metrics.embeddings.clap_score import bootstrap_interval
from clapgen.metrics.embeddings.modality_gap import modality_gap
from clapgen.metrics.embeddings.retrieval import RankFigures, Retrieval, retrieval
from clapgen.metrics.embeddings.robustness import paraphrase_robustness
from clapgen.report.model import Metric, Report

WAYS = ("text to audio", "audio to text")
SHOWN_DROPS = ("R@1", "R@5", "R@10", "median_rank", "mAP@10")


def evaluate_retrieval(
    manifest: str | Path, setup: Setup, *, split: str | None = None, paraphrases: str | Path | None = None
) -> Report:
    """R@1/5/10, median rank and mAP@10 both ways over the clips of a manifest and all of their captions.

    Args:
        manifest: with captions, one or several a clip; clips without any are only found. Of `split` if given.
        paraphrases: a table with columns `caption` and `paraphrase`; the figures are measured again with each caption
            that has paraphrases in these words.

    Raises:
        ClapgenError: no captions, nothing that can be read; strict, and a file cannot be read.
    """
    sounds = read_sounds(manifest, split)
    if not any(sound.captions for sound in sounds):
        raise ClapgenError(f'{manifest} has no captions; each clip needs "captions": ["…"] to be searched by.')
    embedded = setup.embed([sound.path for sound in sounds], "Embedding")
    rows = rows_of(embedded)
    kept = [sound for sound in sounds if sound.path in rows]
    captions = [caption for sound in kept for caption in sound.captions]
    owners = np.array([index for index, sound in enumerate(kept) for _ in sound.captions], dtype=np.int64)
    if not captions:
        raise ClapgenError(f"none of the clips of {manifest} that can be read has a caption.")
    text = setup.embed_texts(captions)
    strict = retrieval(embedded.embeddings, text, owners)
    same = retrieval(embedded.embeddings, text, owners, captions=captions)
    metrics = _figures(strict, setup.seed) + _identical(same) + [_gap(kept, embedded.embeddings, text, owners)]
    warnings: list[str] = []
    settings = setup.text_model()
    settings["protocol"] = (
        "every caption asks over all clips; every clip with captions asks over all captions, its best one counts; a "
        "draw counts as wrong"
    )
    settings["N"] = f"{len(kept)} clips, {len(captions)} captions" + (f", split {split}" if split else "")
    settings["content"] = content_hash(embedded)
    settings["seed"] = setup.seed
    if paraphrases is not None:
        more, warnings = _paraphrased(paraphrases, setup, embedded.embeddings, captions, owners)
        metrics += more
    return setup.report(
        "retrieval",
        f"Retrieval: {len(captions)} captions of {len(kept)} clips",
        metrics,
        clips=_clips(kept, strict, owners),
        settings=settings,
        warnings=warnings,
        skipped=skipped(embedded),
        lower_is_better=["rank of its best caption", "worst rank by its captions"],
    )


def _figures(found: Retrieval, seed: int) -> list[Metric]:
    metrics = []
    for name, way in zip(WAYS, (found.text_to_audio, found.audio_to_text), strict=True):
        n, ask = way.queries, f"{way.queries} queries over {way.gallery}"
        for k in way.recalls:
            hits = (way.ranks <= k).astype(np.float64)
            interval = bootstrap_interval(hits, seed=seed) if n > 1 else None
            note = f"{ask}; chance {_chance(way, k):.4f}"
            metrics.append(Metric(f"{name} R@{k}", way.recalls[k], n, interval, "0 to 1", True, note))
        metrics.append(Metric(f"{name} median rank", way.median_rank, n, None, f"1 to {way.gallery}", False, ask))
        interval = bootstrap_interval(way.average_precisions, seed=seed) if n > 1 else None
        metrics.append(Metric(f"{name} mAP@10", way.mean_average_precision, n, interval, "0 to 1", True, ask))
    return metrics


def _chance(way: RankFigures, k: int) -> float:
    return min(1.0, k / way.gallery)


def _identical(found: Retrieval) -> list[Metric]:
    """The same recalls where every clip that has a caption's words is right."""
    note = "equal captions are one: each clip that has it is right"
    return [
        Metric(f"{name} R@{k}, identical captions", recall, way.queries, None, "0 to 1", True, note)
        for name, way in zip(WAYS, (found.text_to_audio, found.audio_to_text), strict=True)
        for k, recall in way.recalls.items()
    ]


def _gap(sounds: list[Sound], audio: Array, text: Array, owners: np.ndarray) -> Metric:
    captioned, first = np.unique(owners, return_index=True)
    name, note = "Modality gap", "distance of the mean sound from the mean first caption"
    return measured(
        name,
        len(captioned),
        lambda: modality_gap(audio[captioned], text[first]).centroid_distance,
        scale="0 to 2",
        higher_is_better=None,
        note=note,
    )


def _paraphrased(
    path: str | Path, setup: Setup, audio: Array, captions: list[str], owners: np.ndarray
) -> tuple[list[Metric], list[str]]:
    rows = read_table(path, {"caption": ("caption",), "paraphrase": ("paraphrase",)})
    others: dict[str, list[str]] = {}
    for row in rows:
        others.setdefault(row.cells["caption"], []).append(row.cells["paraphrase"])
    spaced = [" ".join(caption.split()) for caption in captions]
    pairs = [(index, other) for index, caption in enumerate(spaced) for other in others.get(caption, [])]
    if not pairs:
        raise ClapgenError(f"no caption of {path} is one of the manifest's; its first is '{rows[0].cells['caption']}'.")
    unknown = [caption for caption in others if caption not in set(spaced)]
    warnings = []
    if unknown:
        warning = f"{len(unknown)} captions of {path} are not in the manifest, the first is '{unknown[0]}'."
        warnings.append(setup.differ(warning, "Take them out."))
    indices = [index for index, _ in pairs]
    text = setup.embed_texts([captions[index] for index in indices])
    found = paraphrase_robustness(audio, text, setup.embed_texts([other for _, other in pairs]), owners[indices])
    n = len(pairs)
    metrics = [Metric("caption–paraphrase cosine", found.cosine, n, None, "−1 to 1", True)]
    before, after = found.original.as_dict(), found.paraphrased.as_dict()
    for way in WAYS:
        for name in SHOWN_DROPS:
            key = f"{way.replace(' ', '_')}/{name}"
            label, rank = f"{way} {name.replace('_', ' ')}", name.endswith("rank")
            note = f"{before[key]:.4g} in the captions' own words; loses {found.drops[key] + 0.0:.4g}"
            scale = "1 or more" if rank else "0 to 1"
            metrics.append(Metric(f"{label}, paraphrased", after[key], n, None, scale, not rank, note))
    return metrics, warnings


def _clips(sounds: list[Sound], found: Retrieval, owners: np.ndarray) -> list[dict[str, Any]]:
    audio_ranks = dict(zip(found.asking.tolist(), found.audio_to_text.ranks.tolist(), strict=True))
    precisions = dict(zip(found.asking.tolist(), found.audio_to_text.average_precisions.tolist(), strict=True))
    worst: dict[int, int] = {}
    for owner, rank in zip(owners.tolist(), found.text_to_audio.ranks.tolist(), strict=True):
        worst[owner] = max(worst.get(owner, 0), rank)
    return [
        {
            "path": str(sound.path),
            "caption": sound.caption,
            "rank of its best caption": audio_ranks.get(index),
            "worst rank by its captions": worst.get(index),
            "AP@10": precisions.get(index),
        }
        for index, sound in enumerate(sounds)
    ]
