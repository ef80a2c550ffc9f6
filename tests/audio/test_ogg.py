"""Setting the serial number of an Ogg file leaves it valid."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from clapgen.audio.ogg import fix_serial_number


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_checksums_are_what_an_encoder_writes(tmp_path: Path, subtype: str) -> None:
    path = tmp_path / "encoder.ogg"
    noise = 0.3 * np.random.default_rng(0).standard_normal(100_000)
    soundfile.write(path, noise, 48_000, format="OGG", subtype=subtype)
    encoded = path.read_bytes()
    serial = int.from_bytes(encoded[14:18], "little")
    changed = bytearray(encoded)
    fix_serial_number(changed, serial + 1)
    assert changed != encoded
    assert changed.count((serial + 1).to_bytes(4, "little")) >= encoded.count(b"OggS") > 2  # every page has it
    fix_serial_number(changed, serial)
    assert changed == encoded
