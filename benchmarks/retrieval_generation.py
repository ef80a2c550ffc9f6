"""Does retrieval help generation? Without neighbours, with another prompt's (sham), and with those of the prompt.

    python benchmarks/retrieval_generation.py MODEL LIBRARY MANIFEST --tagger FOLDER [--k 1 3 5 10] [--seeds 8]
        [--way neighbour_scale=1.5 …] [--json FILE]

MANIFEST is one of `benchmarks/long_tail.py`, whose key "tail" says which classes were rare in training. For each class
and seed one sound is made of the prompt "This is a sound of {class}.", from the same noise in every row. Two judges
decide whether it is a sound of its class: the model's own CLAP among all classes, and a tagger that shares nothing with
it. The difference to no neighbours has a 95% bootstrap interval over classes and seeds, in pairs. The last column is
the share of sounds whose cosine with a neighbour is above 0.95.
"""

import argparse
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from clapgen.data.manifest import read_manifest
from clapgen.data.splits import class_of
from clapgen.errors import ClapgenError
from clapgen.library import Library
from clapgen.metrics.embeddings.zero_shot import class_prompts
from clapgen.tagger import Tagger
from clapgen.tagger.model import top_k
from generation.pipeline import TextToAudio
from generation.retrieval import Neighbour, find_neighbours

PARTS = ("rare", "middle", "common", "unseen")
COPY = 0.95
JUDGES = ("CLAP top-1", "tagger top-1", "tagger top-3")


@dataclass
class Row:
    """One way to generate: right or wrong by each judge, and the cosine with the nearest neighbour, for all sounds."""

    name: str
    right: dict[str, list[bool]] = field(default_factory=lambda: {judge: [] for judge in JUDGES})
    nearest: list[float] = field(default_factory=list)


def main() -> None:
    options = parse()
    model, tagger = TextToAudio.from_pretrained(options.model), Tagger.from_pretrained(options.tagger)
    tails = {
        class_of(c, options.field).replace("_", " "): c.extra["tail"]
        for c in read_manifest(options.manifest)
        if "tail" in c.extra and class_of(c, options.field)
    }
    classes = sorted(tails)
    prompts = class_prompts(classes)
    with Library.open(options.library, model=options.model) as library:
        found = [find_neighbours(library, prompt, max(options.k)) for prompt in prompts]
    shift = len(classes) // 2
    sham = found[shift:] + found[:shift]
    ways: dict[str, list[tuple[Neighbour, ...]]] = {
        "without": [()] * len(classes),
        "of another prompt": [n[: options.k[0]] for n in sham],
    }
    ways |= {f"of the prompt, {k}": [each[:k] for each in found] for k in options.k}
    settings = {name: float(value) for name, value in (way.split("=") for way in options.way)}
    rows = [
        judged(Row(name), model, tagger, classes, prompts, neighbours, settings, options)
        for name, neighbours in ways.items()
    ]
    show(rows, [tails[name] for name in classes], options)


def judged(row: Row, model, tagger, classes, prompts, neighbours, settings, options) -> Row:
    text = model.clap.embed_text(prompts)
    for number, prompt in enumerate(track(prompts, row.name)):
        chosen = neighbours[number]
        sounds = [
            model.generate(
                [prompt], options.seconds, options.steps, seed=seed, neighbours=chosen, **(settings if chosen else {})
            )[0]
            for seed in range(options.seeds)
        ]
        audio = torch.cat([model.clap.embed_audio([sound.waveform], sound.sample_rate) for sound in sounds])
        heard = tagger.logits(tagger.embed_audio([sound.waveform for sound in sounds], model.sample_rate), classes)
        truth = [number] * len(sounds)
        row.right["CLAP top-1"] += top_k(audio @ text.T, truth, 1).tolist()
        for k in (1, 3):
            row.right[f"tagger top-{k}"] += top_k(heard, truth, k).tolist()
        if chosen:
            near = model.clap.embed_audio([_sound(each, model.sample_rate) for each in chosen], model.sample_rate)
            row.nearest += (audio @ near.T).amax(1).tolist()
    return row


def _sound(neighbour: Neighbour, sample_rate: int) -> np.ndarray:
    from clapgen.audio import read_audio

    return read_audio(Path(neighbour.path), sample_rate)[0]


def show(rows: list[Row], tails: list[str], options: argparse.Namespace) -> None:
    per_sound = np.repeat(tails, options.seeds)
    console, results = Console(width=150), []
    for part in PARTS:
        here = per_sound == part
        if not here.any():
            continue
        table = Table("neighbours", *JUDGES, f"cosine > {COPY}", title=f"{part}: {int(here.sum())} sounds")
        for row in rows:
            cells = []
            for judge in JUDGES:
                right = np.array(row.right[judge], dtype=float)[here]
                cells.append(
                    f"{right.mean():.1%}{_difference(right, np.array(rows[0].right[judge], dtype=float)[here])}"
                )
                results.append(
                    {
                        "part": part,
                        "neighbours": row.name,
                        "judge": judge,
                        "accuracy": right.mean(),
                        "n": int(here.sum()),
                    }
                )
            copies = f"{(np.array(row.nearest)[here] > COPY).mean():.1%}" if row.nearest else "–"
            table.add_row(row.name, *cells, copies)
        console.print(table)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2))


def _difference(right: np.ndarray, without: np.ndarray) -> str:
    if right is without or np.array_equal(right, without):
        return ""
    random = np.random.default_rng(0)
    pairs = right - without
    means = pairs[random.integers(len(pairs), size=(2000, len(pairs)))].mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return f" ({pairs.mean():+.1%} [{low:+.1%}, {high:+.1%}])"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("library")
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--tagger", required=True)
    parser.add_argument("--field", default="esc50_class")
    parser.add_argument("--k", type=int, nargs="+", default=[3])
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--way", nargs="*", default=[], help="settings of generation with neighbours, NAME=VALUE")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if any("=" not in way for way in options.way):
        parser.error("--way takes NAME=VALUE, e.g. neighbour_blend=0.3")
    return options


if __name__ == "__main__":
    try:
        main()
    except ClapgenError as error:
        raise SystemExit(f"retrieval_generation: {error}") from None
