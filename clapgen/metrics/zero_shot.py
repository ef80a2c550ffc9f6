"""Zero-shot classification: the class whose prompt lies nearest to the sound (Radford et al. 2021)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

DEFAULT_TEMPLATE = "This is a sound of {label}."


def class_prompts(labels: Sequence[str], template: str = DEFAULT_TEMPLATE) -> list[str]:
    """A prompt a label; underscores become spaces."""
    return [template.format(label=label.replace("_", " ")) for label in labels]


def zero_shot_accuracy(audio: Tensor, prompts: Tensor, truth: Tensor, top_k: int = 1) -> float:
    """Share of clips whose class is among the `top_k` nearest prompts.

    Args:
        audio: embeddings (n, dim) of length 1.
        prompts: embeddings (classes, dim) of length 1.
        truth: class index (n,) of each clip.
    """
    nearest = (audio @ prompts.T).topk(top_k, dim=1).indices
    return float((nearest == truth[:, None]).any(1).float().mean())


def zero_shot_probabilities(audio: Tensor, prompts: Tensor, logit_scale: float) -> Tensor:
    """Softmax (n, classes) over prompts of the scaled cosines."""
    return torch.softmax(logit_scale * audio @ prompts.T, dim=-1)
