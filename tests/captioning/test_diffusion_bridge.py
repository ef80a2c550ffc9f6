"""The diffusion bridge learns the distribution of text and maps audio into it."""

import pytest
import torch
from torch.nn import functional as F

from captioning.bridges import BridgeData, BridgesConfig, create_bridge
from captioning.bridges.denoiser import cosine_schedule
from captioning.bridges.diffusion import DiffusionBridge
from clapgen.errors import ClapgenError

DIM = 24


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def make_data(with_audio: bool = True) -> BridgeData:
    """Sentences lie near one of 12 points; audio lies near its sentence, with a common shift and noise."""
    text = F.normalize(unit(12, DIM)[torch.arange(600) % 12] + 0.2 * unit(600, DIM, seed=1), dim=-1)
    audio = F.normalize(text + 0.8 * unit(DIM, seed=2) + 0.8 * unit(600, DIM, seed=3), dim=-1)
    captions = [f"Sentence {i}" for i in range(600)]
    return BridgeData(captions, text, audio=audio, paired_text=text) if with_audio else BridgeData(captions, text)


def trained(data: BridgeData, steps: int = 120, **settings: object) -> DiffusionBridge:
    config = BridgesConfig()
    for key, value in {"width": 48, "start": 300, **settings}.items():
        setattr(config.diffusion, key, value)
    bridge = create_bridge("diffusion", config, DIM)
    bridge.fit(data)
    optimizer, generator = torch.optim.Adam(bridge.parameters(), 4e-3), torch.Generator().manual_seed(0)
    for _ in range(steps):
        rows = torch.randint(len(data.text), (48,), generator=generator)
        loss = bridge.loss(data.text[rows], rows, generator)
        assert loss is not None
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert isinstance(bridge, DiffusionBridge)
    return bridge


@pytest.mark.slow
@pytest.mark.parametrize(("paired", "with_audio"), [(False, True), (False, False), (True, True)])
def test_sounds_come_nearer_to_their_captions(paired: bool, with_audio: bool) -> None:
    data, everything = make_data(with_audio), make_data()
    bridge = trained(data, paired=paired)
    assert everything.audio is not None
    before = (everything.audio * everything.text).sum(-1).mean()
    after = (bridge.audio(everything.audio) * everything.text).sum(-1).mean()
    assert float(after) > float(before) + 0.1


def test_it_works_in_the_space_of_the_text() -> None:
    """Text that was noised and denoised is as far from the mean of text as text is."""
    data = make_data()
    bridge = trained(data, noise_step=200)
    seen = bridge.augment(data.text[:64], torch.arange(64), torch.Generator().manual_seed(0))
    assert float((seen * data.text[:64]).sum(-1).mean()) > 0.8
    assert not torch.allclose(seen, data.text[:64], atol=0.01)


def test_more_noise_leaves_less_signal() -> None:
    share = cosine_schedule(1000)
    assert bool((share.diff() <= 0).all()) and float(share[0]) > 0.999 and float(share[-1]) < 1e-4
    assert float(share[499]) == pytest.approx(0.4938, abs=1e-3)  # Nichol & Dhariwal's curve at half time


def test_the_paired_mode_needs_pairs() -> None:
    config = BridgesConfig()
    config.diffusion.paired = True
    bridge = create_bridge("diffusion", config, DIM)
    with pytest.raises(ClapgenError, match="pairs=MANIFEST"):
        bridge.fit(make_data(with_audio=False))
