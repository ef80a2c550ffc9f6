"""Metrics of a model on held-out clips: zero-shot, retrieval, reconstruction, generation, diversity, size.

    python benchmarks/default_model.py MANIFEST [--model default] [--split val] [--class-field esc50_class]

All are computed with the model's own CLAP. Prompts are "This is a sound of {label}.".
"""

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor

from clapgen.audio import read_audio
from clapgen.clap import Clap
from clapgen.data.manifest import Clip, read_manifest
from clapgen.metrics.embeddings.zero_shot import class_prompts, zero_shot_accuracy
from clapgen.model_store import resolve_model
from generation.pipeline import TextToAudio
from pretrain.recipe import caption_retrieval


@dataclass
class Classes:
    """The clips that have a class, the names and prompts of the classes, and the class index of each clip."""

    clips: list[Clip]
    names: list[str]
    prompts: Tensor
    truth: Tensor

    @classmethod
    def of(cls, clips: list[Clip], class_field: str, clap: Clap) -> "Classes":
        classified = [clip for clip in clips if clip.extra.get(class_field)]
        names = sorted({clip.extra[class_field] for clip in classified})
        truth = torch.tensor([names.index(clip.extra[class_field]) for clip in classified])
        return cls(classified, names, clap.embed_text(class_prompts(names)), truth)


def main() -> None:
    arguments = parse()
    clips = [clip for clip in read_manifest(arguments.manifest) if clip.split == arguments.split]
    model = TextToAudio.from_pretrained(arguments.model)
    clap = model.clap
    audio = embed(clap, clips, "embedding")
    classes = Classes.of(clips, arguments.class_field, clap)
    of_class = torch.tensor([i for i, clip in enumerate(clips) if clip.extra.get(arguments.class_field)])
    metrics: dict[str, object] = {"model": model.describe(), "clips": len(clips), "classified": len(classes.clips)}
    metrics["zero_shot_accuracy"] = zero_shot_accuracy(audio[of_class], classes.prompts, classes.truth)
    metrics |= caption_retrieval(clap, audio, clips)
    metrics["zero_shot_accuracy_reconstructed"] = zero_shot_accuracy(
        embed_reconstructions(model, classes.clips), classes.prompts, classes.truth
    )
    metrics |= generation_metrics(model, classes, audio[of_class], arguments.seeds, arguments.seconds)
    size = sum(file.stat().st_size for file in resolve_model(arguments.model).rglob("*") if file.is_file())
    metrics["megabytes"] = size / 1e6
    print(json.dumps(metrics, indent=2))


def generation_metrics(
    model: TextToAudio, classes: Classes, real: Tensor, seeds: int, seconds: float
) -> dict[str, object]:
    """Top-1 accuracy and CLAP score of `seeds` sounds per class prompt, and the diversity of these and real clips."""
    prompts = class_prompts(classes.names)
    made = []
    for seed in track(range(seeds), "generating", console=Console(stderr=True)):
        sounds = model.generate(prompts, seconds=seconds, seed=seed)
        made.append(model.clap.embed_audio([s.waveform for s in sounds], model.sample_rate))
    stacked = torch.stack(made)  # (seeds, classes, dim)
    truth = torch.arange(len(prompts))
    distances, real_distances = [], []
    for index in range(len(prompts)):
        clips = real[classes.truth == index][:seeds]
        if len(clips) == seeds:
            distances.append(mean_pairwise_distance(stacked[:, index]))
            real_distances.append(mean_pairwise_distance(clips))
    top1 = [zero_shot_accuracy(each, classes.prompts, truth) for each in made]
    wrong = (stacked @ classes.prompts.T).argmax(2) != truth
    return {
        "generated_top1": float(np.mean(top1)),
        "generated_top1_by_seed": top1,
        "generated_clap_score": float((stacked * classes.prompts).sum(-1).mean()),
        "real_clap_score": float((real * classes.prompts[classes.truth]).sum(-1).mean()),
        "diversity": float(np.mean(distances)),
        "diversity_real": float(np.mean(real_distances)),
        "diversity_ratio": float(np.mean(distances) / np.mean(real_distances)),
        "diversity_classes": len(distances),
        "hardest_classes": [classes.names[i] for i in torch.nonzero(wrong.all(0))[:, 0].tolist()],
    }


def mean_pairwise_distance(embeddings: Tensor) -> float:
    """Mean of 1 - cosine over all pairs of (n, dim) normalised embeddings."""
    count = len(embeddings)
    return float((1 - embeddings @ embeddings.T).sum() / (count * (count - 1)))


def embed(clap: Clap, clips: list[Clip], what: str) -> Tensor:
    """Embed clips one by one: (clips, dim)."""
    rate = clap.sample_rate
    console = Console(stderr=True)
    return torch.cat(
        [clap.embed_audio([read_audio(c.path, rate)[0]], rate) for c in track(clips, what, console=console)]
    )


def embed_reconstructions(model: TextToAudio, clips: list[Clip]) -> Tensor:
    """Embed the autoencoder's reconstructions of the clips: (clips, dim)."""
    rows = []
    for clip in track(clips, "reconstructing", console=Console(stderr=True)):
        waveform = torch.from_numpy(read_audio(clip.path, model.sample_rate)[0])[None]
        with torch.no_grad():
            rebuilt = model.autoencoder.reconstruct(waveform)[0]
        rows.append(model.clap.embed_audio([rebuilt.numpy()], model.sample_rate))
    return torch.cat(rows)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--model", default="default")
    parser.add_argument("--split", default="val")
    parser.add_argument("--class-field", default="esc50_class")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=5.0)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
