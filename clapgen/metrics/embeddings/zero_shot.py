"""Zero-shot classification: the class whose prompt is nearest to the sound (Radford et al. 2021)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from clapgen.data.text import DEFAULT_TEMPLATE, readable_label
from clapgen.errors import ClapgenError
from clapgen.metrics.accumulator import Accumulator
from clapgen.metrics.embeddings.base import ROUNDING, Array, Embeddings, NotMeasurable, unit_length
from clapgen.metrics.embeddings.clap_score import bootstrap_interval

Indices = npt.NDArray[np.int64]

TEMPLATES = (
    DEFAULT_TEMPLATE,
    "{label}",
    "the sound of {label}",
    "a recording of {label}",
    "{label} can be heard",
)


@dataclass(frozen=True)
class ClassAccuracy:
    """Number of clips of one class, and its top-1 and top-5 accuracy, 0 to 1; None without clips."""

    label: str
    n: int
    top1: float | None
    top5: float | None


@dataclass(frozen=True)
class ZeroShot:
    """Zero-shot classification of n clips among c classes.

    Attributes:
        top1, top5: share of clips (0 to 1) whose class is the nearest, or among the nearest 5; top5 is None for 5 or
            fewer classes.
        interval: 95% bootstrap interval of top1; None for one clip.
        balanced: mean top-1 accuracy over the classes that have clips.
        chance: 1 / c.
        classes: accuracy per class.
        confusion: (c, c), number of clips of a row's class predicted as a column's.
        ranks: (n,), rank of each clip's class, 1 is best.
        predicted: (n,), index of the predicted class.
    """

    top1: float
    top5: float | None
    interval: tuple[float, float] | None
    balanced: float
    chance: float
    n: int
    classes: list[ClassAccuracy] = field(repr=False)
    confusion: Indices = field(repr=False)
    ranks: Indices = field(repr=False)
    predicted: Indices = field(repr=False)


def class_prompts(labels: Sequence[str], template: str = DEFAULT_TEMPLATE) -> list[str]:
    """One prompt per label; underscores become spaces.

    Raises:
        ClapgenError: the template has no {label} in it.
    """
    if "{label}" not in template:
        raise ClapgenError(f"The template {template!r} lacks {{label}}; put it where the label goes.")
    return [template.replace("{label}", readable_label(label)) for label in labels]


def prompt_embeddings(
    embed_text: Callable[[list[str]], Embeddings], labels: Sequence[str], templates: Sequence[str] = (DEFAULT_TEMPLATE,)
) -> Array:
    """Embeddings (classes, dim) of length 1: the mean direction of each label's prompts (Radford et al. 2021).

    Args:
        embed_text: returns (prompts, dim) for a list of prompts, such as `Clap.embed_text`.
        templates: with {label} where the label goes; see `TEMPLATES`.

    Raises:
        ClapgenError: no labels or templates, a template without {label}.
    """
    if not labels or not templates:
        raise ClapgenError("Zero-shot prompts need at least one label and one template.")
    each = [unit_length(embed_text(class_prompts(labels, template)), "prompt embeddings") for template in templates]
    return unit_length(np.mean(each, axis=0), "mean prompt embeddings")


class ZeroShotAccumulator(Accumulator[tuple[Indices, Indices, Indices], ZeroShot]):
    """`zero_shot` over batches of audio (n, dim) and truth (n,). Keeps three numbers per clip."""

    settings_name = "labels and prompts"

    def __init__(self, prompts: Embeddings, labels: Sequence[str]) -> None:
        self._prompts = unit_length(prompts, "prompt embeddings", at_least=2)
        self._labels = list(labels)
        super().__init__(self._labels, self._prompts)
        if len(self._labels) != len(self._prompts):
            raise ClapgenError(
                f"{len(self._labels)} labels and {len(self._prompts)} prompts do not pair; give equal numbers."
            )

    def _state_of(self, audio: Embeddings, truth: npt.ArrayLike | Tensor) -> tuple[Indices, Indices, Indices]:
        points = unit_length(audio, "audio embeddings", width=self._prompts.shape[1])
        classes = _class_indices(truth, len(points), len(self._prompts))
        return classes, *_ranks(points @ self._prompts.T, classes)

    def _result_of(self, states: Sequence[tuple[Indices, Indices, Indices]], *, seed: int = 0) -> ZeroShot:
        if not states:
            raise NotMeasurable("Zero-shot classification needs at least 1 clip.")
        truth, ranks, predicted = (np.concatenate(parts) for parts in zip(*states, strict=True))
        many = len(self._labels) > 5
        confusion = np.zeros((len(self._labels), len(self._labels)), dtype=np.int64)
        np.add.at(confusion, (truth, predicted), 1)
        of_class = [ranks[truth == index] for index in range(len(self._labels))]
        classes = [
            ClassAccuracy(label, len(own), _share(own, 1), _share(own, 5) if many else None)
            for label, own in zip(self._labels, of_class, strict=True)
        ]
        first = (ranks == 1).astype(np.float64)
        return ZeroShot(
            top1=float(first.mean()),
            top5=_share(ranks, 5) if many else None,
            interval=bootstrap_interval(first, seed=seed) if len(first) > 1 else None,
            balanced=float(np.mean([each.top1 for each in classes if each.top1 is not None])),
            chance=1 / len(self._labels),
            n=len(ranks),
            classes=classes,
            confusion=confusion,
            ranks=ranks,
            predicted=predicted,
        )


def zero_shot(
    audio: Embeddings, prompts: Embeddings, truth: npt.ArrayLike | Tensor, labels: Sequence[str], *, seed: int = 0
) -> ZeroShot:
    """Accuracy, overall and per class, and confusion of clips that each have one class.

    Ties (cosines within 1e-6) count against the model, so constant embeddings score 0.

    Args:
        audio: embeddings (n, dim).
        prompts: embeddings (classes, dim), at least 2 classes, such as from `prompt_embeddings`.
        truth: class index (n,) of each clip.
        labels: the classes' names.
        seed: of the bootstrap interval.

    Raises:
        ClapgenError: no clips, different counts or widths, an invalid class index, NaN, an embedding of zeros.
    """
    return ZeroShotAccumulator(prompts, labels).of(audio, truth, seed=seed)


def zero_shot_accuracy(audio: Tensor, prompts: Tensor, truth: Tensor, top_k: int = 1) -> float:
    """Share of clips whose class is among the `top_k` nearest prompts; ties as in `zero_shot`.

    Args:
        audio: embeddings (n, dim).
        prompts: embeddings (classes, dim).
        truth: class index (n,) of each clip.
    """
    points = unit_length(audio, "audio embeddings")
    directions = unit_length(prompts, "prompt embeddings", width=points.shape[1])
    ranks, _ = _ranks(points @ directions.T, _class_indices(truth, len(points), len(directions)))
    return float((ranks <= top_k).mean())


def zero_shot_probabilities(audio: Tensor, prompts: Tensor, logit_scale: float) -> Tensor:
    """Softmax (n, classes) over prompts of the scaled cosines."""
    return torch.softmax(logit_scale * audio @ prompts.T, dim=-1)


def _ranks(cosines: Array, truth: Indices) -> tuple[Indices, Indices]:
    """Rank of the true class of each row, 1 is best, and the predicted class."""
    rows = np.arange(len(cosines))
    wrong = cosines.copy()
    wrong[rows, truth] = -np.inf
    ranks = 1 + (wrong >= cosines[rows, truth][:, None] - ROUNDING).sum(1)
    return ranks, np.where(ranks == 1, truth, wrong.argmax(1))


def _share(ranks: Indices, top_k: int) -> float | None:
    return float((ranks <= top_k).mean()) if len(ranks) else None


def _class_indices(truth: npt.ArrayLike | Tensor, clips: int, classes: int) -> Indices:
    indices = np.asarray(truth.cpu() if isinstance(truth, Tensor) else truth)
    if indices.shape != (clips,) or not np.issubdtype(indices.dtype, np.integer):
        raise ClapgenError(f"The truth must be {clips} whole numbers, one per clip, not of shape {indices.shape}.")
    outside = np.flatnonzero((indices < 0) | (indices >= classes))
    if len(outside):
        raise ClapgenError(f"Clip {outside[0]} is of class {indices[outside[0]]}, but there are {classes} classes.")
    return indices.astype(np.int64)
