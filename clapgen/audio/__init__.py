"""Audio as data: files, resampling, windows, log-mel spectrograms."""

from clapgen.audio.io import (
    AUDIO_SUFFIXES,
    OUTPUT_SUFFIXES,
    duration_of,
    encode_audio,
    find_audio,
    peak_normalise,
    rate_and_duration_of,
    read_audio,
    resample,
    to_mono,
    write_audio,
)

__all__ = [
    "AUDIO_SUFFIXES",
    "OUTPUT_SUFFIXES",
    "duration_of",
    "encode_audio",
    "find_audio",
    "peak_normalise",
    "rate_and_duration_of",
    "read_audio",
    "resample",
    "to_mono",
    "write_audio",
]
