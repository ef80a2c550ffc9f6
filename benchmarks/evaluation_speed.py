"""Time to evaluate clips, twice (the second time from the cache), and to only embed them with transformers' ClapModel.

    python benchmarks/evaluation_speed.py [--clips 1000] [--folder FOLDER]

Ours is the whole of `clapgen evaluate generation`: hashing, decoding and resampling 10 s clips from disk, checking them
for silence and noise, embedding, CLAP score, FAD, FAD-inf, KAD, KL, precision, recall, novelty. Theirs is feature
extraction and embedding of arrays in memory, at the sizes of laion/clap-htsat-unfused with random weights. It is
measured on a few clips, and the time per clip is multiplied by the number of clips that ours embeds.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
import torch
from peers import CLAP_SAMPLE_RATE, PeerClap

from clapgen.audio import find_audio, read_audio
from clapgen.clap import Clap
from clapgen.embedders.cache import EmbeddingCache
from clapgen.evaluation.context import EvaluationContext
from clapgen.evaluation.generation.evaluate import evaluate_generation

SECONDS = 10
PEER_BATCH = 8
WORDS = ("rain", "a dog", "wind", "a car", "footsteps", "birds", "an engine", "water")


def make_clips(folder: Path, count: int, seed: int) -> None:
    """Write clips of noise with a tone and a slow envelope, all different: 48 kHz, 16 bits."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    length = SECONDS * CLAP_SAMPLE_RATE
    noise = rng.standard_normal(4 * length).astype(np.float32)
    time_axis = np.arange(length, dtype=np.float32) / CLAP_SAMPLE_RATE
    for index in range(count):
        start, period = rng.integers(0, 3 * length), rng.uniform(0.5, 8)
        tone = np.sin(2 * np.pi * rng.uniform(80, 4000) * time_axis) * rng.uniform(0, 0.3)
        envelope = 0.55 + 0.45 * np.sin(2 * np.pi * time_axis / period)
        clip = envelope * (0.1 * noise[start : start + length] + tone)
        soundfile.write(folder / f"{index:05d}.wav", clip, CLAP_SAMPLE_RATE, subtype="PCM_16")


def write_prompts(folder: Path, path: Path) -> None:
    lines = [
        json.dumps({"file_name": file.name, "prompt": f"the sound of {WORDS[index % len(WORDS)]}"})
        for index, file in enumerate(find_audio([folder]))
    ]
    path.write_text("\n".join(lines) + "\n")


def peer_seconds_per_clip(clips: list[np.ndarray]) -> float:
    """Time of embedding only, after a batch to warm up."""
    peer = PeerClap(torch.float32)
    peer.embed_audio(clips[:PEER_BATCH])
    began = time.perf_counter()
    for start in range(0, len(clips), PEER_BATCH):
        peer.embed_audio(clips[start : start + PEER_BATCH])
    return (time.perf_counter() - began) / len(clips)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=1000, help="number of generated clips (noise and tones)")
    parser.add_argument("--references", type=int, default=250, help="number of reference clips (the same)")
    parser.add_argument("--folder", type=Path, help="use your own generated clips instead")
    parser.add_argument("--peer-clips", type=int, default=24, help="number of clips that transformers embeds")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        generated = options.folder or work / "generated"
        if options.folder is None:
            make_clips(generated, options.clips, seed=0)
        make_clips(work / "reference", options.references, seed=1)
        write_prompts(generated, work / "prompts.jsonl")
        clips = len(find_audio([generated])) + options.references
        clap = Clap.from_pretrained("default")
        clap.embed_audio([np.zeros(SECONDS * clap.sample_rate, dtype=np.float32)] * PEER_BATCH, clap.sample_rate)
        time.sleep(2.5)  # files written a moment ago are hashed at every run
        runs = []
        for _ in range(2):
            context = EvaluationContext(clap, EmbeddingCache(work / "cache"))
            report = evaluate_generation(
                generated, context, reference=work / "reference", prompts=work / "prompts.jsonl"
            )
            runs.append(report.seconds)
        some = find_audio([generated])[: options.peer_clips]
        theirs = clips * peer_seconds_per_clip([read_audio(path, CLAP_SAMPLE_RATE)[0] for path in some])
    metrics = {
        "clips": clips,
        "threads": options.threads,
        "first_run_s": runs[0],
        "second_run_s": runs[1],
        "second_over_first": runs[1] / runs[0],
        f"transformers_embedding_s_computed_from_{len(some)}_clips": theirs,
        f"ratio_computed_from_{len(some)}_clips": theirs / runs[0],
    }
    if options.json:
        print(json.dumps(metrics))
        return
    print(f"{clips} clips of {SECONDS} s, {options.threads} threads, torch {torch.__version__}, model {clap.hash}\n")
    print("| | seconds |\n|---|---|")
    print(f"| clapgen, whole evaluation | {runs[0]:.1f} |")
    print(f"| second run, from the cache | {runs[1]:.2f} ({runs[1] / runs[0]:.1%}) |")
    print(f"| transformers ClapModel, embedding only, computed from {len(some)} clips | {theirs:.1f} |")
    print(f"| ratio, computed from {len(some)} clips | {theirs / runs[0]:.1f}× |")


if __name__ == "__main__":
    main()
