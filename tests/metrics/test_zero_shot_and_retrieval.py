"""Zero-shot and retrieval figures against the plainest possible implementations."""

import pytest
import torch
from torch.nn import functional as F

from clapgen.metrics.retrieval import retrieval_metrics
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


def test_retrieval_equals_a_loop_over_queries():
    audio, text = embeddings(12, 3), embeddings(30, 4)
    owner = torch.cat([torch.arange(12), torch.randint(12, (18,), generator=torch.Generator().manual_seed(5))])
    figures = retrieval_metrics(audio, text, owner)
    similarity = (text @ audio.T).tolist()

    text_ranks = [
        sorted(row, reverse=True).index(row[own]) for row, own in zip(similarity, owner.tolist(), strict=True)
    ]
    for k in (1, 5, 10):
        assert figures[f"text_to_audio/R@{k}"] == pytest.approx(sum(r < k for r in text_ranks) / 30)
    expected = sum(1 / (r + 1) for r in text_ranks if r < 10) / 30
    assert figures["text_to_audio/mAP@10"] == pytest.approx(expected)

    best, precision = [], []
    for clip in range(12):
        order = sorted(range(30), key=lambda t: -similarity[t][clip])
        ranks = [rank for rank, t in enumerate(order) if owner[t] == clip]
        best.append(ranks[0])
        precision.append(sum((i + 1) / (r + 1) for i, r in enumerate(ranks) if r < 10) / len(ranks))
    assert figures["audio_to_text/R@5"] == pytest.approx(sum(r < 5 for r in best) / 12)
    assert figures["audio_to_text/mAP@10"] == pytest.approx(sum(precision) / 12)


def test_a_clip_without_captions_is_no_query():
    audio = embeddings(8, 6)
    figures = retrieval_metrics(audio, -audio[:4], torch.arange(4))
    with_more = retrieval_metrics(embeddings(8, 6), -audio[:2], torch.arange(2))
    assert figures["audio_to_text/R@1"] == with_more["audio_to_text/R@1"] == 0.0


def test_perfect_pairs_score_one():
    audio = embeddings(8, 6)
    figures = retrieval_metrics(audio, audio, torch.arange(8))
    assert all(value == 1.0 for value in figures.values())
