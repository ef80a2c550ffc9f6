"""A small task whose losses differ as soon as its random state or its weights do."""

import json
from pathlib import Path

import torch
from torch import nn

from clapgen.training.task import Task, TrainingConfig


class Regression(Task):
    """A small network with dropout: its losses differ as soon as random state or weights do."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.network = nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.Dropout(0.3), nn.Linear(16, 1))

    def networks(self):
        return {"network": self.network}

    def batch(self, index, generator):
        return torch.randn(8, 4, generator=generator)

    def loss(self, batch, group, step):
        return (self.network(batch)[:, 0] - batch.sum(1)).square().mean(), {}

    def evaluate(self):
        return {"output": float(self.network(torch.ones(1, 4)).sum())}

    def export(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        torch.save(self.network.state_dict(), directory / "network.pt")


def config(output: Path, **changes) -> TrainingConfig:
    values = {"precision": "no", "steps": 12}
    values |= {"batch_size": 8, "warmup_steps": 3, "log_every": 1, "evaluate_every": 6, "save_every": 4}
    return TrainingConfig(output=str(output), **{**values, **changes})


def losses(output: Path) -> dict[int, float]:
    rows = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
    return {row["step"]: row["loss"] for row in rows if "loss" in row}
