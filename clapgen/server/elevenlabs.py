"""The formats and the scale of ElevenLabs' API for sound effects."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace

import numpy as np
import soundfile

from clapgen.server.answers import MadeSound

USUAL_FORMAT = "mp3_44100_128"
_MP3 = ("22050_32", "24000_48", "44100_32", "44100_64", "44100_96", "44100_128", "44100_192")
_PCM = (8000, 16000, 22050, 24000, 32000, 44100, 48000)
_OPUS = (32, 64, 96, 128, 192)
FORMATS: dict[str, tuple[str, int]] = {  # name → suffix and sample rate
    **{f"mp3_{name}": (".mp3", int(name.partition("_")[0])) for name in _MP3},
    **{f"pcm_{rate}": (".pcm", rate) for rate in _PCM},
    **{f"opus_48000_{kilobits}": (".opus", 48000) for kilobits in _OPUS},
    "ulaw_8000": (".ulaw", 8000),
    "alaw_8000": (".alaw", 8000),
    **{f"wav_{rate}": (".wav", rate) for rate in _PCM},
    "wav": (".wav", 0),  # the model's own rate
}


def guidance_of(influence: float | None) -> float:
    """The guidance scale for a prompt influence from 0 to 1: 1 (none) to 10; 0.3, their default, is 3, ours."""
    return max(1.0, 10 * (0.3 if influence is None else influence))


def encoded_as(sound: MadeSound, name: str) -> MadeSound:
    """A sound that is a wav of floats, in one of `FORMATS`; raw ones have no header, and 16 or 8 bits."""
    from clapgen.audio import encode_audio, resample
    from generation.sidecars import comment_of

    suffix, rate = FORMATS[name]
    waveform, own = soundfile.read(io.BytesIO(sound.content), dtype="float32")
    rate = rate or own
    waveform = np.clip(resample(waveform, own, rate), -1, 1)
    if suffix in (".pcm", ".ulaw", ".alaw"):
        subtype = {".pcm": "PCM_16", ".ulaw": "ULAW", ".alaw": "ALAW"}[suffix]
        raw = io.BytesIO()
        soundfile.write(raw, waveform, rate, subtype=subtype, endian="LITTLE", format="RAW")
        content = raw.getvalue()
    else:
        bare = {key: value for key, value in sound.sidecar.items() if key not in ("sha256", "file")}
        content = encode_audio(f"sound{suffix}", waveform, rate, comment=comment_of(bare))
    sidecar = {**sound.sidecar, "file": sound.stem + suffix, "sha256": hashlib.sha256(content).hexdigest()}
    return replace(sound, content=content, suffix=suffix, sidecar={**sidecar, "format": name, "sample_rate": rate})
