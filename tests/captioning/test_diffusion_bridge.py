"""The diffusion bridge learns the distribution of text and maps audio into it."""

import math

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


class Oracle(torch.nn.Module):
    """A denoiser that always predicts `clean`, and records what it is asked."""

    def __init__(self, clean: torch.Tensor) -> None:
        super().__init__()
        self.clean = clean * math.sqrt(clean.shape[-1])
        self.asked: list[tuple[torch.Tensor, torch.Tensor]] = []

    def forward(self, noisy: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        self.asked.append((F.normalize(noisy, dim=-1), time))
        return self.clean.expand_as(noisy)


def with_oracle(clean: torch.Tensor, data: BridgeData, **settings: object) -> tuple[DiffusionBridge, Oracle]:
    config = BridgesConfig()
    for key, value in settings.items():
        setattr(config.diffusion, key, value)
    bridge = create_bridge("diffusion", config, clean.shape[-1])
    bridge.fit(data)
    assert isinstance(bridge, DiffusionBridge)
    bridge.denoiser = Oracle(clean)  # type: ignore[assignment]
    return bridge, bridge.denoiser


def test_noisy_embeddings_have_the_signal_that_the_schedule_and_the_config_say() -> None:
    width, steps, ratio = 512, 1000, 0.5
    text = unit(400, width)
    data = BridgeData([str(i) for i in range(400)], text)
    bridge, oracle = with_oracle(unit(1, width), data, signal_to_noise=ratio)
    bridge.loss(text, torch.arange(400), torch.Generator().manual_seed(0))
    [(noisy, times)] = oracle.asked
    clean = F.normalize(text - text.mean(0), dim=-1)
    share = cosine_schedule(steps)[(times * steps).round().long() - 1]
    signal = share.sqrt() * ratio
    expected = signal / (signal**2 + 1 - share).sqrt()
    assert torch.allclose((noisy * clean).sum(-1), expected, atol=0.2)
    assert float(((noisy * clean).sum(-1) - expected).mean()) == pytest.approx(0, abs=0.01)


def test_sounds_enter_without_the_audio_mean_and_follow_the_ddim_path() -> None:
    """With a perfect denoiser, the noise of a sound is known exactly, and each step has the share of its time."""
    steps, start, count, ratio = 1000, 400, 4, 0.3
    data = make_data()
    assert data.audio is not None and data.paired_text is not None
    audio_mean = data.text.mean(0) + (data.audio - data.paired_text).mean(0)
    clean, other = torch.linalg.qr(unit(DIM, 2))[0].T
    share = cosine_schedule(steps)

    def noised(step: int) -> torch.Tensor:
        left = share[step - 1]
        return F.normalize(left.sqrt() * ratio * clean + (1 - left).sqrt() * other, dim=-1)

    settings = {"steps": steps, "start": start, "sampling_steps": count, "signal_to_noise": ratio}
    bridge, oracle = with_oracle(clean, data, **settings)
    bridged = bridge.audio((audio_mean + 0.7 * noised(start))[None])
    assert [float(time) for _, time in oracle.asked] == pytest.approx([0.4, 0.3, 0.2, 0.1])
    for (direction, _), step in zip(oracle.asked, (400, 300, 200, 100), strict=True):
        assert torch.allclose(direction[0], noised(step), atol=1e-4), step
    centre = data.text.mean(0)
    radius = (data.text - centre).norm(dim=-1).mean()
    assert torch.allclose(bridged[0], F.normalize(centre + radius * clean, dim=-1), atol=1e-4)


def test_both_sides_of_a_pair_are_denoised_into_the_caption() -> None:
    data = make_data()
    assert data.audio is not None
    data.audio, data.paired_text = data.audio[:2], data.text[:1].expand(2, -1)  # two sounds of one caption
    caption = F.normalize(data.text[0] - data.text.mean(0), dim=-1)
    bridge, _ = with_oracle(caption, data, paired=True)
    loss = bridge.loss(data.text[:8], torch.arange(8), torch.Generator().manual_seed(0))
    assert float(loss) == pytest.approx(0, abs=1e-5)


def test_the_topology_loss_is_how_far_the_cosines_of_predictions_are_from_those_of_captions() -> None:
    losses = []
    for weight in (0.0, 1.0, 2.0):
        bridge, _ = with_oracle(unit(1, DIM), make_data(), paired=True, topology_weight=weight)
        losses.append(float(bridge.loss(unit(32, DIM), torch.arange(32), torch.Generator().manual_seed(0))))
    assert losses[1] - losses[0] > 0.1  # one prediction for all captions has cosines of 1
    assert losses[2] - losses[1] == pytest.approx(losses[1] - losses[0], rel=1e-4)
