"""Text-to-audio and audio-to-text retrieval with several captions per clip, after LAION-CLAP's Clotho protocol.

Two protocols differ in which answers are correct. In the usual, strict one, only a caption's own clip and a clip's own
captions are. If many clips share a caption ("A dog barks"), they cannot be told apart; given the `captions`, identical
ones (ignoring case and spaces) count as one, and every clip that has it is correct.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from torch import Tensor

from clapgen.errors import ClapgenError
from clapgen.metrics.accumulator import Accumulator
from clapgen.metrics.embeddings.base import ROUNDING, Array, Embeddings, NotMeasurable, row_blocks, unit_length

Indices = npt.NDArray[np.int64]

RECALLS = (1, 5, 10)
_DEPTH = 10  # of the average precision


@dataclass(frozen=True)
class DirectionScores:
    """Retrieval in one direction, among `gallery` items.

    Attributes:
        recalls: R@k for k = 1, 5, 10: share of queries (0 to 1) with a correct answer among the first k.
        median_rank, mean_rank: of the first correct answer, 1 is best.
        mean_average_precision: mAP@10, 0 to 1. The AP@10 of a query is the sum of the precisions at its correct answers
            among the first ten, divided by the largest possible number of them.
        chance: R@k of a random order, for the same k: above k / gallery where queries have several correct answers.
        ranks: (queries,), of the first correct answer.
        average_precisions: (queries,), AP@10.
    """

    recalls: dict[int, float]
    median_rank: float
    mean_rank: float
    mean_average_precision: float
    queries: int
    gallery: int
    chance: dict[int, float]
    ranks: Indices = field(repr=False)
    average_precisions: Array = field(repr=False)


@dataclass(frozen=True)
class Retrieval:
    """Retrieval in both directions.

    Attributes:
        query_clips: (clips,), indices of the clips that have captions: the audio queries.
        protocol: "own captions" (strict) or "identical captions".
    """

    text_to_audio: DirectionScores
    audio_to_text: DirectionScores
    query_clips: Indices = field(repr=False)
    protocol: str

    def as_dict(self) -> dict[str, float]:
        """Flat: `text_to_audio/R@1` … `audio_to_text/mAP@10`."""
        metrics: dict[str, float] = {}
        for name, way in (("text_to_audio", self.text_to_audio), ("audio_to_text", self.audio_to_text)):
            metrics |= {f"{name}/R@{k}": recall for k, recall in way.recalls.items()}
            metrics |= {f"{name}/median_rank": way.median_rank, f"{name}/mean_rank": way.mean_rank}
            metrics[f"{name}/mAP@10"] = way.mean_average_precision
        return metrics


Batch = tuple[Array, Array, Indices, Sequence[str] | None]  # audio, text, owners within the batch, captions


class RetrievalAccumulator(Accumulator[Batch, Retrieval]):
    """`retrieval` over batches of clips, their captions, `audio_of_text` (counted within the batch), and sentences.

    Keeps the embeddings: ranks are only known at the end.
    """

    def _state_of(
        self,
        audio: Embeddings,
        text: Embeddings,
        audio_of_text: npt.ArrayLike | Tensor,
        captions: Sequence[str] | None = None,
    ) -> Batch:
        width = self._states[0][0].shape[1] if self._states else None
        sounds = unit_length(audio, "audio embeddings", width=width)
        sentences = unit_length(text, "text embeddings", at_least=0, width=sounds.shape[1])
        owners = _owners(audio_of_text, len(sentences), len(sounds))
        if captions is not None and len(captions) != len(sentences):
            raise ClapgenError(f"{len(captions)} captions and {len(sentences)} text embeddings do not pair.")
        return sounds, sentences, owners, captions

    def _reduced(self, states: list[Batch]) -> list[Batch]:
        widths = {state[0].shape[1] for state in states}
        if len(widths) > 1:
            dims = " and of ".join(map(str, sorted(widths)))
            raise ClapgenError(f"Embeddings of {dims} dimensions cannot be joined: are they from different models?")
        return states

    def _result_of(self, states: Sequence[Batch]) -> Retrieval:
        if not any(len(text) for _, text, _, _ in states):
            raise NotMeasurable("Retrieval needs at least 1 clip with a caption.")
        starts = np.cumsum([0, *(len(audio) for audio, _, _, _ in states)])
        owners = np.concatenate([batch[2] + start for batch, start in zip(states, starts[:-1], strict=True)])
        known = [caption for *_, captions in states for caption in captions or ()]
        if known and len(known) != len(owners):
            raise ClapgenError("Some batches came with their captions, some without; give captions to all or none.")
        names = _numbered(known) if known else np.arange(len(owners))
        protocol = "identical captions" if known else "own captions"
        audio, text = (np.concatenate([batch[side] for batch in states]) for side in (0, 1))

        def to_audio(rows: slice) -> Array:
            return text[rows] @ audio.T

        def to_text(clips: Indices) -> Array:
            return audio[clips] @ text.T

        return _both_ways(to_audio, to_text, len(audio), owners, names, protocol)


def retrieval(
    audio: Embeddings,
    text: Embeddings,
    audio_of_text: npt.ArrayLike | Tensor,
    *,
    captions: Sequence[str] | None = None,
) -> Retrieval:
    """R@1/5/10, median and mean rank and mAP@10 in both directions, by cosine.

    Text to audio: each caption is a query over all n clips. Audio to text: each clip that has captions is a query over
    all m captions, and its rank is that of its best one. Ties (within 1e-6) count against the model, so constant
    embeddings score 0. Memory is bounded, apart from the embeddings; time is n · m.

    Args:
        audio: embeddings (n, dim).
        text: embeddings (m, dim).
        audio_of_text: index (m,) of the clip each caption describes.
        captions: the m sentences, for the protocol in which identical captions count as one; strict without them.

    Raises:
        ClapgenError: no clips or captions, different counts or widths, an invalid index, NaN, an embedding of zeros.
    """
    return RetrievalAccumulator().of(audio, text, audio_of_text, captions)


def retrieval_by_scores(
    scores: npt.ArrayLike, audio_of_text: npt.ArrayLike, *, captions: Sequence[str] | None = None
) -> Retrieval:
    """`retrieval` by any similarity instead of the cosine of two embeddings.

    Args:
        scores: (m texts, n clips), larger is nearer.
        audio_of_text, captions: as for `retrieval`.

    Raises:
        ClapgenError: as `retrieval`.
    """
    table = np.asarray(scores, dtype=np.float64)
    if table.ndim != 2 or not table.size or not np.isfinite(table).all():
        raise ClapgenError(f"The scores must be a table (texts, clips) without NaN, not of shape {table.shape}.")
    if captions is not None and len(captions) != len(table):
        raise ClapgenError(f"{len(captions)} captions and {len(table)} rows of scores do not pair.")
    owners = _owners(audio_of_text, *table.shape)
    names = np.arange(len(owners)) if captions is None else _numbered(captions)
    protocol = "own captions" if captions is None else "identical captions"

    def to_audio(rows: slice) -> Array:
        return table[rows]

    def to_text(clips: Indices) -> Array:
        return table.T[clips]

    return _both_ways(to_audio, to_text, table.shape[1], owners, names, protocol)


def _both_ways(
    to_audio: Callable[[slice], Array],
    to_text: Callable[[Indices], Array],
    clips: int,
    owners: Indices,
    names: Indices,
    protocol: str,
) -> Retrieval:
    """`to_audio` gives the similarities of some captions with all clips, `to_text` of some clips with all captions.

    `names` (m,) are numbers of captions; identical captions have the same number.
    """
    pairs = np.unique(np.stack([owners, names]), axis=1)  # (2, pairs): clip and caption, sorted by clip
    query_clips = np.unique(owners)
    by_name = pairs[:, np.argsort(pairs[1], kind="stable")]

    def clips_of_texts(rows: slice) -> npt.NDArray[np.bool_]:
        return _table(by_name[1], by_name[0], names[rows], clips)

    def texts_of_clips(rows: slice) -> npt.NDArray[np.bool_]:
        return _table(pairs[0], pairs[1], query_clips[rows], int(names.max()) + 1)[:, names]

    return Retrieval(
        _figures(to_audio, len(names), clips, clips_of_texts),
        _figures(lambda rows: to_text(query_clips[rows]), len(query_clips), len(names), texts_of_clips),
        query_clips,
        protocol,
    )


def _table(keys: Indices, values: Indices, wanted: Indices, width: int) -> npt.NDArray[np.bool_]:
    """(wanted, width): row i is true at the values paired with key wanted[i]; `keys` are sorted."""
    table = np.zeros((len(wanted), width), dtype=bool)
    first, last = np.searchsorted(keys, wanted, side="left"), np.searchsorted(keys, wanted, side="right")
    for row, start, end in zip(table, first, last, strict=True):
        row[values[start:end]] = True
    return table


def _figures(
    similarity: Callable[[slice], Array], queries: int, gallery: int, right: Callable[[slice], npt.NDArray[np.bool_]]
) -> DirectionScores:
    blocks = [
        ranks_and_precisions(similarity(rows), right(rows)) for rows in row_blocks(queries, 2 * gallery)
    ]  # twice: correct and wrong answers separately
    ranks, precisions, counts = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    return DirectionScores(
        recalls={k: float((ranks <= k).mean()) for k in RECALLS},
        median_rank=float(np.median(ranks)),
        mean_rank=float(ranks.mean()),
        mean_average_precision=float(np.sort(precisions).mean()),  # independent of the order of the queries
        queries=queries,
        gallery=gallery,
        chance={k: recall_by_chance(counts, gallery, k) for k in RECALLS},
        ranks=ranks,
        average_precisions=precisions,
    )


def recall_by_chance(correct: npt.ArrayLike, gallery: int, k: int) -> float:
    """The expected R@k of a random order: the mean over queries of 1 − C(gallery − c, k) / C(gallery, k).

    Args:
        correct: (queries,), the number c of correct answers of each query, 1 to `gallery`.
        gallery: number of items that are ranked.
    """
    counts = np.asarray(correct, dtype=np.float64)
    none_found = np.ones_like(counts)
    for place in range(min(k, gallery)):
        none_found *= np.maximum(gallery - counts - place, 0) / (gallery - place)
    return float(1 - none_found.mean())


def ranks_and_precisions(similarity: Array, right: npt.NDArray[np.bool_]) -> tuple[Indices, Array, Indices]:
    """Rank of the first correct answer, AP@10 and number of correct answers of each row of (queries, gallery).

    Args:
        similarity: (queries, gallery); ties count against the model.
        right: (queries, gallery), the correct answers, at least one in each row.
    """
    count = right.sum(1)
    depth = min(_DEPTH, int(count.max()))
    answers = np.where(right, similarity, -np.inf)
    best = -np.sort(-np.partition(answers, -depth, axis=1)[:, -depth:], axis=1)  # the nearest correct answers first
    wrong = np.where(right, -np.inf, similarity)
    ranks = np.stack([i + 1 + (wrong >= best[:, [i]] - ROUNDING).sum(1) for i in range(depth)], axis=1)
    found = (ranks <= _DEPTH) & np.isfinite(best)
    precision = np.where(found, np.arange(1, depth + 1) / ranks, 0.0).sum(1)
    return ranks[:, 0], precision / np.minimum(count, _DEPTH), count


def _owners(audio_of_text: npt.ArrayLike | Tensor, texts: int, clips: int) -> Indices:
    owners = np.asarray(audio_of_text.cpu() if isinstance(audio_of_text, Tensor) else audio_of_text)
    if owners.shape != (texts,) or not np.issubdtype(owners.dtype, np.integer):
        raise ClapgenError(
            f"audio_of_text must be {texts} whole numbers, one per caption, not of shape {owners.shape}."
        )
    outside = np.flatnonzero((owners < 0) | (owners >= clips))
    if len(outside):
        raise ClapgenError(f"Caption {outside[0]} belongs to clip {owners[outside[0]]}, but there are {clips} clips.")
    return owners.astype(np.int64)


def _numbered(captions: Sequence[str]) -> Indices:
    numbers: dict[str, int] = {}
    keys = (" ".join(caption.casefold().split()) for caption in captions)
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys])
