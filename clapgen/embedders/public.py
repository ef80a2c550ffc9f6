"""Embedders of public checkpoints by transformers: LAION's CLAP, EnCodec, the audio spectrogram transformer.

Their own feature extractors crop long clips at random (CLAP) or cut them off (AST). Here every clip is covered by
full windows, half a window apart, whose embeddings are averaged: the same vector at every call.
"""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from torch import Tensor
from torch.nn import functional as F

from clapgen.audio import resample
from clapgen.audio.windows import window_starts
from clapgen.errors import ClapgenError

WINDOWS_PER_BATCH = 16
ENCODEC_WINDOW_SECONDS = 10.0
KALDI_FRAME_SAMPLES, KALDI_HOP_SAMPLES = 400, 160  # what AST's feature extractor has built in
HUB_FILES = ("*.json", "*.safetensors", "*.txt")

Array = npt.NDArray[np.float32]


class PublicEmbedder(ABC):
    """Windows of one length through a network of transformers; what the network is, subclasses say."""

    normalised = False  # whether embeddings have length 1

    def __init__(self, kind: str, which: str, folder: Path, device: torch.device) -> None:
        self.name, self.hash = f"{kind}:{which}", content_hash(folder)
        self.device = device
        self.sample_rate, self.dim = 0, 0
        self.window = 0  # samples

    @property
    def window_policy(self) -> str:
        """How a clip of any length becomes one embedding, in words."""
        return (
            f"windows of {self.window / self.sample_rate:.4g} s, half a window apart, the last flush with the end, "
            f"their embeddings averaged; {self.short_clips}"
        )

    short_clips = "shorter clips as they are"

    @torch.no_grad()
    def embed_audio(self, waveforms: Sequence[Any], sample_rate: int) -> Tensor:
        """Embeddings (n, dim) float32, on the CPU, of mono waveforms (samples,) at `sample_rate` Hz."""
        means = [self._per_window(self._windows(waveform, sample_rate)).mean(0) for waveform in waveforms]
        if not means:
            return torch.zeros(0, self.dim)
        return F.normalize(torch.stack(means), dim=-1) if self.normalised else torch.stack(means)

    @torch.no_grad()
    def embed_frames(self, waveform: Any, sample_rate: int) -> Tensor:
        """Embeddings (windows, dim) float32 of the windows of one waveform."""
        return self._per_window(self._windows(waveform, sample_rate))

    def _windows(self, waveform: Any, sample_rate: int) -> list[Array]:
        samples = resample(np.asarray(waveform, dtype=np.float32), sample_rate, self.sample_rate)
        if samples.ndim != 1 or not samples.size:
            raise ClapgenError(f"a waveform must be mono and not empty, shape (samples,); got shape {samples.shape}")
        if len(samples) <= self.window:
            return [samples]
        return [samples[start : start + self.window] for start in window_starts(len(samples), self.window)]

    def _per_window(self, windows: list[Array]) -> Tensor:
        pieces = [
            self._embed(windows[start : start + WINDOWS_PER_BATCH]).float().cpu()
            for start in range(0, len(windows), WINDOWS_PER_BATCH)
        ]
        return torch.cat(pieces)

    @abstractmethod
    def _embed(self, windows: list[Array]) -> Tensor:
        """(windows, dim)."""


class LaionClap(PublicEmbedder):
    """A ClapModel (Wu et al. 2023), which knows sentences too."""

    normalised = True
    short_clips = "shorter clips repeated as often as they fit and padded with zeros"

    def __init__(self, which: str, folder: Path, device: torch.device) -> None:
        from transformers import AutoTokenizer, ClapFeatureExtractor, ClapModel

        super().__init__("laion", which, folder, device)
        self.network = ClapModel.from_pretrained(folder, use_safetensors=True).eval().to(device)
        self.extractor = ClapFeatureExtractor.from_pretrained(folder)
        self._tokenizer: Any = None
        self._load_tokenizer = lambda: AutoTokenizer.from_pretrained(folder)
        self.sample_rate, self.dim = self.extractor.sampling_rate, self.network.config.projection_dim
        self.window = round(self.extractor.max_length_s * self.sample_rate)

    @property
    def logit_scale(self) -> Tensor:
        """The learned inverse temperature of audio."""
        return self.network.logit_scale_a.exp()

    @torch.no_grad()
    def embed_text(self, texts: Sequence[str]) -> Tensor:
        """Embeddings (n, dim) of sentences: float32, length 1, on the CPU."""
        pieces = [torch.zeros(0, self.dim)]
        if self._tokenizer is None:
            self._tokenizer = self._load_tokenizer()
        for start in range(0, len(texts), 64):
            tokens = self._tokenizer(
                list(texts[start : start + 64]), padding=True, truncation=True, max_length=77, return_tensors="pt"
            )
            output = self.network.get_text_features(
                input_ids=tokens["input_ids"].to(self.device), attention_mask=tokens["attention_mask"].to(self.device)
            )
            pieces.append(F.normalize(_pooled(output).float(), dim=-1).cpu())
        return torch.cat(pieces)

    def _embed(self, windows: list[Array]) -> Tensor:
        features = self.extractor(
            windows, sampling_rate=self.sample_rate, padding="repeatpad", return_tensors="pt"
        )  # no window is longer than its max_length: nothing is left to its random crop
        not_longer = torch.zeros(len(windows), 1, dtype=torch.bool)  # the extractor calls one of them longer, by chance
        output = self.network.get_audio_features(
            input_features=features["input_features"].float().to(self.device), is_longer=not_longer.to(self.device)
        )
        return F.normalize(_pooled(output).float(), dim=-1)


class Encodec(PublicEmbedder):
    """The latents of EnCodec's encoder before they are quantised (Défossez et al. 2022), averaged over time."""

    def __init__(self, which: str, folder: Path, device: torch.device) -> None:
        from transformers import EncodecModel

        super().__init__("encodec", which, folder, device)
        self.network = EncodecModel.from_pretrained(folder, use_safetensors=True).eval().to(device)
        config = self.network.config
        self.sample_rate, self.dim = config.sampling_rate, config.hidden_size
        self.window = round(ENCODEC_WINDOW_SECONDS * self.sample_rate)

    @torch.no_grad()
    def embed_frames(self, waveform: Any, sample_rate: int) -> Tensor:
        """Latent frames (frames, dim) of one waveform; those of overlapping windows follow one another."""
        return torch.cat([self._latents(window) for window in self._windows(waveform, sample_rate)]).float().cpu()

    def _embed(self, windows: list[Array]) -> Tensor:
        # One by one: padding a short clip would change its latents, and batching gains little for an LSTM on a CPU.
        return torch.stack([self._latents(window).mean(0) for window in windows])

    def _latents(self, window: Array) -> Tensor:
        samples = torch.from_numpy(window).to(self.device)
        if self.network.config.normalize:
            samples = samples / (samples.square().mean().sqrt() + 1e-8)
        channels = self.network.config.audio_channels
        return self.network.encoder(samples.expand(1, channels, -1))[0].T  # (frames, dim)


class SpectrogramTransformer(PublicEmbedder):
    """An AST (Gong et al. 2021): its pooled output, as VGGish's embedding of a classifier is used."""

    short_clips = "shorter clips padded as its feature extractor does"

    def __init__(self, which: str, folder: Path, device: torch.device) -> None:
        from transformers import ASTFeatureExtractor, AutoModel

        super().__init__("ast", which, folder, device)
        self.network = AutoModel.from_pretrained(folder, use_safetensors=True).eval().to(device)
        self.extractor = ASTFeatureExtractor.from_pretrained(folder)
        self.sample_rate, self.dim = self.extractor.sampling_rate, self.network.config.hidden_size
        self.window = (self.extractor.max_length - 1) * KALDI_HOP_SAMPLES + KALDI_FRAME_SAMPLES

    def _embed(self, windows: list[Array]) -> Tensor:
        whole = [np.pad(window, (0, max(0, KALDI_FRAME_SAMPLES - len(window)))) for window in windows]
        features = self.extractor(whole, sampling_rate=self.sample_rate, return_tensors="pt")
        return _pooled(self.network(input_values=features["input_values"].float().to(self.device)))


KINDS: dict[str, Callable[[str, Path, torch.device], PublicEmbedder]] = {
    "laion": LaionClap,
    "encodec": Encodec,
    "ast": SpectrogramTransformer,
}


def load_public(kind: str, which: str, device: torch.device) -> PublicEmbedder:
    """Load a checkpoint of a known kind from a folder, or by its name on the hub.

    Raises:
        ClapgenError: it cannot be had, or is not a checkpoint of this kind in safetensors.
    """
    folder = Path(which).expanduser()
    if not folder.is_dir():
        folder = _from_hub(kind, which)
    try:
        with _quiet():
            return KINDS[kind](which, folder, device)
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        raise ClapgenError(
            f"{which} cannot be loaded as '{kind}': {' '.join(str(error).split())[:300]} It must be a folder (or hub "
            "model) with config.json, preprocessor_config.json and model.safetensors."
        ) from error


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


def _from_hub(kind: str, which: str) -> Path:
    if which.count("/") != 1 or which.startswith((".", "/", "~")):
        raise ClapgenError(f"there is no folder {which}; give {kind}:FOLDER, or {kind}:owner/name of a hub model.")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(which, allow_patterns=list(HUB_FILES)))
    except Exception as error:  # a dozen classes of huggingface_hub and of what carries its requests
        offline = " (HF_HUB_OFFLINE is set)" if os.environ.get("HF_HUB_OFFLINE") == "1" else ""
        raise ClapgenError(
            f"{which} is no folder, and could not be had from the Hugging Face hub{offline}: "
            f"{' '.join(str(error).split())[:200]} Download it and give its folder."
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars of transformers between ours."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _pooled(output: Any) -> Tensor:
    """transformers 5 returns an object where earlier versions returned the tensor."""
    return output if isinstance(output, Tensor) else output.pooler_output
