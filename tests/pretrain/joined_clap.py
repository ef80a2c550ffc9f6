"""A real CLAP on the same joined batch, by one process or by two: `python joined_clap.py MANIFEST OUTPUT`."""

import os
import sys
from pathlib import Path
from unittest import mock

import torch
from clap_recipes import recipe_for

from clapgen.training.loop import train
from pretrain.recipe import ClapTask


class JoinedBatch(ClapTask):
    """Each of `world` processes trains on its part of the batch that a single one sees."""

    rank, world = 0, 1

    def batch(self, index, generator):
        with mock.patch("pretrain.data.rows.joined_index", lambda number: number):  # the same clips in every process
            whole = super().batch(index, torch.Generator().manual_seed(index))
        size = len(whole["rows"]) // self.world
        part = slice(self.rank * size, (self.rank + 1) * size)
        text = {key: value[part] for key, value in whole["text"].items()}
        rows = {"rows": whole["rows"][part], "groups": whole["groups"][part], "teachers": {}}
        return {
            **rows,
            "inputs": {"crops": whole["inputs"]["crops"][part]},
            "text": text,
            "extra": {name: {} for name in whole["extra"]},
        }


def train_joined(manifest: Path, output: Path, rank: int = 0, world: int = 1) -> None:
    """Train five steps; rank 0 writes the network to `OUTPUT/clap-WORLD.pt`."""
    recipe = recipe_for(manifest, output / str(world), objectives={"soft-infonce": 1.0})
    recipe.training.steps, recipe.training.evaluate_every, recipe.training.log_every = 5, 0, 1
    recipe.clap.audio.dropout = 0.0
    recipe.validation_split = "none"
    task = JoinedBatch(recipe)
    task.rank, task.world = rank, world
    train(task, recipe.training)
    if rank == 0:
        torch.save(task.clap.state_dict(), output / f"clap-{world}.pt")


if __name__ == "__main__":
    train_joined(Path(sys.argv[1]), Path(sys.argv[2]), int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))
