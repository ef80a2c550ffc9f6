"""Time of `clapgen caption`, from a cold start for one file and per file of a folder, compared with its limits.

    python benchmarks/caption_speed.py [--files 64]

Whole commands on 10 s clips of noise, all different, as 48 kHz wav; for the single file the best of three runs.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile
from speed import measure_process

SECONDS, SAMPLE_RATE = 10, 48_000
COLD_LIMIT, FILE_LIMIT = 3.0, 0.3  # seconds


def main() -> None:
    arguments = parse()
    with tempfile.TemporaryDirectory() as folder:
        for index in range(arguments.files):
            noise = np.random.default_rng(index).standard_normal(SECONDS * SAMPLE_RATE) * 0.1
            soundfile.write(Path(folder) / f"{index:04}.wav", noise, SAMPLE_RATE)
        command = [sys.executable, "-m", "clapgen.cli", "caption", "--model", arguments.model]
        cold = min(measure_process([*command, f"{folder}/0000.wav"])[1] for _ in range(3))
        _, whole, peak = measure_process([*command, folder])
    each = whole / arguments.files
    print("| what | s | limit, s | share of limit |\n|---|---|---|---|")
    print(f"| one file of {SECONDS} s, cold start to caption | {cold:.2f} | {COLD_LIMIT} | {cold / COLD_LIMIT:.2f} |")
    print(f"| per file of {arguments.files}, start included | {each:.3f} | {FILE_LIMIT} | {each / FILE_LIMIT:.2f} |")
    print(f"\npeak {peak:.2f} GB")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=64)
    parser.add_argument("--model", default="default")
    return parser.parse_args()


if __name__ == "__main__":
    main()
