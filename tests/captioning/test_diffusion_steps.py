"""The diffusion bridge's formulas, on denoisers whose answer is known: noise, each DDIM step, each loss."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from captioning.bridges import BridgeData, BridgesConfig, create_bridge
from captioning.bridges.diffusion import DiffusionBridge

DIM, RADIUS, STEPS = 24, 0.6, 8
MEAN = 0.5 * F.normalize(torch.arange(1.0, DIM + 1), dim=0)
AXES = torch.cat([torch.eye(DIM), -torch.eye(DIM)])  # their mean is zero
TEXT = MEAN + RADIUS * AXES
GAP = 0.3 * F.normalize(torch.arange(DIM, 0.0, -1), dim=0)


class Known(nn.Module):
    """Answers `clean` (or what it is given), and remembers what it was asked."""

    def __init__(self, clean: Tensor | None = None) -> None:
        super().__init__()
        self.clean = clean
        self.directions: list[Tensor] = []
        self.times: list[list[float]] = []

    def forward(self, noisy: Tensor, time: Tensor) -> Tensor:
        self.directions.append(noisy / math.sqrt(DIM))
        self.times.append([round(float(each), 6) for each in time])
        return noisy if self.clean is None else math.sqrt(DIM) * self.clean.expand_as(noisy)


def bridge_with(clean: Tensor | None = None, data: BridgeData | None = None, **settings: object) -> DiffusionBridge:
    config = BridgesConfig()
    for key, value in {"steps": STEPS, "start": 6, "sampling_steps": 3, "width": 8, "blocks": 1, **settings}.items():
        setattr(config.diffusion, key, value)
    bridge = create_bridge("diffusion", config, DIM)
    assert isinstance(bridge, DiffusionBridge)
    bridge.fit(data or BridgeData([str(i) for i in range(len(TEXT))], TEXT, audio=TEXT + GAP, paired_text=TEXT))
    bridge.denoiser = Known(clean)  # type: ignore[assignment]
    return bridge


def share(step: int) -> float:
    """Fraction of signal variance after a step, by Nichol & Dhariwal's formula."""
    curve = lambda time: math.cos((time + 0.008) / 1.008 * math.pi / 2) ** 2  # noqa: E731
    return curve(step / STEPS) / curve(0)


def on_the_way(step: int, signal_to_noise: float, clean: Tensor, noise: Tensor) -> Tensor:
    signal = math.sqrt(share(step)) * signal_to_noise * clean
    return F.normalize(signal + math.sqrt(1 - share(step)) * noise, dim=-1)


def test_audio_enters_without_the_gap_and_without_noise() -> None:
    bridge = bridge_with()
    bridge.audio(TEXT + GAP)
    torch.testing.assert_close(bridge.denoiser.directions[0], AXES, atol=1e-5, rtol=0)
    unpaired = bridge_with(data=BridgeData([str(i) for i in range(len(TEXT))], TEXT))
    unpaired.audio(TEXT)
    torch.testing.assert_close(unpaired.denoiser.directions[0], AXES, atol=1e-5, rtol=0)


def test_the_denoiser_is_told_the_step_it_is_at() -> None:
    bridge = bridge_with(sampling_steps=3)
    bridge.audio(TEXT[:1])
    assert bridge.denoiser.times == [[6 / 8], [4 / 8], [2 / 8]]
    one = bridge_with(steps=1, start=1, sampling_steps=1)
    one.loss(TEXT[:4], torch.arange(4), torch.Generator().manual_seed(0))
    assert one.denoiser.times == [[1.0] * 4]
    many = bridge_with()
    many.loss(TEXT.repeat(20, 1), torch.arange(20 * len(TEXT)), torch.Generator().manual_seed(0))
    assert set(many.denoiser.times[0]) == {(step + 1) / STEPS for step in range(STEPS)}


@pytest.mark.parametrize("signal_to_noise", [0.22, 2.0])
def test_a_noisy_embedding_keeps_its_own_noise_from_step_to_step(signal_to_noise: float) -> None:
    """DDIM is deterministic: if the estimate is right, what is left is the same noise, at the next step's level."""
    clean, noise = AXES[0], AXES[5]
    bridge = bridge_with(clean, signal_to_noise=signal_to_noise)
    audio = on_the_way(6, signal_to_noise, clean, noise)[None]
    found = bridge.audio(bridge.audio_mean + audio)
    expected = [on_the_way(step, signal_to_noise, clean, noise)[None] for step in (6, 4, 2)]
    torch.testing.assert_close(bridge.denoiser.directions, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(found, F.normalize(MEAN + RADIUS * clean, dim=0)[None], atol=1e-5, rtol=0)


@pytest.mark.parametrize(("step", "signal_to_noise"), [(1, 1.0), (2, 0.22), (3, 1.0), (8, 1.0)])
def test_text_is_noised_as_far_as_the_schedule_says(step: int, signal_to_noise: float) -> None:
    bridge = bridge_with(noise_step=step, sampling_steps=1, signal_to_noise=signal_to_noise)
    text = TEXT.repeat(200, 1)
    bridge.augment(text, torch.arange(len(text)), torch.Generator().manual_seed(0))
    [directions] = bridge.denoiser.directions
    signal = math.sqrt(share(step)) * signal_to_noise
    expected = signal / math.sqrt(signal**2 + 1 - share(step)) if step < STEPS else 0.0
    cosine = float((directions * AXES.repeat(200, 1)).sum(-1).mean())
    assert cosine == pytest.approx(expected, abs=0.015)
    assert bridge.denoiser.times == [[step / STEPS] * len(text)]


def test_a_perfect_denoiser_gives_the_text_back() -> None:
    bridge = bridge_with(AXES[3], noise_step=4)
    found = bridge.augment(TEXT[3:4], torch.tensor([3]), torch.Generator().manual_seed(0))
    torch.testing.assert_close(found, F.normalize(TEXT[3:4], dim=-1), atol=1e-5, rtol=0)


def two_pairs() -> BridgeData:
    """Two sounds of one caption; neither lies where the caption does, even without the gap."""
    return BridgeData([str(i) for i in range(len(TEXT))], TEXT, audio=TEXT[[7, 8]], paired_text=TEXT[[2, 2]])


def test_in_paired_mode_audio_and_text_are_both_denoised_into_the_text() -> None:
    generator = torch.Generator()
    right = bridge_with(AXES[2], two_pairs(), paired=True)
    assert float(right.loss(TEXT[:5], torch.arange(5), generator.manual_seed(0))) == pytest.approx(0, abs=1e-6)
    wrong = bridge_with(AXES[7], two_pairs(), paired=True, topology_weight=0.0)
    assert float(wrong.loss(TEXT[:5], torch.arange(5), generator.manual_seed(0))) == pytest.approx(2 * 2, abs=1e-5)


def test_the_topology_loss_compares_cosines_within_the_batch_and_is_weighed() -> None:
    pairs = BridgeData([str(i) for i in range(len(TEXT))], TEXT, audio=TEXT + GAP, paired_text=TEXT)
    losses = {}
    for weight in (0.0, 1.0, 3.0):
        bridge = bridge_with(AXES[0], pairs, paired=True, topology_weight=weight)  # all predictions are the same
        losses[weight] = float(bridge.loss(TEXT[:64], torch.arange(len(TEXT)), torch.Generator().manual_seed(0)))
    drawn = AXES[torch.randint(len(TEXT), (len(TEXT[:64]),), generator=torch.Generator().manual_seed(0))]
    topology = float((1 - drawn @ drawn.T).square().mean())
    assert topology > 0.5
    assert losses[1.0] - losses[0.0] == pytest.approx(topology, rel=1e-4)
    assert losses[3.0] - losses[0.0] == pytest.approx(3 * topology, rel=1e-4)
