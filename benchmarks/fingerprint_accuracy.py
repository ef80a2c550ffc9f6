"""How well audio fingerprints find recordings again, and how fast.

    python benchmarks/fingerprint_accuracy.py MANIFEST [--clips 240] [--seconds 1] [--seed 0]

Indexes clips of a manifest, a few of each label and one of each `recording`, then looks up a part of each, from a
random place, after one disturbance after another. Recall is the share of parts that are found in their own clip, at the
right time. Precision is the share of the recordings found that are the right one; a clip that holds the same sample
under another name counts against it. Such pairs are listed, to be judged by ear.
"""

import argparse
import time
from collections import Counter, defaultdict
from collections.abc import Callable

import numpy as np

from clapgen.audio import read_audio, resample
from clapgen.data.manifest import Clip, read_manifest
from clapgen.errors import ClapgenError
from clapgen.fingerprints import Fingerprint, FingerprintIndex, fingerprint
from clapgen.testing.disturbances import encoded, with_noise

PER_LABEL = 4
LATE = 0.1  # seconds by which an encoder may shift a sound
QUIET = 0.05  # of a clip's mean power: parts below it are drawn again
Sound = tuple[np.ndarray, int]
Disturb = Callable[[np.ndarray, int], Sound]


def codec(name: str, bit_rate: int) -> Disturb:
    """Through a lossy codec."""
    return lambda part, rate: read_audio(encoded(part, rate, name, bit_rate)[0])


def noisy_mp3(part: np.ndarray, rate: int) -> Sound:
    """White noise at 10 dB, then MP3."""
    return codec("mp3", 64_000)(with_noise(part, 10), rate)


DISTURBANCES: dict[str, Disturb] = {
    "none": lambda part, rate: (part, rate),
    "gain -20 dB": lambda part, rate: (part * np.float32(0.1), rate),
    "resampled, 11025 Hz": lambda part, rate: (resample(part, rate, 11025), 11025),
    "MP3, 64 kbit/s": codec("mp3", 64_000),
    "Opus, 32 kbit/s": codec("opus", 32_000),
    "AAC, 64 kbit/s": codec("aac", 64_000),
    "white noise, 10 dB": lambda part, rate: (with_noise(part, 10), rate),
    "pink noise, 10 dB": lambda part, rate: (with_noise(part, 10, pink=True), rate),
    "white noise, 10 dB, MP3": noisy_mp3,
}


def main() -> None:
    options = parse()
    rng = np.random.default_rng(options.seed)
    clips = chosen(read_manifest(options.manifest), options.clips, options.seconds, rng)
    sounds = [read_audio(clip.path) for clip in clips]
    length = sum(len(waveform) / rate for waveform, rate in sounds)
    started = time.process_time()
    prints = [fingerprint(*sound) for sound in sounds]
    took = time.process_time() - started
    size = sum(len(each.to_bytes()) for each in prints)
    print(
        f"{len(clips)} clips, {length:.0f} s: {len(clips) / took:.0f} fingerprints/s of CPU time, "
        f"{length / took:.0f} times real time, {size / length:.0f} bytes/s of sound",
        flush=True,
    )
    index: FingerprintIndex[int] = FingerprintIndex()
    for number, each in enumerate(prints):
        index.add(number, each)
    measure(clips, sounds, index, options.seconds, rng)


def measure(
    clips: list[Clip], sounds: list[Sound], index: FingerprintIndex[int], seconds: float, rng: np.random.Generator
) -> None:
    """Print recall and precision for each disturbance, and the pairs that were taken for one recording."""
    parts = [a_part(*sound, seconds, rng) for sound in sounds]
    print(f"{'disturbance':<24}  recall  precision  ms per query")
    taken: Counter[tuple[int, int]] = Counter()
    for name, disturb in DISTURBANCES.items():
        queries: list[Fingerprint] = [
            fingerprint(*disturb(part, sound[1])) for (part, _), sound in zip(parts, sounds, strict=True)
        ]
        right = wrong = 0
        started = time.process_time()
        for number, query in enumerate(queries):
            for match in index.matches(query):
                same = match.key == number and abs(match.offset_seconds - parts[number][1]) < LATE
                right, wrong = right + same, wrong + (match.key != number)
                taken[number, match.key] += match.key != number
        took = 1000 * (time.process_time() - started) / len(queries)
        precision = right / max(1, right + wrong)
        print(f"{name:<24}  {right / len(queries):.3f}   {precision:.3f}      {took:.1f}", flush=True)
    for (one, other), times in taken.most_common(20):
        if times:
            print(f"taken for one recording {times} times: {clips[one].path}, {clips[other].path}")


def chosen(clips: list[Clip], count: int, seconds: float, rng: np.random.Generator) -> list[Clip]:
    """As many clips, longer than the parts, `PER_LABEL` of each label, no two of one recording."""
    by_label: dict[str, list[Clip]] = defaultdict(list)
    recordings = set()
    for position in rng.permutation(len(clips)):
        clip = clips[position]
        label = clip.labels[0] if clip.labels else ""
        recording = clip.recording or str(clip.path)
        long_enough = float(clip.extra.get("duration", 10.0)) >= seconds + 0.6
        if recording in recordings or len(by_label[label]) == PER_LABEL or not long_enough:
            continue
        by_label[label].append(clip)
        recordings.add(recording)
    full = [label for label, found in by_label.items() if len(found) == PER_LABEL]
    result = [clip for label in rng.permutation(full) for clip in by_label[label]][:count]
    if not result:
        raise ClapgenError(
            f"no label of the manifest has {PER_LABEL} clips of different recordings that are long enough."
        )
    return result


def a_part(waveform: np.ndarray, rate: int, seconds: float, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """A part that is not nearly silent, and where it starts in seconds."""
    size, power = round(seconds * rate), float(np.mean(np.square(waveform)))
    start = 0
    for _ in range(20):
        start = int(rng.integers(max(1, len(waveform) - size)))
        if np.mean(np.square(waveform[start : start + size])) > QUIET * power:
            break
    return waveform[start : start + size], start / rate


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest")
    parser.add_argument("--clips", type=int, default=240)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
