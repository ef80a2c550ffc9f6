"""Every bridge over the modality gap compared with the supervised bound, on the held-out clips of a manifest.

    python benchmarks/bridges.py MANIFEST --text FILE [FILE …] [--labels FILE] [--runs runs/captioning]

Trains the recipe of each method unless `--runs` has it already, captions the held-out clips, and prints a table with
caption metrics relative to the better supervised bound and the gap between audio and captions behind the bridge. All
methods train on the same text: half of each batch from the manifest's training captions, half from `--text`; the memory
holds the former. noise-calibrated, mean-shift and diffusion estimate a mean from the training pairs; the "paired" rows
train on all of them.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from captioning.captioner import Captioner
from captioning.training.recipe import run
from captioning.training.rows import embed_clips
from clapgen.clap import Clap
from clapgen.configuration import recipe_path
from clapgen.data.manifest import Clip, held_out_clips
from clapgen.metrics.captions.scores import caption_scores, keyword_accuracy
from clapgen.metrics.captions.synonyms import load_synonyms
from clapgen.metrics.embeddings.modality_gap import ModalityGap, modality_gap

ALL_EXTRA = "bridges.extra=[memory,nearest,diffusion]"
MEMORIES = "bridges.extra=[memory,nearest]"


@dataclass(frozen=True)
class Row:
    """A row of the table: its name, recipe and settings, and the bridges used on audio."""

    name: str
    recipe: str
    bridge: str
    settings: tuple[str, ...] = ()
    run: str = ""

    @property
    def folder(self) -> str:
        """Folder of its captioner in `--runs`."""
        return self.run or self.recipe


ROWS = (
    Row("none", "none", "none", (ALL_EXTRA,)),
    Row("noise", "noise", "noise", (ALL_EXTRA,)),
    Row("noise-calibrated", "noise-calibrated", "noise-calibrated", (MEMORIES,)),
    Row("adapter", "adapter", "adapter", (MEMORIES,)),
    Row("mean-shift", "mean-shift", "mean-shift", (MEMORIES,)),
    Row("memory", "none", "memory", (ALL_EXTRA,)),
    Row("nearest", "none", "nearest", (ALL_EXTRA,)),
    Row("soft-prompt", "soft-prompt", "soft-prompt", (MEMORIES,)),
    Row("hard-prompt", "hard-prompt", "noise+hard-prompt"),
    Row("diffusion", "none", "diffusion", (ALL_EXTRA,)),
    Row("noise + memory", "noise", "memory", (ALL_EXTRA,)),
    Row("noise + nearest", "noise", "nearest", (ALL_EXTRA,)),
    Row("noise + diffusion", "noise", "diffusion", (ALL_EXTRA,)),
    Row("noise + diffusion, paired", "diffusion", "diffusion", ("bridges.diffusion.paired=true",), "diffusion-paired"),
    Row("mean-shift + memory", "mean-shift", "mean-shift+memory", (MEMORIES,)),
    Row("paired (supervised)", "paired", "noise"),
    Row("paired, with text", "paired", "noise", ("shares=[0.5,0.5]",), "paired-text"),
)


def main() -> None:
    arguments = parse()
    clap = Clap.from_pretrained(arguments.clap)
    clips = [clip for clip in held_out_clips(arguments.manifest, arguments.split) if clip.captions]
    kept, audio = embed_clips(clips, clap, arguments.cache)
    text = clap.embed_text([clip.captions[0] for clip in kept])
    before = modality_gap(audio, text)
    metrics = [{"row": "CLAP itself", "gap": vars(before)}]
    for row in ROWS:
        model = train(row, arguments)
        metrics.append(measure(row, model, arguments.clap, kept, audio, text, arguments.candidates))
    supervised = max(metric["CIDEr-D"] for metric in metrics if str(metric["row"]).startswith("paired"))
    for metric in metrics[1:]:
        metric["of_supervised"] = metric["CIDEr-D"] / supervised
    show(metrics, len(kept), before)
    if arguments.json:
        arguments.json.write_text(json.dumps(metrics, indent=2) + "\n")


def train(row: Row, arguments: argparse.Namespace) -> Path:
    """The model folder of a row's captioner, which is trained if it is missing."""
    output = arguments.runs / row.folder
    if not (output / "model" / "captioner" / "config.yaml").is_file() or arguments.go_on:
        run(recipe_path("captioner", row.recipe), list(settings(row, output, arguments)))
    return output / "model"


def settings(row: Row, output: Path, arguments: argparse.Namespace) -> Iterator[str]:
    """The overrides of the recipe."""
    texts = [str(file) for file in arguments.text]
    if row.recipe == "paired":
        yield f"text=[{','.join(texts if row.run else [])}]"
    else:
        yield f"text=[{','.join([str(arguments.manifest), *texts])}]"
        yield f"shares=[{','.join(['0.5', *[str(0.5 / len(texts))] * len(texts)] if texts else '1')}]"
        yield f"memory=[{arguments.manifest}]"
    yield from (f"clap={arguments.clap}", f"cache={arguments.cache}", f"training.output={output}")
    yield from (f"pairs={arguments.manifest}", f"training.steps={arguments.steps}")
    if arguments.labels:
        yield f"labels={arguments.labels}"
    yield from row.settings


def measure(
    row: Row, model: Path, clap: str, clips: list[Clip], audio: Tensor, text: Tensor, candidates: int
) -> dict[str, object]:
    """Metrics of a row's captions, and the gap behind its bridge."""
    captioner = Captioner.from_pretrained(model, bridge=row.bridge, clap=clap)
    captions = [caption.text for caption in captioner.caption_embeddings(audio, candidates=candidates)]
    scores = caption_scores(captions, [clip.captions for clip in clips]).corpus
    labels = [[*clip.labels, *([clip.extra["esc50_class"]] if clip.extra.get("esc50_class") else [])] for clip in clips]
    named = keyword_accuracy(captions, labels, load_synonyms()).corpus
    with torch.no_grad():
        bridged, texts = captioner.bridged_audio(audio), captioner.bridged_text(text)
    gap: ModalityGap = modality_gap(bridged, texts)
    return {"row": row.name, **scores, **named, "gap": vars(gap), "captions": captions[:20]}


def show(metrics: list[dict], count: int, before: ModalityGap) -> None:
    """Print the table as Markdown."""
    print(
        f"\n{count} clips. Before any bridge: centroid distance {before.centroid_distance:.3f}, paired cosine "
        f"{before.paired_cosine:.3f}, 1-NN crossing rate {before.crossing_rate:.3f}.\n"
    )
    columns = ("bridge", "CIDEr-D", "of supervised", "keyword accuracy", "distinct", "vocabulary", "words")
    gaps = ("centroid distance", "paired cosine", "1-NN crossing")
    print("| " + " | ".join((*columns, *gaps)) + " |\n|" + "---|" * (len(columns) + len(gaps)))
    for row in metrics[1:]:
        gap = row["gap"]
        cells = (
            row["row"],
            f"{row['CIDEr-D']:.3f}",
            f"{100 * row['of_supervised']:.0f}%",
            f"{100 * row['keyword_accuracy']:.1f}%",
            f"{100 * row['distinct_captions']:.0f}%",
            f"{row['vocabulary']:.0f}",
            f"{row['words']:.1f}",
            f"{gap['centroid_distance']:.3f}",
            f"{gap['paired_cosine']:.3f}",
            f"{gap['crossing_rate']:.3f}",
        )
        print("| " + " | ".join(cells) + " |")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--text", type=Path, nargs="*", default=[])
    parser.add_argument("--labels", type=Path, help="labels for hard prompts, one per line")
    parser.add_argument("--clap", default="default")
    parser.add_argument("--split", default="val")
    parser.add_argument("--runs", type=Path, default=Path("runs/captioning"))
    parser.add_argument("--cache", default="runs/cache")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--candidates", type=int, default=1)
    parser.add_argument("--go-on", action="store_true", help="continue runs that were interrupted")
    parser.add_argument("--json", type=Path, help="also write all metrics here")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
