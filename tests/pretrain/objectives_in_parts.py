"""Gradients of all objectives on a joined batch, by one process or by two: `python objectives_in_parts.py OUTPUT`.

What is random in a draw is replaced by first choices, so that both processes together draw what one does.
"""

import dataclasses
import os
import sys
from pathlib import Path

import torch
from objective_batches import (
    BELL,
    CAT,
    CLIPS,
    DIM,
    DOG,
    FEATURES,
    FRAME_RATE,
    FRAMES,
    RAIN,
    TARGETS,
    clip,
    draw,
    embedded,
    embedding,
    prepared,
    random,
    scene_rows,
    sequence,
    trained_head,
)
from torch.nn import functional as F

from pretrain.data import captions
from pretrain.objectives import OBJECTIVES, BatchRow, ClapBatch, absence, single_or_many, text_views

GROUPS = torch.tensor([0, 1, 2, 3, 3, 4, 5, 2])
HUM = clip(captions=["hum"])
ROWS = [
    *scene_rows(sequence("dog", "rain"), 0),
    BatchRow((DOG,), "a dog"),
    BatchRow((RAIN, CAT), "rain and a cat"),  # the first process has all twins, and more rows of several sounds
    BatchRow((BELL,), "a bell"),
    BatchRow((HUM,), "hum"),  # no names
    BatchRow((CAT,), "a cat"),
    BatchRow((DOG,), "the dog"),
]


def first(items, generator=None):
    return items[0]


def say_again(caption, count, generator):
    return [f"{caption} ({number})" for number in range(count)]


def gradients(name: str, rank: int, world: int) -> dict[str, torch.Tensor]:
    """The loss of this process's rows, and its gradients by everything that the loss depends on."""
    part = slice(rank * 8 // world, (rank + 1) * 8 // world)
    options = {"share": 1.0} if name == "absence" else None
    objective, head = prepared(name, options, clips=[*CLIPS, HUM]), trained_head()
    shared = {
        "audio": random(8, DIM),
        "mixing": torch.eye(DIM),  # of the text side: all sentences depend on it
        "scale": torch.tensor(10.0),
        "features": random(8, FEATURES, seed=2),
        "frames": random(8, FRAMES, DIM, seed=3),
    }
    shared = {key: value.requires_grad_() for key, value in shared.items()}
    shared |= {f"head.{key}": value for key, value in head.named_parameters()}
    shared |= {f"objective.{key}": value for key, value in objective.named_parameters()}
    targets = random(8, DIM if name == "embedding-distillation" else TARGETS, seed=4)
    targets[[0, 1, 3]] = 0

    def embed(text: str) -> torch.Tensor:
        return F.normalize(shared["mixing"] @ embedding(text), dim=0)

    rows = [dataclasses.replace(row, twin=None if row.twin is None else row.twin - part.start) for row in ROWS[part]]
    batch = ClapBatch(
        audio=shared["audio"][part],
        text=torch.stack([embed(row.caption) for row in rows]),
        logit_scale=shared["scale"],
        groups=GROUPS[part],
        rows=rows,
        features=shared["features"][part],
        teachers={"ear": targets[part]},
        extra=embedded(draw(objective, rows), embed),
        frame_head=head,
        frame_rate=FRAME_RATE,
        make_frames=lambda: shared["frames"][part],
    )
    loss = objective(batch)
    loss = sum(loss.values()) if isinstance(loss, dict) else loss
    trained = {name: value for name, value in shared.items() if value.requires_grad}
    found = torch.autograd.grad(loss, list(trained.values()), allow_unused=True, materialize_grads=True)
    return {"loss": loss.detach(), **dict(zip(trained, found, strict=True))}


def all_gradients(rank: int, world: int) -> dict[str, dict[str, torch.Tensor]]:
    """Of every objective."""
    for module in (captions, absence, single_or_many, text_views):
        module.pick = first
    text_views.paraphrases = say_again
    return {name: gradients(name, rank, world) for name in OBJECTIVES}


if __name__ == "__main__":
    rank, output = int(os.environ["RANK"]), Path(sys.argv[1])
    if rank == 0:
        torch.save(all_gradients(0, 1), output / "joined.pt")
    torch.distributed.init_process_group("gloo")
    torch.save(all_gradients(rank, 2), output / f"{rank}.pt")
    torch.distributed.destroy_process_group()
