"""The same sound is the same Ogg file, and still a valid one."""

import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from clapgen.audio import read_audio, write_audio
from clapgen.audio.ogg import _checksum


@pytest.mark.parametrize("suffix", [".ogg", ".opus"])
def test_two_writes_are_equal_bytes(tmp_path: Path, suffix: str) -> None:
    waveform = 0.3 * np.random.default_rng(0).standard_normal(100_000).astype(np.float32)
    paths = [tmp_path / f"{name}{suffix}" for name in "ab"]
    write_audio(paths[0], waveform, 48_000)
    time.sleep(1.05)  # libsndfile draws the serial number from the clock
    write_audio(paths[1], waveform, 48_000)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert len(read_audio(paths[0])[0]) == len(waveform)


def test_checksum_is_what_an_encoder_writes(tmp_path: Path) -> None:
    path = tmp_path / "encoder.ogg"
    soundfile.write(path, np.zeros(1000, dtype=np.float32), 8000, format="OGG", subtype="VORBIS")
    page = bytearray(path.read_bytes())
    page = page[: page.index(b"OggS", 4)]
    written = int.from_bytes(page[22:26], "little")
    page[22:26] = bytes(4)
    assert _checksum(page) == written
