"""A recipe of a CLAP small enough to overfit a few clips in seconds."""

import dataclasses
from pathlib import Path

from clapgen.clap import ClapConfig
from clapgen.testing import CLAP
from pretrain.recipe import ClapRecipe


def recipe_for(manifest: Path, output: Path, seed: int = 0, **changes) -> ClapRecipe:
    audio = dataclasses.replace(CLAP.audio, dropout=0.0, widths=[16, 32])
    clap = ClapConfig(dim=32, audio=audio, text=dataclasses.replace(CLAP.text))
    recipe = ClapRecipe(manifest=str(manifest), cache=str(output / "cache"), clap=clap, **changes)
    recipe.augment.mix_probability, recipe.augment.time_width, recipe.augment.frequency_width = 0.0, 4, 2
    training = recipe.training
    training.output, training.batch_size, training.precision = str(output), 12, "no"
    training.steps, training.evaluate_every, training.warmup_steps, training.ema_decay = 200, 200, 5, 0.9
    training.learning_rate, training.seed = 3e-3, seed
    return recipe
