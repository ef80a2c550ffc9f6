"""Augmentations do what they promise, row by row, and are repeatable from the same generator."""

from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile
import torch
from torch import Generator, Tensor

from clapgen.data.audio_cache import AudioCache
from clapgen.data.manifest import Clip
from pretrain.data.augment import batch_of_crops, crop_start, mix_at_snr, random_gain, random_roll, spec_augment

RATE = 8000


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def noise(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=seeded(seed))


@pytest.fixture
def cache(tmp_path: Path) -> AudioCache:
    clips = []
    for number, samples in enumerate((300, 1000, 5000)):
        clips.append(Clip(tmp_path / f"{number}.wav"))
        soundfile.write(clips[-1].path, 0.1 * noise(samples, seed=number).numpy(), RATE, subtype="FLOAT")
    return AudioCache.build(clips, RATE, tmp_path / "cache", progress=False)


def test_crop_start_is_centred_for_evaluation_and_reaches_both_ends_in_training() -> None:
    assert crop_start(10, 4, None) == 3
    assert crop_start(4, 10, None) == crop_start(4, 10, seeded()) == 0
    generator = seeded()
    assert {crop_start(5, 3, generator) for _ in range(100)} == {0, 1, 2}


def test_batch_of_crops_holds_contiguous_parts_of_its_clips(cache: AudioCache) -> None:
    batch = batch_of_crops(cache, [0, 2], 1000, seeded())
    assert batch.shape == (2, 1000)
    short = torch.from_numpy(cache.waveform(0))  # 300 samples: three whole repetitions, then silence
    torch.testing.assert_close(batch[0], torch.cat([short, short, short, torch.zeros(100)]))
    parts = torch.from_numpy(cache.waveform(2)).unfold(0, 1000, 1)
    assert (parts == batch[1]).all(1).sum() == 1


def test_evaluation_crops_are_the_middle_every_time(cache: AudioCache) -> None:
    middle = torch.from_numpy(cache.waveform(2))[2000:3000]
    torch.testing.assert_close(batch_of_crops(cache, [2], 1000)[0], middle)


def test_gain_stays_in_its_range_and_differs_between_rows() -> None:
    waveforms = noise(64, 100)
    gain_db = 20 * torch.log10(random_gain(waveforms, seeded(), -3, 9).norm(dim=1) / waveforms.norm(dim=1))
    assert gain_db.min() >= -3.01
    assert gain_db.max() <= 9.01
    assert gain_db.max() - gain_db.min() > 8


def test_roll_keeps_every_sample_in_circular_order() -> None:
    waveforms = noise(8, 50)
    rolled = random_roll(waveforms, seeded())
    shifts = [next(s for s in range(50) if torch.equal(waveforms[k].roll(s), rolled[k])) for k in range(8)]
    assert len(set(shifts)) > 3


def test_mixing_reaches_the_ratio_it_was_asked_for() -> None:
    first, second = 1e-3 * noise(4, 4000, seed=1), 1e-1 * noise(4, 4000, seed=2)
    added = mix_at_snr(first, second, seeded(), 7.0, 7.0) - first
    ratio_db = 10 * torch.log10(first.square().mean(1) / added.square().mean(1))
    torch.testing.assert_close(ratio_db, torch.full((4,), 7.0), atol=1e-2, rtol=0)


def test_mixing_with_silence_gives_the_other_and_never_leaves_the_range() -> None:
    waveforms, silence = 0.1 * noise(2, 1000), torch.zeros(2, 1000)
    torch.testing.assert_close(mix_at_snr(waveforms, silence, seeded()), waveforms)
    torch.testing.assert_close(mix_at_snr(silence, waveforms, seeded()), waveforms)
    loud = mix_at_snr(noise(2, 1000), noise(2, 1000, seed=3), seeded())
    assert loud.abs().amax(1).tolist() == pytest.approx([1, 1])


def test_spec_augment_hides_stripes_behind_the_mean_and_leaves_the_rest() -> None:
    log_mel = noise(16, 64, 200) - 40
    hidden = spec_augment(log_mel, seeded(), 2, 30, 1, 8) != log_mel
    out = spec_augment(log_mel, seeded(), 2, 30, 1, 8)
    mean = log_mel.mean((1, 2), keepdim=True).expand_as(log_mel)
    torch.testing.assert_close(out[hidden], mean[hidden])
    frames, bins = hidden.all(1), hidden.all(2)  # (16, 200), (16, 64)
    assert torch.equal(hidden, frames[:, None, :] | bins[:, :, None])
    assert 0 < frames.sum(1).max() <= 60
    assert 0 < bins.sum(1).max() <= 8
    assert len({tuple(row.tolist()) for row in frames}) > 8


def test_spec_augment_without_masks_changes_nothing_and_never_hides_more_than_half_an_axis_at_once() -> None:
    log_mel = noise(4, 8, 10)
    assert torch.equal(spec_augment(log_mel, seeded(), time_masks=0, frequency_masks=0), log_mel)
    short = spec_augment(log_mel, seeded(), 1, 1000, 0, 0)
    assert ((short != log_mel).all(1).sum(1) <= 5).all()


@pytest.mark.parametrize(
    "augment",
    [
        random_gain,
        random_roll,
        lambda x, generator: mix_at_snr(x, x.flip(0), generator),
        lambda x, generator: spec_augment(x.view(4, 20, 25), generator),
    ],
)
def test_the_generator_alone_decides(augment: Callable[[Tensor, Generator], Tensor]) -> None:
    waveforms = noise(4, 500)
    before = torch.get_rng_state()
    assert torch.equal(augment(waveforms, seeded(5)), augment(waveforms, seeded(5)))
    assert not torch.equal(augment(waveforms, seeded(5)), augment(waveforms, seeded(6)))
    assert torch.equal(torch.get_rng_state(), before)
