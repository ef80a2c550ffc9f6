"""What an objective of CLAP training receives and returns, and the registry in which a recipe finds it by name.

A new objective is one file of this package with a registered class, imported in `__init__.py`.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from clapgen.clap.frame_head import FrameHead
from clapgen.data.manifest import Clip
from clapgen.errors import ClapgenError, nearest
from clapgen.registry import Registry
from clapgen.scenes import Scene
from clapgen.training.joined_batch import gather_rows


@dataclass(frozen=True)
class BatchRow:
    """What one row of a batch was made from.

    Attributes:
        clips: Its clips: one, two that were mixed, or those of the events of a scene, in the order of `scene.events`.
        caption: Its text.
        scene: The scene it sounds like, if it was composed as one.
        twin: Row of the same batch that holds the scene's counterfactual twin.
    """

    clips: tuple[Clip, ...]
    caption: str
    scene: Scene | None = None
    twin: int | None = None


@dataclass
class ClapBatch:
    """One micro-batch, with this process's rows. All embeddings have length 1.

    Attributes:
        audio, text: Embeddings (batch, dim) of the pairs.
        logit_scale: Inverse temperature, a scalar.
        groups: (batch,) integers; rows with the same number are positives of each other.
        rows: What each row was made from.
        features: Output of the audio tower (batch, width), before the projection.
        teachers: Targets (batch, width of the teacher) of each row, by the teacher's name; a row of zeros has none.
        step: Training step.
        extra: What the objective's own `draw` returned; sentences arrive as embeddings (sentences, dim).
        frame_head: The CLAP's frame head, if it has one.
        frame_rate: Frames a second of `frames`; frame k is about the moment k / frame_rate. 0 if it is not known.
        make_frames: Computes `frames`.
    """

    audio: Tensor
    text: Tensor
    logit_scale: Tensor
    groups: Tensor
    rows: Sequence[BatchRow] = ()
    features: Tensor | None = None
    teachers: Mapping[str, Tensor] = field(default_factory=dict)
    step: int = 0
    extra: Mapping[str, Tensor] = field(default_factory=dict)
    frame_head: FrameHead | None = None
    frame_rate: float = 0.0
    make_frames: Callable[[], Tensor] | None = None

    @cached_property
    def frames(self) -> Tensor:
        """Frame embeddings (batch, frames, dim), computed when first asked for."""
        if self.make_frames is None:
            raise ValueError("this batch has no frames")
        return self.make_frames()

    @cached_property
    def all_audio(self) -> Tensor:
        """`audio` of all processes, in rank order."""
        return gather_rows(self.audio)

    @cached_property
    def all_text(self) -> Tensor:
        """`text` of all processes, in rank order."""
        return gather_rows(self.text)

    @cached_property
    def all_groups(self) -> Tensor:
        """`groups` of all processes, in rank order."""
        return gather_rows(self.groups)


class Objective(nn.Module, ABC):
    """A loss over a `ClapBatch`; it may have parameters.

    Under `accelerate launch` the mean of the loss over processes must have the gradient that one process would have on
    the joined batch. All its parameters must get a gradient in each batch, be it zero.

    Its options are the keyword arguments of its class whose defaults are numbers, switches or texts.

    Attributes:
        contrastive: Whether other rows of the batch are the negatives, so that one row alone teaches nothing.
    """

    contrastive: ClassVar[bool] = False

    def prepare(self, clips: Sequence[Clip], class_field: str) -> None:
        """Called once, with all training clips. `class_field` is the key of the manifest that holds a clip's class."""
        return None

    def set_widths(self, dim: int, features: int, teachers: Mapping[str, int]) -> None:
        """Called once, with the widths of the space, of the audio tower's features and of each teacher's targets."""
        return None

    def keeps_mean(self, teacher: str) -> bool:
        """Whether it needs the targets of a teacher as they are; otherwise the mean that all share is subtracted."""
        return False

    def draw(self, rows: Sequence[BatchRow], generator: torch.Generator) -> dict[str, Tensor | list[str]]:
        """Extra inputs for one batch, on the CPU: tensors, and sentences to embed. `rows` as in `ClapBatch`.

        Called ahead of time in a thread; all randomness must come from `generator`.
        """
        return {}

    @abstractmethod
    def forward(self, batch: ClapBatch) -> Tensor | dict[str, Tensor]:
        """A scalar loss, or named terms whose sum is the loss. Each term is logged; no terms means nothing to learn."""


OBJECTIVES: Registry[type[Objective]] = Registry("objective")


def create_objectives(
    weights: Mapping[str, float], options: Mapping[str, Mapping[str, Any]] | None = None
) -> dict[str, Objective]:
    """The objectives with a weight other than 0, by name, with their options.

    Raises:
        ClapgenError: as for `create_objective`; options are given for an objective without a weight.
    """
    options = options or {}
    chosen = [name for name, weight in weights.items() if weight]
    for name in options:
        if name not in chosen:
            hint = nearest(name, chosen) or f" Give it one with objectives.{name}, or remove its options."
            raise ClapgenError(f"objective_options names '{name}', an objective without a weight.{hint}")
    return {name: create_objective(name, options.get(name)) for name in chosen}


def create_objective(name: str, options: Mapping[str, Any] | None = None) -> Objective:
    """The objective with this name. `options` are keyword arguments of its class, such as `{"beta": 0.2}`.

    Raises:
        ClapgenError: the name or an option is unknown, or a value is of the wrong type or out of range.
    """
    part = OBJECTIVES.get(name)
    known = options_of(part)
    for key, value in (options or {}).items():
        if key not in known:
            available = f"Options: {', '.join(known)}." if known else "It has no options."
            raise ClapgenError(f"objective '{name}' has no option '{key}'.{nearest(key, known)} {available}")
        wanted = type(known[key])
        if not (type(value) is wanted or (wanted is float and type(value) is int)):
            kind = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}[wanted]
            raise ClapgenError(f"option '{key}' of objective '{name}' must be {kind}, not {value!r}")
    try:
        return part(**(options or {}))
    except ClapgenError as error:
        raise ClapgenError(f"objective '{name}': {error}") from error


def options_of(objective: type[Objective]) -> dict[str, bool | int | float | str]:
    """The options of an objective and their defaults."""
    parameters = inspect.signature(objective).parameters
    return {key: p.default for key, p in parameters.items() if isinstance(p.default, bool | int | float | str)}


def require_at_least(least: float, **options: float) -> None:
    """Raise `ClapgenError` for an option that is smaller than `least`, or not a number."""
    for key, value in options.items():
        if not value >= least:
            raise ClapgenError(f"option '{key}' must be at least {least:g}, not {value:g}")


def require_share(**options: float) -> None:
    """Raise `ClapgenError` for an option that is not from 0 to 1."""
    for key, value in options.items():
        if not 0 <= value <= 1:
            raise ClapgenError(f"option '{key}' must be from 0 to 1, not {value:g}")


def cosines(one: Tensor, other: Tensor) -> Tensor:
    """Products (…, n, m) of embeddings (…, n, dim) and (…, m, dim), in float32 also under autocast.

    Sentences that differ only in their order are nearer to each other than bfloat16 can tell.
    """
    with torch.autocast(one.device.type, enabled=False):
        return one.float() @ other.float().mT
