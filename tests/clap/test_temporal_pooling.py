"""Temporal pooling: it hears order, adds nothing before it is trained, and does not see padding."""

import pytest
import torch

from clapgen.clap import Clap
from clapgen.clap.transformer import Block, TemporalPooling
from clapgen.errors import ClapgenError
from clapgen.testing import CLAP, tiny_model


@pytest.fixture(scope="module")
def clap(tmp_path_factory) -> Clap:
    return Clap.from_pretrained(tiny_model(tmp_path_factory.mktemp("tiny")))


def trained(pooling: TemporalPooling) -> TemporalPooling:
    torch.manual_seed(0)
    torch.nn.init.normal_(pooling.project_out.weight, std=0.1)
    return pooling.eval()


def test_a_model_given_temporal_pooling_is_the_same_until_it_is_trained(clap):
    deeper = clap.extended(2, 1, frame_head=True).eval()
    assert deeper.config.audio.temporal_layers == 2 and deeper.config.text.temporal_layers == 1
    assert clap.config.audio.temporal_layers == 0 and deeper.frame_head and not clap.frame_head
    texts, sound = ["rain", "a dog barks, then it rains"], torch.randn(20_000, generator=torch.Generator())
    assert torch.equal(deeper.embed_text(texts), clap.embed_text(texts))
    assert torch.equal(deeper.embed_audio(sound[None], 8000), clap.embed_audio(sound[None], 8000))
    assert deeper.extended() is deeper
    with pytest.raises(ClapgenError, match="2 temporal layers, not 3"):
        deeper.extended(3, 1)


def test_only_temporal_pooling_hears_which_half_comes_first(clap):
    frames = torch.randn(1, 8, clap.audio_tower.width, generator=torch.Generator().manual_seed(0))
    swapped = torch.cat([frames[:, 4:], frames[:, :4]], 1)
    assert torch.allclose(clap.audio_tower.pool(frames), clap.audio_tower.pool(swapped), atol=1e-6)
    tower = clap.extended(2, 1).eval().audio_tower
    trained(tower.temporal)
    assert float((tower.pool(frames) - tower.pool(swapped)).detach().norm()) > 0.1


def test_padding_changes_nothing_and_the_last_layer_computes_the_query_alone():
    pooling = trained(TemporalPooling(CLAP.text.width, 2, width=32))
    states = torch.randn(3, 5, CLAP.text.width, generator=torch.Generator().manual_seed(0))
    padded = torch.cat([states, torch.full((3, 4, CLAP.text.width), 7.0)], 1)
    mask = torch.tensor([[1] * 5 + [0] * 4] * 3)
    assert torch.allclose(pooling(padded, mask), pooling(states), atol=1e-5)
    block = Block(16, 2).eval()
    x = torch.randn(2, 6, 16)
    assert torch.allclose(block(x, kept=1), block(x)[:, :1], atol=1e-6)
