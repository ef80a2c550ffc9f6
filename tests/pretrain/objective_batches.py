"""A batch of scenes, twins, mixtures and single clips for tests of objectives, with random embeddings."""

import hashlib

import torch
from torch.nn import functional as F

from clapgen.data.manifest import Clip
from clapgen.scenes import Event, Negative, Scene
from pretrain.objectives import BatchRow, ClapBatch

DIM, FRAMES, FRAME_RATE, FEATURES = 16, 8, 2.0, 24
SCALE = torch.tensor(10.0)


def clip(*labels: str, captions=()) -> Clip:
    return Clip(path=None, labels=list(labels), captions=list(captions))


CLIPS = [clip("dog"), clip("rain"), clip("cat"), clip("bell")]


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
    dog, rain, cat, bell = CLIPS
    return [*rows, BatchRow((dog,), "a dog"), BatchRow((rain, cat), "rain and a cat"), *[BatchRow((bell,), "bell")] * 2]


SOME_GROUPS = [0, 1, 2, 3, 4, 5, 6, 6]


def embedding(sentence: str) -> torch.Tensor:
    """A direction (dim,) that depends on nothing but the sentence."""
    seed = int.from_bytes(hashlib.sha256(sentence.encode()).digest()[:6], "big")
    return F.normalize(torch.randn(DIM, generator=torch.Generator().manual_seed(seed)), dim=-1)


def embedded(drawn: dict) -> dict[str, torch.Tensor]:
    """`extra` of a batch: sentences as embeddings."""
    texts = {key: torch.stack([embedding(text) for text in v]) for key, v in drawn.items() if isinstance(v, list)}
    return {**drawn, **texts}


def draw(objective, rows, seed: int = 0) -> dict:
    return objective.draw(rows, torch.Generator().manual_seed(seed))


def random(*shape: int, seed: int = 0, unit: bool = True) -> torch.Tensor:
    values = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return F.normalize(values, dim=-1) if unit else values


def batch_of(objective, rows=None, groups=None, seed: int = 0, scale: torch.Tensor = SCALE) -> ClapBatch:
    """Random sounds, the embeddings of the rows' captions, and what the objective draws."""
    rows = some_rows() if rows is None else rows
    groups = torch.tensor(SOME_GROUPS if groups is None else groups)
    frames, targets = random(len(rows), FRAMES, DIM, seed=seed + 1), random(len(rows), 12, seed=seed + 2)
    targets[[row for row in range(len(rows)) if len(rows[row].clips) > 1]] = 0.0
    return ClapBatch(
        audio=random(len(rows), DIM, seed=seed),
        text=torch.stack([embedding(row.caption) for row in rows]),
        logit_scale=scale,
        groups=groups,
        rows=rows,
        features=random(len(rows), FEATURES, seed=seed + 3, unit=False),
        teachers={"ear": targets},
        extra=embedded(draw(objective, rows, seed)),
        frame_rate=FRAME_RATE,
        make_frames=lambda: frames,
    )
