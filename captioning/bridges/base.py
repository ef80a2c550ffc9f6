"""The interface of bridges: parts between CLAP and the decoder that close the modality gap.

A decoder is trained on text embeddings but run on audio embeddings, which lie in another region of the space (Liang et
al. 2022, "Mind the Gap"). A bridge can change the decoder's input in training (`text`, `augment`), change it for audio
(`audio`), or add words to it (`retrieved_words`). Bridges compose: a `BridgeChain` applies them in order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from clapgen.errors import ClapgenError
from clapgen.registry import Registry

BRIDGES: Registry[type[Bridge]] = Registry("bridge")


@dataclass
class BridgeData:
    """The data that a bridge is fitted on. All embeddings are (n, dim), float32, of length 1.

    Args:
        captions: training sentences, one for each row of `text`.
        text: their CLAP embeddings, after the preceding bridges.
        labels: sound classes (for hard prompts), with `label_embeddings` in the same space as `text`.
        audio: CLAP audio embeddings of a few pairs, for bridges that use them; row i belongs to row i of `paired_text`.
        memory_rows: indices of the sentences that a memory may hold; None for all.
        weights: how often each sentence is drawn in training, on any scale, (n,); None for equally often.
    """

    captions: Sequence[str]
    text: Tensor
    labels: Sequence[str] = ()
    label_embeddings: Tensor | None = None
    audio: Tensor | None = None
    paired_text: Tensor | None = None
    memory_rows: Tensor | None = None
    weights: Tensor | None = None


@BRIDGES.register("none")
class Bridge(nn.Module):
    """The bridge that changes nothing, and the base class of the others.

    Everything that is fitted or learned is in parameters and buffers. A buffer whose size is known only after `fit` is
    registered without rows, (0, ...), and takes the number of rows of a loaded state. Buffers needed in training only
    are not persistent.

    `name` is the name in the registry, `section` that of its settings in `BridgesConfig`. `reads_pairs` says that
    `fit` uses `BridgeData.audio` and `paired_text` if they are given. `maps_audio_to_text` says that `audio` moves
    audio embeddings to where text lies, which is wrong for a decoder trained on audio (paired training).
    """

    section: ClassVar[str] = ""
    reads_pairs: ClassVar[bool] = False
    maps_audio_to_text: ClassVar[bool] = False

    def __init__(self, config: Any = None, dim: int = 0) -> None:
        super().__init__()
        self.name = "none"

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """As in torch; remembers which buffers are registered without rows."""
        if tensor is not None and tensor.ndim > 0 and len(tensor) == 0:
            self.__dict__.setdefault("_sized_by_fit", set()).add(name)
        super().register_buffer(name, tensor, persistent)

    def fit(self, data: BridgeData) -> None:
        """Compute buffers from the data. Called once, before training."""

    def text(self, embeddings: Tensor) -> Tensor:
        """Text embeddings (n, dim) behind this bridge, in training and for later bridges. Deterministic."""
        return embeddings

    def augment(self, embeddings: Tensor, rows: Tensor, generator: torch.Generator) -> Tensor:
        """The decoder's input for text embeddings (n, dim) in training; `rows` (n,) are their indices in the data.

        All randomness comes from `generator`, on the CPU.
        """
        return embeddings

    def audio(self, embeddings: Tensor) -> Tensor:
        """The input of the decoder, or of the next bridge, for audio embeddings (n, dim). Deterministic, row by row."""
        return embeddings

    def retrieved_words(
        self, embeddings: Tensor, generator: torch.Generator | None = None, rows: Tensor | None = None
    ) -> list[str] | None:
        """Words for each row (n, dim) that the decoder reads before the prefix; None if the bridge retrieves none.

        With a generator, as in training, words are dropped at random; `rows` (n,) are then the indices in the data, so
        that a caption does not retrieve itself.
        """
        return None

    def loss(self, embeddings: Tensor, rows: Tensor, generator: torch.Generator) -> Tensor | None:
        """The bridge's own training loss (a scalar) on text embeddings (n, dim); None if it is not trained."""
        return None

    def describe(self) -> dict[str, float | str]:
        """Numbers worth printing before training, such as the cosine that a noise variance implies."""
        return {}

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """As in torch, but a buffer that was registered without rows takes the number of rows that is stored."""
        for name in self.__dict__.get("_sized_by_fit", ()):
            buffer, stored = self._buffers[name], state_dict.get(prefix + name)
            if buffer is not None and stored is not None and buffer.shape[1:] == stored.shape[1:]:
                setattr(self, name, torch.empty(stored.shape, dtype=buffer.dtype, device=buffer.device))
        super()._load_from_state_dict(state_dict, prefix, *rest)


def require(valid: bool, key: str, value: object, rule: str) -> None:
    """Raise ClapgenError with the recipe's key and its allowed values unless `valid`."""
    if not valid:
        raise ClapgenError(f"bridges.{key} is {value}, but must be {rule}.")


def paired_embeddings(data: BridgeData, name: str) -> tuple[Tensor, Tensor]:
    """Audio and text embeddings (n, dim) of the pairs. ClapgenError, naming the bridge, if there are none."""
    if data.audio is None or data.paired_text is None or not len(data.audio):
        raise ClapgenError(
            f"the bridge '{name}' is fitted on a few clips with captions; set pairs=MANIFEST, or choose another bridge."
        )
    return data.audio, data.paired_text


class BridgeChain(nn.Module):
    """Bridges in order, each applied to the output of the one before."""

    def __init__(self, bridges: Sequence[Bridge]) -> None:
        super().__init__()
        self.bridges = nn.ModuleList(bridges)

    @property
    def names(self) -> list[str]:
        """Names of the bridges, in order."""
        return [bridge.name for bridge in self]

    def __iter__(self) -> Iterator[Bridge]:
        return iter(self.bridges)  # type: ignore[arg-type]

    def fit(self, data: BridgeData) -> BridgeData:
        """Fit each bridge on the output of the preceding ones; returns the data behind the last one."""
        for bridge in self:
            bridge.fit(data)
            labels, audio, paired = data.label_embeddings, data.audio, data.paired_text
            data = replace(
                data,
                text=bridge.text(data.text),
                label_embeddings=None if labels is None else bridge.text(labels),
                audio=None if audio is None else bridge.audio(audio),
                paired_text=None if paired is None else bridge.text(paired),
            )
        return data

    def train_text(self, text: Tensor, rows: Tensor, generator: torch.Generator) -> tuple[Tensor, list[str] | None]:
        """The decoder's input in training, embeddings (n, dim) and words, for text embeddings (n, dim)."""
        words = None
        for bridge in self:
            text = bridge.augment(bridge.text(text), rows, generator)
            words = bridge.retrieved_words(text, generator, rows) or words
        return text, words

    def audio(self, audio: Tensor) -> tuple[Tensor, list[str] | None]:
        """The decoder's input, embeddings (n, dim) and words, for audio embeddings (n, dim)."""
        words = None
        for bridge in self:
            audio = bridge.audio(audio)
            words = bridge.retrieved_words(audio) or words
        return audio, words

    def text(self, text: Tensor) -> Tensor:
        """Text embeddings (n, dim) behind the bridges, without augmentation: the target of `audio`."""
        for bridge in self:
            text = bridge.text(text)
        return text

    def loss(self, text: Tensor, rows: Tensor, generator: torch.Generator) -> Tensor | None:
        """Sum of the bridges' own losses on text embeddings (n, dim); None if no bridge is trained."""
        total: Tensor | None = None
        for bridge in self:
            text = bridge.text(text).detach()
            loss = bridge.loss(text, rows, generator)
            total = loss if total is None else total if loss is None else total + loss
        return total
