"""The log-mel equals librosa's, has a slope everywhere it should, and does not see its neighbours in a batch."""

import librosa
import numpy as np
import pytest
import torch

from clapgen.audio import read_audio
from clapgen.audio.mel import LogMel, hz_to_mel, mel_filters, mel_to_hz
from clapgen.errors import ClapgenError

SETTINGS = [(32000, 1024, 320, 64, 50.0, None), (48000, 1024, 480, 64, 50.0, 14000.0), (16000, 512, 160, 80, 0.0, None)]


@pytest.mark.slow
@pytest.mark.parametrize("settings", SETTINGS)
def test_equals_librosa_on_real_recordings(recordings, settings):
    sample_rate, n_fft, hop_length, n_mels, f_min, f_max = settings
    log_mel = LogMel(sample_rate, n_fft, hop_length, n_mels, f_min, f_max)
    for path in recordings:
        waveform, _ = read_audio(path, sample_rate)
        power = librosa.feature.melspectrogram(
            y=waveform.astype(np.float64),
            sr=sample_rate,
            n_fft=n_fft,
            hop_length=hop_length,
            n_mels=n_mels,
            fmin=f_min,
            fmax=f_max,
            pad_mode="reflect",
        )
        reference = librosa.power_to_db(power, ref=1.0, amin=1e-10, top_db=None)
        ours = log_mel(torch.from_numpy(waveform)[None])[0].numpy()
        assert ours.shape == reference.shape == (n_mels, 1 + len(waveform) // hop_length)
        below_loudest = reference.max(axis=0, keepdims=True) - reference
        difference = np.abs(ours - reference)
        assert difference[below_loudest < 40].max() < 1e-4  # dB
        assert difference[below_loudest < 80].max() < 1e-2  # float32 rounding of the loud bins leaks this far down


@pytest.mark.parametrize("settings", SETTINGS)
def test_filters_equal_librosa(settings):
    sample_rate, n_fft, _, n_mels, f_min, f_max = settings
    reference = librosa.filters.mel(
        sr=sample_rate, n_fft=n_fft, n_mels=n_mels, fmin=f_min, fmax=f_max, dtype=np.float64
    )
    ours = mel_filters(sample_rate, n_fft, n_mels, f_min, f_max or sample_rate / 2)
    np.testing.assert_allclose(ours, reference, atol=1e-12)


def test_mel_scale_there_and_back():
    frequencies = np.array([0.0, 20.0, 440.0, 999.9, 1000.0, 8000.0, 24000.0])
    np.testing.assert_allclose(mel_to_hz(hz_to_mel(frequencies)), frequencies, atol=1e-9)


def test_gradient_is_the_slope():
    log_mel = LogMel(16000, 64, 16, 8)
    waveform = torch.randn(1, 256, generator=torch.Generator().manual_seed(0), requires_grad=True)
    weights = torch.randn(1, 8, 17, generator=torch.Generator().manual_seed(1))
    (log_mel(waveform) * weights).sum().backward()
    direction = torch.randn(1, 256, generator=torch.Generator().manual_seed(2))
    step = 1e-3
    with torch.no_grad():
        ahead = (log_mel(waveform + step * direction) * weights).sum()
        behind = (log_mel(waveform - step * direction) * weights).sum()
    assert (waveform.grad * direction).sum().item() == pytest.approx((ahead - behind).item() / (2 * step), rel=1e-2)


def test_silence_is_the_floor_with_finite_gradient():
    waveform = torch.zeros(1, 2048, requires_grad=True)
    log_mel = LogMel(16000, 512, 160, 40)(waveform)
    assert torch.all(log_mel == -100.0)
    log_mel.sum().backward()
    assert torch.isfinite(waveform.grad).all()


def test_a_clip_does_not_depend_on_its_batch():
    batch = torch.randn(5, 8000, generator=torch.Generator().manual_seed(0))
    log_mel = LogMel(16000, 512, 160, 40)
    together = log_mel(batch)
    for row, alone in zip(together, batch, strict=True):
        torch.testing.assert_close(row, log_mel(alone[None])[0], rtol=0, atol=1e-4)


def test_stays_float32_in_half_precision_models_and_under_autocast():
    waveform = 0.3 * torch.randn(2, 4000, generator=torch.Generator().manual_seed(0))
    log_mel = LogMel(16000, 512, 160, 40)
    expected = log_mel(waveform)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(log_mel(waveform), expected, rtol=0, atol=0)
    model = torch.nn.Sequential(log_mel).to(torch.bfloat16)
    torch.testing.assert_close(model(waveform), expected, rtol=0, atol=0)


def test_is_not_part_of_a_checkpoint():
    assert LogMel(16000, 512, 160, 40).state_dict() == {}


def test_too_short_a_sound_says_so():
    with pytest.raises(ClapgenError, match="256 samples is too short; pad it to at least 257"):
        LogMel(16000, 512, 160, 40)(torch.zeros(1, 256))
