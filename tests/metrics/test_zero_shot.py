"""Zero-shot figures against the plainest possible implementations."""

import pytest
import torch
from torch.nn import functional as F

from clapgen.metrics.zero_shot import class_prompts, zero_shot_accuracy, zero_shot_probabilities


def embeddings(count: int, seed: int) -> torch.Tensor:
    return F.normalize(torch.randn(count, 16, generator=torch.Generator().manual_seed(seed)), dim=-1)


def test_prompts_have_spaces_for_underscores():
    assert class_prompts(["door_wood_knock"]) == ["This is a sound of door wood knock."]


def test_accuracy_counts_the_nearest_prompt():
    prompts = embeddings(5, 0)
    truth = torch.tensor([0, 1, 2, 3, 4, 0])
    audio = prompts[torch.tensor([0, 1, 2, 3, 4, 1])]
    assert zero_shot_accuracy(audio, prompts, truth) == pytest.approx(5 / 6)
    assert zero_shot_accuracy(audio, prompts, truth, top_k=5) == 1.0


def test_probabilities_sum_to_one_and_sharpen_with_the_scale():
    audio, prompts = embeddings(4, 1), embeddings(6, 2)
    soft, sharp = (zero_shot_probabilities(audio, prompts, scale) for scale in (1.0, 50.0))
    assert torch.allclose(soft.sum(1), torch.ones(4)) and bool((sharp.amax(1) > soft.amax(1)).all())
