"""Base of the embedders of public checkpoints: windows of one length through a network of transformers.

The checkpoints' own feature extractors crop long clips at random (CLAP) or cut them off (AST). Here half-overlapping
windows cover the whole clip and their embeddings are averaged: the same vector at every call.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from torch import Tensor
from torch.nn import functional as F

from clapgen.audio.waveform import list_of_waveforms, mono_samples_at
from clapgen.audio.windows import half_overlapping
from clapgen.devices import inference
from clapgen.embedders.checkpoints import content_hash, find_checkpoint, is_hub_name, model_type_of
from clapgen.errors import ClapgenError

SAFELY: dict[str, Any] = {
    "use_safetensors": True,
    "trust_remote_code": False,
}  # for every `from_pretrained` of weights
COMPUTED = ("position_ids", "token_type_ids", "relative_position_index")  # by networks themselves

Array = npt.NDArray[np.float32]


class PublicEmbedder(ABC):
    """A public checkpoint from a folder, or by its name on the Hugging Face hub.

    A subclass sets `network`, `sample_rate` (Hz), `dim` and `window` (samples) in `_load`, and embeds full windows in
    `_embed`. Code in a checkpoint is never run: transformers is told `trust_remote_code=False`, and only safetensors
    are read.

    Raises:
        ClapgenError: the checkpoint is missing, or is not one of this kind in safetensors.
    """

    kind: ClassVar[str]
    model_type: ClassVar[str]  # in config.json
    normalised: ClassVar[bool] = False  # whether embeddings have length 1
    windows_per_batch: ClassVar[int] = 16
    short_clips: ClassVar[str] = "shorter clips as they are"
    layout: ClassVar[str] = (
        "It must be a folder (or hub model) with config.json, preprocessor_config.json and model.safetensors."
    )

    network: Any
    sample_rate: int
    dim: int
    window: int

    def __init__(self, checkpoint: str, device: torch.device) -> None:
        if not checkpoint:
            raise ClapgenError(f"'{self.kind}:' lacks a checkpoint; give {self.kind}:FOLDER or {self.kind}:NAME.")
        path = find_checkpoint(self._full_name(checkpoint))
        self.name, self.device = f"{self.kind}:{checkpoint}", device
        with self._loading():
            folder = self._folder(path)
            self.hash = content_hash(folder)
            found = model_type_of(folder)
            if found != self.model_type:
                raise ValueError(f"its config.json is that of a model of type '{found}', not '{self.model_type}'.")
            self._load(folder)

    @classmethod
    def recognises(cls, weights: Mapping[str, Tensor]) -> bool:
        """Whether weights by name, as a pickle holds them, are those of a checkpoint of this kind."""
        return False

    @classmethod
    def _full_name(cls, checkpoint: str) -> str:
        """The name on the hub for a short name of this kind, otherwise the checkpoint as it is given."""
        return checkpoint

    def _folder(self, path: Path) -> Path:
        """The folder with config.json and safetensors of a checkpoint."""
        return path

    def _loading(self) -> AbstractContextManager[None]:
        return loading_errors(self.name.partition(":")[2], self.kind, self.layout)

    @classmethod
    def needs_hub(cls, checkpoint: str) -> bool:
        """Whether this names a model of the hub: it is not a folder or file."""
        return is_hub_name(cls._full_name(checkpoint))

    @property
    def window_policy(self) -> str:
        """How a clip of any length becomes one embedding, in words."""
        return (
            f"windows of {self.window / self.sample_rate:.4g} s, half a window apart, the last flush with the end, "
            f"their embeddings averaged; {self.short_clips}"
        )

    def embed_audio(self, waveforms: Sequence[Any], sample_rate: int) -> Tensor:
        """Embeddings (n, dim) float32, on the CPU, of mono waveforms (samples,) at `sample_rate` Hz.

        Raises:
            ClapgenError: a waveform is not mono, is empty or is not finite.
        """
        clips = [self._windows(waveform, sample_rate) for waveform in list_of_waveforms(waveforms)]
        means = [self._per_window(windows).mean(0) for windows in clips]
        if not means:
            return torch.zeros(0, self.dim)
        return F.normalize(torch.stack(means), dim=-1) if self.normalised else torch.stack(means)

    def embed_frames(self, waveform: Any, sample_rate: int) -> Tensor:
        """Embeddings (windows, dim) float32 of the windows of one waveform."""
        return self._per_window(self._windows(waveform, sample_rate))

    def embed_windows(self, windows: Sequence[Array]) -> Tensor:
        """Embeddings (n, dim) float32, on the CPU, of windows of at most `window` samples, each for itself."""
        with inference(self.network):
            return self._embed(list(windows)).float().cpu()

    def _windows(self, waveform: Any, sample_rate: int) -> list[Array]:
        return list(half_overlapping([mono_samples_at(waveform, sample_rate, self.sample_rate)], self.window))

    def _per_window(self, windows: list[Array]) -> Tensor:
        size = self.windows_per_batch
        return torch.cat([self.embed_windows(windows[at : at + size]) for at in range(0, len(windows), size)])

    @abstractmethod
    def _load(self, folder: Path) -> None:
        """Load the network and its feature extractor, and set `sample_rate`, `dim` and `window`."""

    @abstractmethod
    def _embed(self, windows: list[Array]) -> Tensor:
        """(windows, dim)."""


@contextmanager
def loading_errors(name: str, kind: str, layout: str) -> Iterator[None]:
    """Turn what transformers raises for a checkpoint that it cannot load into one sentence, and `layout` after it."""
    try:
        with no_progress_bars():
            yield
    except ClapgenError:
        raise
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, TypeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ClapgenError(f"{name} cannot be loaded as '{kind}': {reason} {layout}") from error


def load_network(network_class: Any, folder: Path) -> Any:
    """A network of transformers in float32, for inference, with all of its weights.

    Raises:
        ValueError: weights are missing, or are of other shapes than its config.json says.
    """
    network, info = network_class.from_pretrained(folder, dtype=torch.float32, output_loading_info=True, **SAFELY)
    missing = sorted(name for name in info["missing_keys"] if not name.endswith(COMPUTED))
    if missing:
        raise ValueError(f"{len(missing)} of its weights are missing, such as {missing[0]}.")
    return network.eval()


def pooled(output: Any) -> Tensor:
    """The pooled embedding: transformers 5 returns an object where earlier versions returned the tensor."""
    return output if isinstance(output, Tensor) else output.pooler_output


@contextmanager
def no_progress_bars() -> Iterator[None]:
    """Hide transformers' progress bars, which would mix with ours."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
