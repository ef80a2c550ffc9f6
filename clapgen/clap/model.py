"""`Clap`: two towers, their projections into one space, and embeddings of audio of any length."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F

from clapgen.audio.waveform import list_of_waveforms, mono_samples_at
from clapgen.audio.windows import half_overlapping, repeat_pad
from clapgen.clap import audio_tower, text_tower  # noqa: F401  # they register their towers
from clapgen.clap.config import ClapConfig
from clapgen.clap.frame_head import FrameHead
from clapgen.clap.tokenizer import load_tokenizer, save_tokenizer, tokenize
from clapgen.clap.towers import create_audio_tower, create_text_tower
from clapgen.devices import choose_device, inference
from clapgen.errors import ClapgenError
from clapgen.model_store import Model, load_module, open_model, save_part, weights_hash

Waveforms = Sequence[NDArray[np.float32] | Tensor] | NDArray[np.float32] | Tensor

LARGEST_LOG_LOGIT_SCALE = math.log(100)
TEXTS_PER_BATCH = 64  # sorted by length, twice as many a second as 256 unsorted


class Clap(nn.Module):
    """Contrastive language-audio model (Elizalde et al. 2022; Wu et al. 2022) with deterministic inference.

    `name` and `hash` identify the weights; `dim` is the width of the embedding space, `sample_rate` is in Hz, `window`
    is the length of an input window in samples.
    """

    windows_per_batch = 32
    normalised = True

    def __init__(self, config: ClapConfig, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.config, self.tokenizer = config, tokenizer
        self.audio_tower, self.text_tower = create_audio_tower(config.audio), create_text_tower(config.text)
        self.audio_projection = _projection(self.audio_tower.width, config.dim)
        self.text_projection = _projection(self.text_tower.width, config.dim)
        self.frame_head = FrameHead(config.dim) if config.frame_head else None
        self.log_logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        self.name, self.hash = "unsaved", ""
        self.dim, self.sample_rate = config.dim, config.audio.sample_rate
        self.window = round(config.audio.window_seconds * config.audio.sample_rate)

    @classmethod
    def from_pretrained(cls, name_or_path: Model = "default", device: str | torch.device = "cpu") -> Clap:
        """Load a model by name or folder. `ClapgenError` if it is unknown, incomplete or damaged."""
        device = choose_device(device)
        folder = open_model(name_or_path)
        tokenizer_file = folder.path / "clap" / "tokenizer.json"
        clap = load_module(folder, "clap", ClapConfig, lambda config: cls(config, load_tokenizer(tokenizer_file)))
        clap.name, clap.hash = folder.name, weights_hash(folder, "clap")
        return clap.to(device)

    def save_pretrained(self, model_dir: str | Path) -> None:
        """Write `clap/` (config, tokenizer, fp16 weights) into a model folder."""
        folder = Path(model_dir) / "clap"
        save_tokenizer(self.tokenizer, folder / "tokenizer.json")
        save_part(Path(model_dir), "clap", self.config, self)

    def extended(self, audio_layers: int = 0, text_layers: int = 0, frame_head: bool = False) -> Clap:
        """This CLAP with at least so many layers of temporal pooling in its towers, and a frame head if wanted.

        The embeddings stay the same until the new parts are trained.

        Raises:
            ClapgenError: a tower has pooling of another depth.
        """
        config = copy.deepcopy(self.config)
        config.frame_head = config.frame_head or frame_head
        for tower, layers in ((config.audio, audio_layers), (config.text, text_layers)):
            if tower.temporal_layers not in (0, layers) and layers:
                raise ClapgenError(f"the model's pooling has {tower.temporal_layers} temporal layers, not {layers}")
            tower.temporal_layers = tower.temporal_layers or layers
        if config == self.config:
            return self
        clap = Clap(config, self.tokenizer)
        clap.load_state_dict(clap.state_dict() | self.state_dict())
        clap.name, clap.hash = self.name, self.hash
        return clap.to(self.device).train(self.training)

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self.log_logit_scale.device

    @property
    def window_policy(self) -> str:
        """How a clip of any length becomes one embedding, as a sentence for reports."""
        return (
            f"windows of {self.config.audio.window_seconds:g} s, half a window apart, the last flush with the end, "
            "their embeddings averaged; shorter clips repeated into one window"
        )

    @property
    def logit_scale(self) -> Tensor:
        """The learned inverse temperature, at most 100 (Radford et al. 2021)."""
        return self.log_logit_scale.clamp(max=LARGEST_LOG_LOGIT_SCALE).exp()

    def project_audio(self, inputs: Tensor) -> Tensor:
        """Output of the tower's front end to embeddings (batch, dim) of length 1; differentiable."""
        return self.project_features(self.audio_tower(inputs))

    def project_features(self, features: Tensor) -> Tensor:
        """Features of the audio tower (batch, width) to embeddings (batch, dim) of length 1; differentiable."""
        return F.normalize(self.audio_projection(features).float(), dim=-1)

    def project_frames(self, frames: Tensor) -> Tensor:
        """Frame features (batch, frames, width) to frame embeddings (batch, frames, dim) of length 1; differentiable.

        Each frame is pooled alone, as if the clip were no longer than it.
        """
        features = self.audio_tower.pool(frames.flatten(0, 1)[:, None])
        return self.project_features(features).view(*frames.shape[:2], self.dim)

    def project_text(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Tokens and mask (batch, tokens) to embeddings (batch, dim) of length 1; differentiable."""
        return self.project_states(self.text_tower.states(tokens, mask), mask)

    def project_states(self, states: Tensor, mask: Tensor) -> Tensor:
        """Token states of the text tower (batch, tokens, channels) to embeddings (batch, dim) of length 1."""
        return F.normalize(self.text_projection(self.text_tower.pool(states, mask)).float(), dim=-1)

    def embed_text(self, texts: Sequence[str]) -> Tensor:
        """Embeddings (n, dim) of sentences: float32, length 1, on the CPU. Texts are cut at `max_tokens` (77)."""
        if isinstance(texts, str):
            raise TypeError("embed_text takes a list of texts")
        with inference(self):
            embeddings = torch.zeros(len(texts), self.dim)
            by_length = sorted(range(len(texts)), key=lambda index: len(texts[index]))  # little padding
            for start in range(0, len(texts), TEXTS_PER_BATCH):
                rows = by_length[start : start + TEXTS_PER_BATCH]
                tokens, mask = tokenize(self.tokenizer, [texts[row] for row in rows], self.text_tower.max_tokens)
                embeddings[rows] = self.project_text(tokens.to(self.device), mask.to(self.device)).cpu()
            return embeddings

    @property
    def max_tokens(self) -> int:
        """How many tokens of a text count."""
        return self.text_tower.max_tokens

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """The number of tokens of each text, including those that are cut off."""
        return [len(encoding.ids) for encoding in self.tokenizer.encode_batch(list(texts))]

    def embed_audio(self, waveforms: Waveforms, sample_rate: int) -> Tensor:
        """Embeddings (n, dim) of mono waveforms at `sample_rate` Hz: float32, length 1, on the CPU.

        A clip shorter than the window is repeated to fill it, as in LAION-CLAP. A longer one is split into windows half
        a window apart, the last one flush with the end, and their embeddings are averaged. The result is the same at
        every call, and does not depend on the rest of the batch beyond rounding (1e-6).

        Raises:
            ClapgenError: a waveform is not mono, is empty or is not finite.
        """
        windows: list[NDArray[np.float32]] = []
        counts: list[int] = []
        embedded: list[Tensor] = []
        for waveform in list_of_waveforms(waveforms):
            pieces = list(half_overlapping([mono_samples_at(waveform, sample_rate, self.sample_rate)], self.window))
            counts.append(len(pieces))
            windows.extend(pieces)
            while len(windows) >= self.windows_per_batch:
                embedded.append(self.embed_windows(windows[: self.windows_per_batch]))
                windows = windows[self.windows_per_batch :]
        if windows:
            embedded.append(self.embed_windows(windows))
        if not counts:
            return torch.zeros(0, self.dim)
        with inference(self):
            means = torch.stack([piece.mean(0) for piece in torch.cat(embedded).split(counts)])
            return F.normalize(means, dim=-1)

    def embed_windows(self, windows: Sequence[NDArray[np.float32] | Tensor]) -> Tensor:
        """Embeddings (n, dim) of windows (samples,) at `sample_rate` Hz, each for itself: float32, on the CPU.

        A window shorter than `window` is repeated to fill it.
        """
        with inference(self):
            filled = torch.stack([repeat_pad(torch.as_tensor(window), self.window) for window in windows])
            return self.project_audio(self.audio_tower.front_end(filled.to(self.device))).cpu()

    def embed_frames(self, waveform: NDArray[np.float32] | Tensor, sample_rate: int) -> Tensor:
        """Frame embeddings (frames, dim) of one waveform, `audio_tower.frame_rate` a second, each of length 1.

        Raises:
            ClapgenError: the waveform is not mono, is empty or is not finite.
        """
        with inference(self):
            samples = torch.from_numpy(np.ascontiguousarray(mono_samples_at(waveform, sample_rate, self.sample_rate)))
            frames = self.audio_tower.frames(self.audio_tower.front_end(samples[None].to(self.device)))
            return self.project_frames(frames)[0].cpu()

    def similarity(self, audio: Tensor, text: Tensor) -> Tensor:
        """Cosine (n_audio, n_text) of embeddings (n_audio, dim) and (n_text, dim), in [-1, 1]."""
        return audio @ text.T


def _projection(in_width: int, dim: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(in_width, 2 * dim), nn.GELU(), nn.LayerNorm(2 * dim), nn.Linear(2 * dim, dim))
