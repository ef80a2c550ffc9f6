"""Base of the embedders of public checkpoints: windows of one length through a network of transformers.

The checkpoints' own feature extractors crop long clips at random (CLAP) or cut them off (AST). Here half-overlapping
windows cover the whole clip and their embeddings are averaged: the same vector at every call.
"""

from __future__ import annotations

import hashlib
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
from clapgen.errors import ClapgenError

SAFELY: dict[str, Any] = {"use_safetensors": True, "trust_remote_code": False}  # for every `from_pretrained` of weights
HUB_FILES = ("*.json", "*.safetensors", "*.txt")

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

    network: Any
    sample_rate: int
    dim: int
    window: int

    def __init__(self, checkpoint: str, device: torch.device) -> None:
        if not checkpoint:
            raise ClapgenError(f"'{self.kind}:' lacks a checkpoint; give {self.kind}:FOLDER or {self.kind}:NAME.")
        folder = _from_hub(self.kind, checkpoint) if self.needs_hub(checkpoint) else Path(checkpoint).expanduser()
        self.name, self.device = f"{self.kind}:{checkpoint}", device
        with self._loading():
            self.hash = content_hash(folder)
            found = json.loads((folder / "config.json").read_text()).get("model_type")
            if found != self.model_type:
                raise ValueError(f"its config.json is that of a model of type '{found}', not '{self.model_type}'.")
            self._load(folder)

    @contextmanager
    def _loading(self) -> Iterator[None]:
        """Turn what transformers raises for a checkpoint that it cannot load into one sentence."""
        try:
            with no_progress_bars():
                yield
        except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
            reason = " ".join(str(error).split())[:300]
            raise ClapgenError(
                f"{self.name.partition(':')[2]} cannot be loaded as '{self.kind}': {reason} It must be a folder (or "
                "hub model) with config.json, preprocessor_config.json and model.safetensors."
            ) from error

    @staticmethod
    def needs_hub(checkpoint: str) -> bool:
        """Whether this names a model of the hub: it is not a folder."""
        return not Path(checkpoint).expanduser().is_dir()

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


def content_hash(folder: Path) -> str:
    """First 12 hex digits of the sha256 over a checkpoint's weights, configurations and vocabulary."""
    files = sorted(file for pattern in HUB_FILES for file in folder.glob(pattern))
    if not any(file.suffix == ".safetensors" for file in files):
        raise ClapgenError(f"{folder} has no .safetensors; other weights are not read, they could run code.")
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.name}\0{file.stat().st_size}\0".encode())
        with open(file, "rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()[:12]


def pooled(output: Any) -> Tensor:
    """The pooled embedding: transformers 5 returns an object where earlier versions returned the tensor."""
    return output if isinstance(output, Tensor) else output.pooler_output


def _from_hub(kind: str, checkpoint: str) -> Path:
    if checkpoint.count("/") != 1 or checkpoint.startswith((".", "/", "~")):
        raise ClapgenError(f"there is no folder {checkpoint}; give {kind}:FOLDER, or {kind}:owner/name from the hub.")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(checkpoint, allow_patterns=list(HUB_FILES)))
    except Exception as error:  # huggingface_hub and its HTTP client raise a dozen classes
        offline = " (HF_HUB_OFFLINE is set)" if os.environ.get("HF_HUB_OFFLINE") == "1" else ""
        raise ClapgenError(
            f"{checkpoint} is not a folder, and cannot be downloaded from the Hugging Face hub{offline}: "
            f"{' '.join(str(error).split())[:200]} Download it and give its folder."
        ) from error


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
