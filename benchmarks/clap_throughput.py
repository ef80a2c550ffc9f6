"""Clips and sentences per second of clapgen's CLAPs and transformers' ClapModel (laion/clap-htsat-unfused), in one run.

    python benchmarks/clap_throughput.py

All embed the same 10 s clips, given as 48 kHz arrays, on one device. The times include feature extraction, resampling
(ours) and windows. transformers runs as its users call it, extractor and model. "LAION in clapgen" has the same
weights; the largest difference between the unit vectors of both, and between their cosines, is printed with its speed.
Calls take turns, so that a busy computer slows all alike.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peers import CLAP_SAMPLE_RATE, PeerClap

from clapgen.clap import Clap, ClapConfig
from clapgen.devices import choose_device
from clapgen.embedders import load_clap
from clapgen.errors import ClapgenError

SENTENCE = "a dog barks twice while rain falls on a tin roof and a car passes, number {}"
PEER = "transformers, float32"
LAION = "LAION in clapgen"


def load_own(name: str, device: torch.device) -> Clap:
    """Load a model by name; random weights at the default sizes if there is no default model."""
    try:
        return Clap.from_pretrained(name, device)
    except ClapgenError:
        if name != "default":
            raise
    from clapgen.clap.tokenizer import train_tokenizer

    torch.manual_seed(0)
    config = ClapConfig()
    model = Clap(config, train_tokenizer([SENTENCE.format(n) for n in range(100)], config.text.vocab_size))
    model.name = "random weights, default sizes"
    return model.eval().to(device)


def per_second(calls: dict[str, Callable[[], object]], items: int, repeats: int) -> dict[str, float]:
    """Items per second of each call: the median of `repeats` rounds, after one to warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(1 + repeats):
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - began)
    return {name: items / float(np.median(each[1:])) for name, each in seconds.items()}


def clips(count: int) -> list[np.ndarray]:
    """Ten seconds each of noise of another colour and loudness."""
    generator = np.random.default_rng(0)
    sounds = []
    for _ in range(count):
        spectrum = np.fft.rfft(generator.normal(0, 1, 10 * CLAP_SAMPLE_RATE))
        spectrum /= np.maximum(1, np.arange(len(spectrum))) ** generator.uniform(0, 1)
        samples = np.fft.irfft(spectrum)
        sounds.append((samples * generator.uniform(0.05, 0.5) / np.abs(samples).max()).astype(np.float32))
    return sounds


def measure(options: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """Speeds, and how far LAION in clapgen is from transformers."""
    waveforms = clips(options.clips)
    texts = [SENTENCE.format(n) for n in range(options.sentences)]
    peer = PeerClap(torch.float32, device)
    with tempfile.TemporaryDirectory() as folder:
        peer.save(Path(folder))
        laion = {dtype: load_clap(f"{folder},dtype={dtype}", device) for dtype in options.dtypes.split(",")}
    own = load_own(options.model, device)
    calls: dict[str, Callable[[], Any]] = {PEER: lambda: peer.embed_audio(waveforms)}
    for dtype, clap in laion.items():
        calls[f"{LAION}, {dtype}"] = lambda clap=clap: clap.embed_audio(waveforms, CLAP_SAMPLE_RATE)
    calls["clapgen's own, float32"] = lambda: own.embed_audio(waveforms, CLAP_SAMPLE_RATE)
    expected = peer.embed_audio(waveforms)
    sentences = {
        PEER: lambda: peer.embed_text(options.sentences),
        "clapgen's own, float32": lambda: own.embed_text(texts),
    }
    return {
        "model": own.name,
        "hash": own.hash,
        "clips/s": per_second(calls, options.clips, options.repeats),
        "sentences/s": per_second(sentences, options.sentences, options.repeats),
        "largest difference": {name: largest_difference(expected, calls[name]()) for name in calls if LAION in name},
        "largest difference of cosines": {
            name: largest_difference(expected @ expected.T, calls[name]() @ calls[name]().T)
            for name in calls
            if LAION in name
        },
    }


def largest_difference(expected: torch.Tensor, found: torch.Tensor) -> float:
    return float((expected - found).abs().max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="default")
    parser.add_argument("--clips", type=int, default=8, help="clips of 10 s in a batch")
    parser.add_argument("--sentences", type=int, default=32, help="sentences in a batch")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--dtypes", default="float32,bfloat16", help="of LAION in clapgen")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    metrics = measure(options, choose_device(options.device))
    if options.json:
        print(json.dumps({"threads": options.threads, **metrics}))
        return
    print(f"clapgen CLAP: {metrics['model']} {metrics['hash']}, {options.threads} threads, torch {torch.__version__}\n")
    print("| | per second | ratio | largest difference: vectors, cosines |\n|---|---|---|---|")
    for what in ("clips/s", "sentences/s"):
        for name, speed in metrics[what].items():
            ratio = speed / metrics[what][PEER]
            differences = [metrics[f"largest difference{each}"].get(name) for each in ("", " of cosines")]
            exact = (
                "" if differences[0] is None or what != "clips/s" else ", ".join(f"{each:.1e}" for each in differences)
            )
            print(f"| {what}, {name} | {speed:.1f} | {ratio:.1f}× | {exact} |")


if __name__ == "__main__":
    main()
