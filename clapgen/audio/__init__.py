"""Audio as data: files, resampling, windows, log-mel spectrograms."""

from clapgen.audio.finding import AUDIO_SUFFIXES, FoundAudio, find_audio, search_audio
from clapgen.audio.reading import rate_and_duration_of, read_audio, stream_audio
from clapgen.audio.waveform import as_float, peak_normalise, resample, to_mono
from clapgen.audio.writing import OUTPUT_SUFFIXES, encode_audio, read_comment, write_audio

__all__ = [
    "AUDIO_SUFFIXES",
    "OUTPUT_SUFFIXES",
    "FoundAudio",
    "as_float",
    "encode_audio",
    "find_audio",
    "peak_normalise",
    "rate_and_duration_of",
    "read_audio",
    "read_comment",
    "resample",
    "search_audio",
    "stream_audio",
    "to_mono",
    "write_audio",
]
