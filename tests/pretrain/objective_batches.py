"""A batch of scenes, twins, mixtures and single clips for tests of objectives, with random embeddings."""

import hashlib

import torch
from torch.nn import functional as F

from clapgen.clap.frame_head import FrameHead
from clapgen.data.manifest import Clip
from clapgen.scenes import Event, Negative, Scene
from clapgen.testing import randomise
from pretrain.objectives import BatchRow, ClapBatch, create_objective

DIM, FRAMES, FRAME_RATE, FEATURES, TARGETS = 16, 8, 2.0, 24, 12
SCALE = torch.tensor(10.0)


def clip(*labels: str, captions=()) -> Clip:
    return Clip(path=None, labels=list(labels), captions=list(captions))


DOG, RAIN, CAT, BELL = CLIPS = [clip("dog"), clip("rain"), clip("cat"), clip("bell")]


def sequence(first: str, second: str, twin: bool = True) -> Scene:
    """First one label for 2 s, then the other for 1 s."""
    numbers = [next(i for i, c in enumerate(CLIPS) if c.labels == [label]) for label in (first, second)]
    events = (Event(numbers[0], first, 0.0, 2.0), Event(numbers[1], second, 2.0, 1.0))
    captions = (f"{first}, then {second}", f"{second} after {first}")
    negatives = (Negative("order", f"{second}, then {first}"), Negative("exchanged", f"{first}, then siren"))
    twins = (sequence(second, first, False),) if twin else ()
    return Scene(4.0, events, "sequence", captions, negatives, twins)


def scene_rows(scene: Scene, at: int) -> list[BatchRow]:
    """A scene and its twin, as rows `at` and `at + 1`."""
    rows = [(scene, at + 1), (scene.twins[0], at)]
    return [BatchRow(tuple(CLIPS[e.clip] for e in s.events), s.captions[0], s, twin) for s, twin in rows]


def some_rows() -> list[BatchRow]:
    """Two scenes with their twins, a single clip, a mixture, and two clips that share a group."""
    rows = [*scene_rows(sequence("dog", "rain"), 0), *scene_rows(sequence("cat", "bell"), 2)]
    mixture = BatchRow((RAIN, CAT), "rain and a cat")
    return [*rows, BatchRow((DOG,), "a dog"), mixture, *[BatchRow((BELL,), "bell")] * 2]


SOME_GROUPS = [0, 1, 2, 3, 4, 5, 6, 6]


def prepared(name: str, options=None, clips=CLIPS):
    """An objective for these clips and a teacher 'ear'."""
    torch.manual_seed(0)
    objective = create_objective(name, options)
    objective.prepare(clips, "")
    objective.set_widths(DIM, FEATURES, {"ear": TARGETS})
    return objective


def embedding(sentence: str) -> torch.Tensor:
    """A direction (dim,) that depends on nothing but the sentence."""
    seed = int.from_bytes(hashlib.sha256(sentence.encode()).digest()[:6], "big")
    return F.normalize(torch.randn(DIM, generator=torch.Generator().manual_seed(seed)), dim=-1)


def embedded(drawn: dict, embed=embedding) -> dict[str, torch.Tensor]:
    """`extra` of a batch: sentences as embeddings."""
    return drawn | {key: torch.stack([embed(text) for text in v]) for key, v in drawn.items() if isinstance(v, list)}


def draw(objective, rows, seed: int = 0) -> dict:
    return objective.draw(rows, torch.Generator().manual_seed(seed))


def random(*shape: int, seed: int = 0, unit: bool = True) -> torch.Tensor:
    values = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return F.normalize(values, dim=-1) if unit else values


def trained_head() -> FrameHead:
    head = FrameHead(DIM, width=4)
    randomise(head, torch.Generator().manual_seed(0))
    return head


def batch_of(objective, rows=None, groups=None, seed: int = 0, scale: torch.Tensor = SCALE, **changes) -> ClapBatch:
    """Random sounds, the embeddings of the rows' captions, and what the objective draws."""
    rows = some_rows() if rows is None else rows
    count = len(rows)
    if groups is None:
        groups = SOME_GROUPS if count == len(SOME_GROUPS) else range(count)
    frames, targets = random(count, FRAMES, DIM, seed=seed + 1), random(count, TARGETS, seed=seed + 2)
    targets[[row for row in range(count) if len(rows[row].clips) > 1]] = 0.0
    values = {
        "audio": random(count, DIM, seed=seed),
        "text": torch.stack([embedding(row.caption) for row in rows]),
        "features": random(count, FEATURES, seed=seed + 3, unit=False),
        "teachers": {"ear": targets},
        "extra": embedded(draw(objective, rows, seed)),
        "frame_head": trained_head(),
        "make_frames": lambda: frames,
    }
    groups = torch.tensor(list(groups))
    return ClapBatch(logit_scale=scale, groups=groups, rows=rows, frame_rate=FRAME_RATE, **(values | changes))


def logit(one: torch.Tensor, other: torch.Tensor) -> float:
    return float(SCALE * one.dot(other))
