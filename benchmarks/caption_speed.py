"""Time of `clapgen caption`, from a cold start for one file and per file of a folder, compared with its limits.

    python benchmarks/caption_speed.py RECORDINGS [--files 64]

Whole commands on recordings, since captions of noise have another length: each is cut, or repeated, to 10 s of 48 kHz
wav. For the single file the best of three runs.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile
from speed import measure_process

from clapgen.audio import find_audio, read_audio

SECONDS, SAMPLE_RATE = 10, 48_000
COLD_LIMIT, FILE_LIMIT = 3.0, 0.3  # seconds


def main() -> None:
    arguments = parse()
    with tempfile.TemporaryDirectory() as folder:
        recordings = find_audio([arguments.recordings])[: arguments.files]
        for index, path in enumerate(recordings):
            waveform, _ = read_audio(path, SAMPLE_RATE, duration=SECONDS)
            soundfile.write(Path(folder) / f"{index:04}.wav", np.resize(waveform, SECONDS * SAMPLE_RATE), SAMPLE_RATE)
        command = [sys.executable, "-m", "clapgen.cli", "caption", "--model", arguments.model]
        cold = min(measure_process([*command, f"{folder}/0000.wav"])[1] for _ in range(3))
        _, whole, peak = measure_process([*command, folder])
    each = whole / len(recordings)
    print("| what | s | limit, s | share of limit |\n|---|---|---|---|")
    print(f"| one file of {SECONDS} s, cold start to caption | {cold:.2f} | {COLD_LIMIT} | {cold / COLD_LIMIT:.2f} |")
    what = f"per file of {len(recordings)}, start included"
    print(f"| {what} | {each:.3f} | {FILE_LIMIT} | {each / FILE_LIMIT:.2f} |")
    print(f"\npeak {peak:.2f} GB")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", type=Path, help="folder of recordings")
    parser.add_argument("--files", type=int, default=64)
    parser.add_argument("--model", default="default")
    return parser.parse_args()


if __name__ == "__main__":
    main()
