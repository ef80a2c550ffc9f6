"""Silence is found whatever the offset, the pieces and the type of a sound."""

import numpy as np
import pytest

from clapgen.audio.silence import SilenceMeter, silence_of

TONE = np.sin(2 * np.pi * 440 * np.arange(8000) / 8000).astype(np.float32)


@pytest.mark.parametrize("offset", [0.0, 0.3, -0.9])
@pytest.mark.parametrize(("peak", "note"), [(0.5, ""), (0.0011, ""), (0.0009, "silent: peaks at -61 dBFS")])
def test_the_peak_is_measured_without_the_mean(offset: float, peak: float, note: str) -> None:
    sound = offset + peak * TONE
    assert silence_of(sound) == note
    meter = SilenceMeter()
    pieces = [sound[:1], sound[1:5000], sound[5000:5000], sound[5000:]]
    np.testing.assert_array_equal(np.concatenate(list(meter.watch(pieces))), sound)
    assert (meter.note(), meter.samples) == (note, 8000)


@pytest.mark.parametrize("value", [0.3, -1.0, 1e-3])
def test_a_constant_is_silent(value: float) -> None:
    assert silence_of(np.full(100, value, dtype=np.float32)) == "silent: a constant offset"
    assert silence_of(np.zeros(100, dtype=np.float32)) == "digital silence"
