"""Clips and sentences per second of clapgen's CLAP and transformers' ClapModel (laion/clap-htsat-unfused), in one run.

    python benchmarks/clap_throughput.py

Both embed the same 10 s clips, given as 48 kHz arrays, on the CPU. The times include feature extraction, resampling
(ours) and windows. Only transformers' tokenizer is excluded, in its favour. Ours always embeds in float32, whatever the
autocast around it; theirs is measured in float32, the like-for-like pair, and in bfloat16.
"""

import argparse
import json
import time
from collections.abc import Callable

import numpy as np
import torch
from peers import CLAP_SAMPLE_RATE, PeerClap

from clapgen.clap import Clap, ClapConfig
from clapgen.errors import ClapgenError

SENTENCE = "a dog barks twice while rain falls on a tin roof and a car passes, number {}"
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


def load_clap(name: str) -> Clap:
    """Load a model by name; random weights at the default sizes if there is no default model."""
    try:
        return Clap.from_pretrained(name)
    except ClapgenError:
        if name != "default":
            raise
    from clapgen.clap.tokenizer import train_tokenizer

    torch.manual_seed(0)
    config = ClapConfig()
    model = Clap(config, train_tokenizer([SENTENCE.format(n) for n in range(100)], config.text.vocab_size))
    model.name = "random weights, default sizes"
    return model.eval()


def per_second(call: Callable[[], object], items: int, repeats: int) -> float:
    """Items per second: the median of `repeats` calls, after one to warm up."""
    call()
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return items / float(np.median(seconds))


def measure(clap: Clap, clips: int, sentences: int, repeats: int) -> dict[str, dict[str, float]]:
    generator = np.random.default_rng(0)
    waveforms = [generator.normal(0, 0.1, 10 * CLAP_SAMPLE_RATE).astype(np.float32) for _ in range(clips)]
    texts = [SENTENCE.format(n) for n in range(sentences)]
    metrics: dict[str, dict[str, float]] = {}
    clips_ours = per_second(lambda: clap.embed_audio(waveforms, CLAP_SAMPLE_RATE), clips, repeats)
    sentences_ours = per_second(lambda: clap.embed_text(texts), sentences, repeats)
    for precision, dtype in PRECISIONS.items():
        peer = PeerClap(dtype)
        clips_theirs = per_second(lambda peer=peer: peer.embed_audio(waveforms), clips, repeats)
        sentences_theirs = per_second(lambda peer=peer: peer.embed_text(sentences), sentences, repeats)
        pair = f"fp32 beside {precision}"
        metrics[f"clips/s, {pair}"] = {"clapgen": clips_ours, "transformers": clips_theirs}
        metrics[f"sentences/s, {pair}"] = {"clapgen": sentences_ours, "transformers": sentences_theirs}
    return metrics


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="default")
    parser.add_argument("--clips", type=int, default=8, help="clips of 10 s in a batch")
    parser.add_argument("--sentences", type=int, default=32, help="sentences in a batch")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    clap = load_clap(options.model)
    metrics = measure(clap, options.clips, options.sentences, options.repeats)
    if options.json:
        print(json.dumps({"model": clap.name, "hash": clap.hash, "threads": options.threads, **metrics}))
        return
    print(f"clapgen CLAP: {clap.name} {clap.hash}, {options.threads} threads, torch {torch.__version__}\n")
    print("| | clapgen | transformers ClapModel | ratio |\n|---|---|---|---|")
    for what, both in metrics.items():
        ratio = both["clapgen"] / both["transformers"]
        print(f"| {what} | {both['clapgen']:.1f} | {both['transformers']:.1f} | {ratio:.1f}× |")


if __name__ == "__main__":
    main()
