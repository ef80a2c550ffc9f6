"""Scores of compositional reasoning: match two sounds of the same events with two captions of the same words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from torch import Tensor

from clapgen.errors import ClapgenError
from clapgen.metrics.accumulator import Accumulator
from clapgen.metrics.embeddings.base import ROUNDING, Array, Embeddings, NotMeasurable, unit_length
from clapgen.metrics.embeddings.clap_score import bootstrap_interval

CHANCE = {"text": 1 / 4, "audio": 1 / 4, "group": 1 / 6, "accuracy": 1 / 2}  # of random similarities


@dataclass(frozen=True)
class CompositionScores:
    """Shares of n items, 0 to 1, higher is better; `CHANCE` has the scores of random similarities.

    Attributes:
        text: both sounds are nearer to their own caption than to the other caption. Chance is 25%.
        audio: both captions are nearer to their own sound than to the other sound. Chance is 25%.
        group: both of these. Chance is 16.67%, not 6.25%, because the two share similarities.
        accuracy: share of the 2n sounds that are nearer to their own caption, as in zero-shot temporal evaluation
            (ZSTE, Sinha et al. 2024). Chance is 50%.
        intervals: 95% bootstrap intervals over items, with the same names; None for one item.
        correct: (n, 3), whether each item counts for text, audio, group.
    """

    text: float
    audio: float
    group: float
    accuracy: float
    n: int
    intervals: dict[str, tuple[float, float]] | None
    correct: npt.NDArray[np.bool_] = field(repr=False)


class CompositionAccumulator(Accumulator[npt.NDArray[np.bool_], CompositionScores]):
    """`composition_scores` over batches of similarities (n, 2, 2). Keeps four booleans per item."""

    def _state_of(self, similarity: npt.ArrayLike | Tensor) -> npt.NDArray[np.bool_]:
        table = np.asarray(
            similarity.detach().cpu().double() if isinstance(similarity, Tensor) else similarity, dtype=np.float64
        )
        if table.ndim != 3 or table.shape[1:] != (2, 2):
            raise ClapgenError(f"The similarities must be a table (items, 2, 2), not of shape {table.shape}.")
        broken = np.flatnonzero(~np.isfinite(table).all((1, 2)))
        if len(broken):
            raise ClapgenError(
                f"{len(broken)} of {len(table)} items contain NaN or infinity; the first is item {broken[0]}."
            )
        own = np.stack([table[:, 0, 0], table[:, 1, 1]], axis=1)
        other_caption = np.stack([table[:, 0, 1], table[:, 1, 0]], axis=1)
        return np.hstack([own > other_caption + ROUNDING, own > other_caption[:, ::-1] + ROUNDING])

    def _result_of(self, states: Sequence[npt.NDArray[np.bool_]], *, seed: int = 0) -> CompositionScores:
        right = np.concatenate(states) if states else np.zeros((0, 4), dtype=bool)
        if not len(right):
            raise NotMeasurable("Composition scores need at least 1 item of two sounds and two captions.")
        text, audio = right[:, :2].all(1), right[:, 2:].all(1)
        shares = {"text": text, "audio": audio, "group": text & audio, "accuracy": right[:, :2].mean(1)}
        of_items: dict[str, Array] = {name: values.astype(np.float64) for name, values in shares.items()}
        several = len(right) > 1
        return CompositionScores(
            **{name: float(values.mean()) for name, values in of_items.items()},
            n=len(right),
            intervals={name: bootstrap_interval(v, seed=seed) for name, v in of_items.items()} if several else None,
            correct=np.stack([text, audio, text & audio], axis=1),
        )


def composition_scores(similarity: npt.ArrayLike | Tensor, *, seed: int = 0) -> CompositionScores:
    """Text, audio and group score of CompA (Ghosh et al. 2023), which are Winoground's (Thrush et al. 2022).

    Similarities within 1e-6 are ties, which count as wrong: a model that cannot tell the sounds apart scores 0.

    Args:
        similarity: (n, 2, 2), sound a with caption t at [i, a, t]; sound 0 belongs to caption 0, 1 to 1.
        seed: of the intervals.

    Raises:
        ClapgenError: no items, another shape, NaN.
    """
    return CompositionAccumulator().of(similarity, seed=seed)


def composition_similarity(audio: Embeddings, text: Embeddings) -> Array:
    """Cosines (n, 2, 2) of the sounds and captions of n items.

    Args:
        audio, text: embeddings (2n, dim), the two of an item one after the other.

    Raises:
        ClapgenError: different or odd counts, different widths, NaN, an embedding of zeros.
    """
    sounds = unit_length(audio, "audio embeddings")
    captions = unit_length(text, "text embeddings", width=sounds.shape[1])
    if len(sounds) != len(captions) or len(sounds) % 2:
        raise ClapgenError(
            f"{len(sounds)} sounds and {len(captions)} captions do not form items of two sounds and two captions each."
        )
    width = sounds.shape[1]
    return np.einsum("iad,itd->iat", sounds.reshape(-1, 2, width), captions.reshape(-1, 2, width))


def preferences(audio: Embeddings, right: Embeddings, wrong: Embeddings) -> npt.NDArray[np.bool_]:
    """Whether each sound is nearer to its right caption than to its wrong one (n,); ties count as wrong.

    Args:
        audio, right, wrong: embeddings (n, dim).

    Raises:
        ClapgenError: different counts or widths, NaN, an embedding of zeros.
    """
    sounds = unit_length(audio, "audio embeddings")
    of_captions = [unit_length(text, "text embeddings", width=sounds.shape[1]) for text in (right, wrong)]
    if any(len(captions) != len(sounds) for captions in of_captions):
        raise ClapgenError(f"{len(sounds)} sounds need as many right and as many wrong captions.")
    near, far = ((sounds * captions).sum(1) for captions in of_captions)
    return np.asarray(near > far + ROUNDING)
