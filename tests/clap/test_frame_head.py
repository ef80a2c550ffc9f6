"""The frame head: its formula, what it gives before training, and that it can be stored."""

import pytest
import torch
from torch.nn import functional as F

from clapgen.clap.frame_head import FrameHead
from clapgen.testing import randomise


def embeddings(*shape: int, seed: int = 0) -> torch.Tensor:
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def trained_head(dim: int) -> FrameHead:
    head = FrameHead(dim, width=4)
    randomise(head, torch.Generator().manual_seed(1))
    return head


def test_a_new_head_has_the_same_scale_and_bias_for_every_sentence():
    head, texts = FrameHead(16), embeddings(3, 16)
    assert head.alpha(texts).tolist() == pytest.approx([10.0] * 3, rel=1e-6)
    assert head.beta(texts).tolist() == [-8.0] * 3


@torch.no_grad()
def test_log_odds_and_probability_follow_the_formula_frame_by_frame():
    head, frames, texts = trained_head(16), embeddings(2, 5, 16), embeddings(3, 16, seed=2)
    alpha, beta, probability = head.alpha(texts), head.beta(texts), head.probability(frames, texts)
    assert alpha.std() > 0 and beta.std() > 0
    assert probability.shape == (2, 5, 3)
    for i in range(2):
        for f in range(5):
            for k in range(3):
                h = alpha[k] * frames[i, f].dot(texts[k]) + beta[k]
                assert head(frames, texts)[i, f, k] == pytest.approx(h.item(), abs=1e-5)
                expected = h.sigmoid() / (h.sigmoid() + beta[k].sigmoid())
                assert probability[i, f, k] == pytest.approx(expected.item(), abs=1e-6)


def test_a_frame_that_says_nothing_has_probability_one_half_however_rare_the_sound():
    head, texts = trained_head(4), torch.tensor([[1.0, 0, 0, 0], [0, 1.0, 0, 0]])
    nothing = torch.tensor([[0, 0, 1.0, 0]])
    assert head.probability(nothing, texts)[0].tolist() == pytest.approx([0.5, 0.5])
    with torch.no_grad():
        head.bias[-1].bias.fill_(-200.0)  # σ(beta) is 0 in float32
    assert head.probability(nothing, texts)[0].tolist() == pytest.approx([0.5, 0.5])


def test_a_head_can_be_stored_and_read_back():
    head, other = trained_head(16), FrameHead(16, width=4)
    other.load_state_dict(head.state_dict())
    frames, texts = embeddings(4, 16), embeddings(2, 16, seed=3)
    assert torch.equal(head.probability(frames, texts), other.probability(frames, texts))
