"""Augmentations do what they promise, row by row, and are repeatable from the same generator."""

from collections.abc import Callable

import pytest
import torch
from torch import Generator, Tensor

from pretrain.data import augment


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def log_mels(*shape: int, seed: int = 1) -> Tensor:
    return 10 * torch.randn(*shape, generator=seeded(seed)) - 40


def power(log_mel: Tensor) -> Tensor:
    return 10 ** (log_mel.double() / 10)


def test_gain_stays_in_its_range_and_differs_between_rows():
    sounds = log_mels(64, 8, 10)
    gain = (augment.random_gain(sounds, seeded(), -3, 9) - sounds)[:, 0, 0]
    assert gain.min() >= -3.001 and gain.max() <= 9.001 and gain.max() - gain.min() > 8


def test_roll_keeps_every_frame_in_circular_order():
    sounds = log_mels(8, 3, 50)
    rolled = augment.random_roll(sounds, seeded())
    shifts = [next(s for s in range(50) if torch.equal(sounds[k].roll(s, 1), rolled[k])) for k in range(8)]
    assert len(set(shifts)) > 3


def test_powers_add():
    first, second = log_mels(2, 4, 5), log_mels(2, 4, 5, seed=2)
    assert torch.allclose(power(augment.add_power(first, second)), power(first) + power(second))


def test_mixing_reaches_the_ratio_it_was_asked_for():
    first, second = log_mels(4, 16, 20) - 20, log_mels(4, 16, 20, seed=2)
    added = power(augment.mix_at_snr(first, second, seeded(), 7.0, 7.0)) - power(first)
    ratio = 10 * (power(first).mean((1, 2)) / added.mean((1, 2))).log10()
    assert torch.allclose(ratio, torch.full((4,), 7.0, dtype=ratio.dtype), atol=1e-3)


def test_mixing_with_silence_gives_the_other():
    sounds, silence = log_mels(2, 8, 10), torch.full((2, 8, 10), augment.FLOOR_DB)
    assert torch.allclose(augment.mix_at_snr(sounds, silence, seeded()), sounds, atol=1e-2)
    assert torch.allclose(augment.mix_at_snr(silence, sounds, seeded()), sounds, atol=1e-2)


def test_a_ramp_shows_the_speed_and_the_shift():
    time, band = torch.arange(100.0), torch.arange(20.0)
    sounds = (time + 1000 * band[:, None]).expand(32, 20, 100)
    played = augment.random_speed(sounds, seeded(), 50, (0.5, 1.5), 3.0)
    slopes = played.diff(dim=2)[:, 10]
    assert torch.allclose(slopes, slopes[:, :1].expand_as(slopes), atol=0.02)  # one speed for each row
    assert slopes[:, 0].min() >= 0.49 and slopes[:, 0].max() <= 1.51 and slopes[:, 0].std() > 0.1
    shift = (played[:, 10, 0] / 1000).sub(10)
    assert shift.min() >= -3 and shift.max() <= 3.1 and shift.std() > 1
    same = augment.random_speed(sounds, seeded(), 100, (1.0, 1.0), 0.0)
    assert torch.allclose(same, sounds, rtol=1e-4)


def test_an_equaliser_changes_bands_not_times():
    sounds = log_mels(8, 16, 10)
    change = augment.random_equaliser(sounds, seeded(), 6.0) - sounds
    assert torch.allclose(change, change[..., :1].expand_as(change), atol=1e-4)
    assert change.abs().max() <= 6.001 and change[:, :, 0].std(1).min() > 0.1


def test_a_tail_falls_by_60_db_in_its_length_and_the_direct_sound_stays():
    click = torch.full((1, 4, 60), augment.FLOOR_DB)
    click[:, :, 5] = 0.0
    heard = augment.reverberated(click, torch.tensor([30.0]), torch.tensor([-6.0]))[0, 0]
    assert heard[5] == pytest.approx(0.0, abs=0.5) and (heard[:5] < -60).all()
    assert float(heard[20] - heard[10]) == pytest.approx(-20.0, abs=0.2)
    tail = power(heard[5:]).sum() - 1
    assert 10 * float(tail.log10()) == pytest.approx(-6.0, abs=0.1)


def test_rooms_low_passes_and_noise_touch_their_share_of_the_rows():
    sounds = log_mels(400, 12, 8)
    for disturbed in (
        augment.random_room(sounds, seeded(), 0.25),
        augment.random_low_pass(sounds, seeded(), 0.25),
        augment.random_noise(sounds, seeded(), 0.25, 5, 30),
    ):
        changed = (disturbed != sounds).flatten(1).any(1)
        assert 0.15 < changed.float().mean() < 0.35
        assert torch.isfinite(disturbed).all()
    low = augment.random_low_pass(sounds, seeded(), 1.0)
    assert torch.equal(low[:, :4], sounds[:, :4]) and (low[:, -1] < sounds[:, -1]).any()


def test_noise_has_the_power_it_was_asked_for():
    sounds = log_mels(64, 32, 40)
    added = power(augment.random_noise(sounds, seeded(), 1.0, 10, 10)) - power(sounds)
    ratio = 10 * (power(sounds).mean((1, 2)) / added.mean((1, 2))).log10()
    assert ratio.median() == pytest.approx(10, abs=3)  # a tilt moves power between bands


def test_spec_augment_hides_stripes_behind_the_mean_and_leaves_the_rest():
    sounds = log_mels(16, 64, 200)
    out = augment.spec_augment(sounds, seeded(), 2, 30, 1, 8)
    hidden = out != sounds
    mean = sounds.mean((1, 2), keepdim=True).expand_as(sounds)
    torch.testing.assert_close(out[hidden], mean[hidden])
    frames, bins = hidden.all(1), hidden.all(2)  # (16, 200), (16, 64)
    assert torch.equal(hidden, frames[:, None, :] | bins[:, :, None])
    assert 0 < frames.sum(1).max() <= 60
    assert 0 < bins.sum(1).max() <= 8
    assert len({tuple(row.tolist()) for row in frames}) > 8


def test_spec_augment_without_masks_changes_nothing_and_never_hides_more_than_half_an_axis_at_once():
    sounds = log_mels(4, 8, 10)
    assert torch.equal(augment.spec_augment(sounds, seeded(), time_masks=0, frequency_masks=0), sounds)
    short = augment.spec_augment(sounds, seeded(), 1, 1000, 0, 0)
    assert ((short != sounds).all(1).sum(1) <= 5).all()


@pytest.mark.parametrize(
    "change",
    [
        augment.random_gain,
        augment.random_roll,
        lambda x, generator: augment.mix_at_snr(x, x.flip(0), generator),
        lambda x, generator: augment.random_speed(x, generator, 10, (0.8, 1.2), 2.0),
        lambda x, generator: augment.random_equaliser(x, generator, 6.0),
        lambda x, generator: augment.random_room(x, generator, 0.5),
        lambda x, generator: augment.random_low_pass(x, generator, 0.5),
        lambda x, generator: augment.random_noise(x, generator, 0.5, 0, 20),
        augment.spec_augment,
    ],
)
def test_the_generator_alone_decides(change: Callable[[Tensor, Generator], Tensor]):
    sounds = log_mels(8, 20, 25)
    before = torch.get_rng_state()
    assert torch.equal(change(sounds, seeded(5)), change(sounds, seeded(5)))
    assert not torch.equal(change(sounds, seeded(5)), change(sounds, seeded(6)))
    assert torch.equal(torch.get_rng_state(), before)
