"""A CLAP-like task of two linear towers, trained by one process or by two: `python pairs.py OUTPUT`, as rank `RANK`."""

import os
import sys
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from clapgen.training.loop import train
from clapgen.training.task import Task, TrainingConfig
from pretrain.objectives import OBJECTIVES, ClapBatch

NAMES = ("infonce", "soft-infonce", "sigmoid")


class Pairs(Task):
    """Both processes together see the batch that a single one sees."""

    def __init__(self, objective: str, rank: int, world: int) -> None:
        torch.manual_seed(0)
        self.towers = nn.ModuleList([nn.Linear(6, 5), nn.Linear(7, 5), nn.Linear(5, 5)])  # the last is frozen early
        self.objective, self.rank, self.world = OBJECTIVES.create(objective), rank, world

    def networks(self):
        return {"towers": self.towers, "objective": self.objective}

    def batch(self, index, generator):
        own = torch.Generator().manual_seed(index)
        audio, text = torch.randn(8, 6, generator=own), torch.randn(8, 7, generator=own)
        groups = torch.tensor([0, 1, 1, 2, 3, 0, 4, 5])
        part = slice(self.rank * 8 // self.world, (self.rank + 1) * 8 // self.world)
        return {"audio": audio[part], "text": text[part], "groups": groups[part]}

    def loss(self, batch, group, step):
        audio, text = (F.normalize(t(batch[k]), dim=-1) for t, k in zip(self.towers, ("audio", "text"), strict=False))
        if step == 0:
            audio = F.normalize(audio + self.towers[2](audio), dim=-1)
        return self.objective(ClapBatch(audio, text, torch.tensor(10.0), batch["groups"])), {}


def train_pairs(output: Path, rank: int = 0, world: int = 1) -> None:
    """Train with each objective; rank 0 writes the towers to `OUTPUT/OBJECTIVE-WORLD.pt`."""
    for objective in NAMES:
        task, folder = Pairs(objective, rank, world), output / f"{objective}-{world}"
        train(task, TrainingConfig(output=str(folder), steps=3, precision="no", warmup_steps=1))
        if rank == 0:
            torch.save(task.towers.state_dict(), f"{folder}.pt")


if __name__ == "__main__":
    train_pairs(Path(sys.argv[1]), int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))
