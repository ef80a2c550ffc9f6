"""Decoding speed of `read_audio` compared with libsndfile alone (soundfile), 10 s stereo clips, in one process.

    python benchmarks/decoding_speed.py [--runs 15]

libsndfile is the limit only where it reads the file whole: see `clapgen/audio/decoding.py` for what it cuts or refuses.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import soundfile

from clapgen.audio import read_audio

FORMATS = {
    "wav": ("WAV", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
    "ogg": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
}
SECONDS, RATE = 10, 48000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=15)
    runs = parser.parse_args().runs
    totals = np.zeros(2)
    print("| format | clapgen, ms | libsndfile, ms | ratio |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for suffix, (container, subtype) in FORMATS.items():
            path = Path(folder) / f"clip.{suffix}"
            soundfile.write(path, music(), RATE, format=container, subtype=subtype)
            times = milliseconds(lambda p=path: read_audio(p), lambda p=path: libsndfile(p), runs)
            totals += times
            print(f"| {suffix} | {times[0]:.1f} | {times[1]:.1f} | {times[0] / times[1]:.2f} |")
    print(f"| sum | {totals[0]:.1f} | {totals[1]:.1f} | {totals[0] / totals[1]:.2f} |")


def music() -> np.ndarray:
    """Decaying partials over noise, `(samples, 2)`: neither trivial nor impossible to compress."""
    generator = np.random.default_rng(0)
    time_ = np.arange(SECONDS * RATE) / RATE
    partials = sum(np.sin(2 * np.pi * 220 * k * time_) / k for k in range(1, 8)) * np.exp(-2 * (time_ % 0.5))
    return np.stack([0.2 * partials + 0.02 * generator.standard_normal(len(time_)) for _ in range(2)], axis=1)


def libsndfile(path: Path) -> np.ndarray:
    with soundfile.SoundFile(path) as file:
        return file.read(dtype="float32", always_2d=True).mean(axis=1)


def milliseconds(ours: Callable[[], object], theirs: Callable[[], object], runs: int) -> list[float]:
    """Median of alternating runs, so that a busy machine slows both."""
    taken: list[list[float]] = [[], []]
    for _ in range(runs + 1):
        for which, function in enumerate((ours, theirs)):
            started = time.perf_counter()
            function()
            taken[which].append(1000 * (time.perf_counter() - started))
    return [median(times[1:]) for times in taken]


if __name__ == "__main__":
    main()
