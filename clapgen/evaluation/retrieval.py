"""Retrieval evaluated: sounds by captions, captions by sounds, and both with paraphrased captions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from clapgen.data.manifest import Clip
from clapgen.data.tables import read_table
from clapgen.embedders.cache import Array, Embedded
from clapgen.embedders.segments import Segmented
from clapgen.errors import ClapgenError
from clapgen.evaluation.context import EvaluationContext, content_summary, row_of_path, skipped_files, try_metric
from clapgen.evaluation.groups import group_metrics
from clapgen.evaluation.sounds import read_sounds
from clapgen.metrics.embeddings.clap_score import bootstrap_interval
from clapgen.metrics.embeddings.modality_gap import modality_gap
from clapgen.metrics.embeddings.retrieval import Retrieval, retrieval, retrieval_by_scores
from clapgen.metrics.embeddings.robustness import Robustness, paraphrase_robustness
from clapgen.metrics.embeddings.segments import MEAN_WEIGHT, TEMPERATURE, segment_scores
from clapgen.report.model import Metric, Report
from clapgen.wording.held_out import held_out_paraphrases

WAYS = ("text to audio", "audio to text")
HELD_OUT = "held-out"
PROTOCOL = (
    "each caption is a query over all clips; each clip with captions is a query over all captions, and its best-ranked "
    "one counts; ties count as wrong"
)
SHOWN_DROPS = ("R@1", "R@5", "R@10", "median_rank", "mAP@10")


def evaluate_retrieval(
    manifest: str | Path,
    context: EvaluationContext,
    *,
    split: str | None = None,
    paraphrases: str | Path | None = None,
    by: str | None = None,
    segments: bool = False,
) -> Report:
    """R@1/5/10, median rank and mAP@10 in both directions over the clips of a manifest and all of their captions.

    Args:
        manifest: clips with one or more captions each; clips without captions are only retrieved. Of `split` if given.
        paraphrases: a table with columns `caption` and `paraphrase`, or `HELD_OUT` for those that
            `clapgen.wording.held_out` writes and no training uses; the metrics are also computed with paraphrased
            captions, and with the same captions as they are.
        by: also give R@10 for the queries of each group of clips (see `groups_of`), over all clips and captions.
        segments: rank by `segment_scores` over the windows of each clip instead of the cosine with their mean.

    Raises:
        ClapgenError: no captions, nothing that can be read, no group, `segments` with `paraphrases`;
            strict, and a file cannot be read.
    """
    if segments and paraphrases is not None:
        raise ClapgenError("retrieval over segments does not compare paraphrases; omit --segments or --paraphrases.")
    sounds = read_sounds(manifest, split, context.notes)
    if not any(sound.captions for sound in sounds):
        raise ClapgenError(f'{manifest} has no captions; add "captions": ["…"] to its clips.')
    embedder = Segmented(context.clap) if segments else None
    embedded = context.embed([sound.path for sound in sounds], "Embedding", embedder, frames=segments)
    rows = row_of_path(embedded)
    clips = [sound for sound in sounds if sound.path in rows]
    captions = [caption for clip in clips for caption in clip.captions]
    owners = np.array([index for index, clip in enumerate(clips) for _ in clip.captions], dtype=np.int64)
    if not captions:
        raise ClapgenError(f"no readable clip of {manifest} has a caption.")
    text = context.embed_texts(captions)
    if segments:
        scores = segment_scores(embedded.frames, text)
        strict, same = (retrieval_by_scores(scores, owners, captions=known) for known in (None, captions))
    else:
        strict, same = (retrieval(embedded.embeddings, text, owners, captions=known) for known in (None, captions))
    metrics = _metrics(strict, context.seed) + _identical(same) + [_gap(embedded.embeddings, text, owners)]
    warnings: list[str] = []
    if by is not None:
        metrics += group_metrics(clips, by, _hits(same, owners), context.seed)
    if paraphrases is not None:
        more, warnings = _paraphrased(paraphrases, context, embedded.embeddings, captions, owners)
        metrics += more
    return context.report(
        "retrieval",
        f"Retrieval: {len(captions)} captions of {len(clips)} clips",
        metrics,
        clips=_clips(clips, strict, owners),
        settings=context.describe_model()
        | {"protocol": PROTOCOL}
        | ({"similarity": _similarity(embedded)} if segments else {})
        | {
            "N": f"{len(clips)} clips, {len(captions)} captions" + (f", split {split}" if split else ""),
            "content": content_summary(embedded),
            "seed": context.seed,
        },
        warnings=warnings,
        skipped=skipped_files(embedded),
        sounds={str(sound.path) for sound in sounds},
        lower_is_better=["rank of its best caption", "worst rank by its captions"],
    )


def _similarity(embedded: Embedded) -> str:
    """What `segment_scores` does, for the settings of a report."""
    return (
        f"attention over {sum(map(len, embedded.frames))} windows, temperature {TEMPERATURE:g}; cosine with their "
        f"mean, weight {MEAN_WEIGHT:g}"
    )


def _metrics(found: Retrieval, seed: int) -> list[Metric]:
    metrics = []
    for name, way in zip(WAYS, (found.text_to_audio, found.audio_to_text), strict=True):
        n, ask = way.queries, f"{way.queries} queries over {way.gallery}"
        for k in way.recalls:
            hits = (way.ranks <= k).astype(np.float64)
            interval = bootstrap_interval(hits, seed=seed) if n > 1 else None
            note = f"{ask}; chance {way.chance[k]:.4f}"
            metrics.append(Metric(f"{name} R@{k}", way.recalls[k], n, interval, "0 to 1", True, note))
        metrics.append(Metric(f"{name} median rank", way.median_rank, n, None, f"1 to {way.gallery}", False, ask))
        interval = bootstrap_interval(way.average_precisions, seed=seed) if n > 1 else None
        metrics.append(Metric(f"{name} mAP@10", way.mean_average_precision, n, interval, "0 to 1", True, ask))
    return metrics


def _identical(found: Retrieval) -> list[Metric]:
    """The same recalls, where every clip with an identical caption is correct."""
    note = "identical captions count as one: every clip that has it is correct"
    return [
        Metric(
            f"{name} R@{k}, identical captions",
            recall,
            way.queries,
            None,
            "0 to 1",
            True,
            f"{note}; chance {way.chance[k]:.4f}",
        )
        for name, way in zip(WAYS, (found.text_to_audio, found.audio_to_text), strict=True)
        for k, recall in way.recalls.items()
    ]


def _hits(found: Retrieval, owners: np.ndarray) -> dict[str, tuple[npt.NDArray[np.float64], Sequence[int]]]:
    """Whether each query finds a correct answer among ten, and the clip that it belongs to."""
    return {
        f"{name} R@10, identical captions": ((way.ranks <= 10).astype(np.float64), of_queries.tolist())
        for name, way, of_queries in zip(
            WAYS, (found.text_to_audio, found.audio_to_text), (owners, found.query_clips), strict=True
        )
    }


def _gap(audio: Array, text: Array, owners: np.ndarray) -> Metric:
    captioned, first = np.unique(owners, return_index=True)
    name, note = "Modality gap", "distance between the mean audio and the mean first-caption embedding"
    return try_metric(
        name,
        len(captioned),
        lambda: modality_gap(audio[captioned], text[first]).centroid_distance,
        scale="0 to 2",
        higher_is_better=None,
        note=note,
    )


def _paraphrased(
    path: str | Path, context: EvaluationContext, audio: Array, captions: list[str], owners: np.ndarray
) -> tuple[list[Metric], list[str]]:
    spaced = [" ".join(caption.split()) for caption in captions]
    if str(path) == HELD_OUT:
        others = {caption: held_out_paraphrases(caption) for caption in dict.fromkeys(spaced)}
    else:
        others = {}
        for row in read_table(path, {"caption": ("caption",), "paraphrase": ("paraphrase",)}):
            others.setdefault(row.cells["caption"], []).append(row.cells["paraphrase"])
    pairs = [(index, other) for index, caption in enumerate(spaced) for other in others.get(caption, [])]
    if not pairs and str(path) == HELD_OUT:
        raise ClapgenError("no caption can be paraphrased by the rules; give a table: --paraphrases FILE.csv.")
    if not pairs:
        raise ClapgenError(f"no caption of {path} is in the manifest; its first is '{next(iter(others))}'.")
    unknown = [caption for caption in others if caption not in set(spaced)]
    warnings = []
    if unknown:
        warning = f"{len(unknown)} captions of {path} are not in the manifest; the first is '{unknown[0]}'."
        warnings.append(context.warn_or_raise(warning, "Remove them."))
    indices = [index for index, _ in pairs]
    text = context.embed_texts([captions[index] for index in indices])
    found = paraphrase_robustness(audio, text, context.embed_texts([other for _, other in pairs]), owners[indices])
    n = len(pairs)
    metrics = [Metric("caption–paraphrase cosine", found.cosine, n, None, "−1 to 1", True)]
    before, after = found.original.as_dict(), found.paraphrased.as_dict()
    for way in WAYS:
        for name in SHOWN_DROPS:
            key = f"{way.replace(' ', '_')}/{name}"
            label, rank = f"{way} {name.replace('_', ' ')}", name.endswith("rank")
            interval, range_of_drop = _intervals(found, way, name, context.seed)
            note = f"{before[key]:.4g} with the original captions; drop {found.drops[key] + 0.0:.4g}{range_of_drop}"
            scale = "1 or more" if rank else "0 to 1"
            queries = getattr(found.paraphrased, way.replace(" ", "_")).queries
            metrics.append(Metric(f"{label}, paraphrased", after[key], queries, interval, scale, not rank, note))
    return metrics, warnings


def _intervals(found: Robustness, way: str, name: str, seed: int) -> tuple[tuple[float, float] | None, str]:
    """The bootstrap interval of a recall with paraphrases, and that of its drop, over queries."""
    before, after = (getattr(each, way.replace(" ", "_")).ranks for each in (found.original, found.paraphrased))
    if not name.startswith("R@") or len(after) < 2:
        return None, ""
    hits, hits_before = ((ranks <= int(name[2:])).astype(np.float64) for ranks in (after, before))
    low, high = bootstrap_interval(hits_before - hits, seed=seed)
    return bootstrap_interval(hits, seed=seed), f" ({low:.4g} to {high:.4g})"


def _clips(sounds: list[Clip], found: Retrieval, owners: np.ndarray) -> list[dict[str, Any]]:
    audio_ranks = dict(zip(found.query_clips.tolist(), found.audio_to_text.ranks.tolist(), strict=True))
    precisions = dict(zip(found.query_clips.tolist(), found.audio_to_text.average_precisions.tolist(), strict=True))
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
