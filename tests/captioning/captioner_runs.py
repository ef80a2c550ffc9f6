"""Tiny captioner trainings: settings, and helpers that read their output."""

import json
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file

from captioning.training.config import CaptionerRecipe
from captioning.training.recipe import _with_lists
from clapgen.configuration import load_config

DECODER = ["decoder.vocab_size=400", "decoder.width=16", "decoder.layers=1", "decoder.heads=2"]
SIZES = [*DECODER, "decoder.mapper_width=16", "decoder.prefix_length=2", "bridges.noise.variance=0.0001"]
TRAINING = ["batch_size=8", "warmup_steps=1", "log_every=1", "learning_rate=0.01", "precision='no'", "ema_decay=0.9"]
Overrides = Callable[..., list[str]]


def recipe_of(given: list[str]) -> CaptionerRecipe:
    return load_config(CaptionerRecipe, None, _with_lists(given))


def losses(output: Path) -> dict[int, float]:
    rows = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
    return {row["step"]: row.get("loss_decoder", row.get("loss")) for row in rows if "steps_per_second" in row}


def weights(output: Path) -> dict[str, torch.Tensor]:
    return load_file(output / "model" / "captioner" / "model.safetensors")


def changed(before: Path, after: Path) -> set[str]:
    """Parts of the decoder (mapper, language_model) whose weights differ."""
    left, right = weights(before), weights(after)
    return {key.split(".")[1] for key in left if key.startswith("decoder.") and not torch.equal(left[key], right[key])}
