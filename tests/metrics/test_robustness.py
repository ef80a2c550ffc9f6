"""The loss under paraphrases is the difference of two retrievals."""

import numpy as np
import pytest

from clapgen.errors import ClapgenError
from clapgen.metrics.embeddings.retrieval import retrieval
from clapgen.metrics.embeddings.robustness import paraphrase_robustness


def test_the_drop_is_the_difference_and_a_loss_is_above_zero():
    rng = np.random.default_rng(0)
    audio = rng.normal(size=(40, 8))
    text, worse = audio + 0.3 * rng.normal(size=audio.shape), audio + 2 * rng.normal(size=audio.shape)
    result = paraphrase_robustness(audio, text, worse, np.arange(40))
    assert result.original.as_dict() == retrieval(audio, text, np.arange(40)).as_dict()
    assert result.paraphrased.as_dict() == retrieval(audio, worse, np.arange(40)).as_dict()
    assert all(drop > 0 for name, drop in result.drops.items() if "R@1" in name or "mAP" in name or "mean" in name)
    recall = "text_to_audio/R@5"
    lost = result.original.as_dict()[recall] - result.paraphrased.as_dict()[recall]
    assert result.drops[recall] == lost
    rank = "text_to_audio/mean_rank"
    assert result.drops[rank] == result.paraphrased.as_dict()[rank] - result.original.as_dict()[rank]


def test_identical_paraphrases_lose_nothing():
    rng = np.random.default_rng(1)
    audio, text = rng.normal(size=(10, 8)), rng.normal(size=(30, 8))
    result = paraphrase_robustness(audio, text, 2 * text, np.repeat(np.arange(10), 3))
    assert set(result.drops.values()) == {0.0} and result.cosine == pytest.approx(1)


def test_every_caption_needs_its_paraphrase():
    with pytest.raises(ClapgenError, match="4 captions and 3 paraphrases"):
        paraphrase_robustness(np.eye(4), np.eye(4), np.eye(4)[:3], np.arange(4))
