"""`Clap`: the two towers, their projections into one space, and embedding of any length of audio."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F

from clapgen.audio import resample
from clapgen.audio.windows import window_starts
from clapgen.clap.audio_tower import AudioTower
from clapgen.clap.config import ClapConfig
from clapgen.clap.text_tower import TextTower, tokenize
from clapgen.errors import ClapgenError
from clapgen.files import atomic_path
from clapgen.model_store import Model, load_module, open_model, save_part, weights_hash

Waveforms = Sequence[NDArray[np.float32] | Tensor] | NDArray[np.float32] | Tensor

WINDOWS_PER_BATCH = 32
LARGEST_LOG_LOGIT_SCALE = math.log(100)


class Clap(nn.Module):
    """Contrastive language-audio model (Elizalde et al. 2022; Wu et al. 2022) with deterministic inference.

    `name` and `hash` say which weights these are; `dim` is the width of the space, `sample_rate` is in Hz.
    """

    def __init__(self, config: ClapConfig, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.config, self.tokenizer = config, tokenizer
        self.audio_tower, self.text_tower = AudioTower(config.audio), TextTower(config.text)
        self.audio_projection = _projection(self.audio_tower.width, config.dim)
        self.text_projection = _projection(self.text_tower.width, config.dim)
        self.log_logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        self.name, self.hash = "unsaved", ""
        self.dim, self.sample_rate = config.dim, config.audio.sample_rate
        self.window = round(config.audio.window_seconds * config.audio.sample_rate)

    @classmethod
    def from_pretrained(cls, name_or_path: Model = "default", device: str | torch.device = "cpu") -> Clap:
        """Load a model by name or folder. `ClapgenError` if it is unknown, incomplete or damaged."""
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

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.log_logit_scale.device

    @property
    def window_policy(self) -> str:
        """How a clip of any length becomes one embedding, in words."""
        return (
            f"windows of {self.config.audio.window_seconds:g} s, half a window apart, the last flush with the end, "
            "their embeddings averaged; shorter clips repeated into one window"
        )

    @property
    def logit_scale(self) -> Tensor:
        """The learned inverse temperature, at most 100 (Radford et al. 2021)."""
        return self.log_logit_scale.clamp(max=LARGEST_LOG_LOGIT_SCALE).exp()

    def project_audio(self, log_mel: Tensor) -> Tensor:
        """Log-mel (batch, n_mels, frames) in dB to embeddings (batch, dim) of length 1; differentiable."""
        return F.normalize(self.audio_projection(self.audio_tower(log_mel)).float(), dim=-1)

    def project_text(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Tokens and mask (batch, tokens) to embeddings (batch, dim) of length 1; differentiable."""
        return F.normalize(self.text_projection(self.text_tower(tokens, mask)).float(), dim=-1)

    @torch.no_grad()
    def embed_text(self, texts: Sequence[str]) -> Tensor:
        """Embeddings (n, dim) of sentences: float32, length 1, on the CPU. Texts past 77 tokens are cut there."""
        if isinstance(texts, str):
            raise TypeError("embed_text takes a list of texts")
        pieces = [torch.zeros(0, self.dim)]
        for start in range(0, len(texts), 256):
            tokens, mask = tokenize(self.tokenizer, texts[start : start + 256], self.text_tower.max_tokens)
            pieces.append(self.project_text(tokens.to(self.device), mask.to(self.device)).cpu())
        return torch.cat(pieces)

    @torch.no_grad()
    def embed_audio(self, waveforms: Waveforms, sample_rate: int) -> Tensor:
        """Embeddings (n, dim) of mono waveforms at `sample_rate` Hz: float32, length 1, on the CPU.

        A clip shorter than the window is repeated into it (as LAION does); a longer one is embedded in windows half a
        window apart, the last one flush with the end, and their mean is taken: the same vector at every call, and
        within rounding (1e-6) whatever else is in the batch.
        """
        windows: list[Tensor] = []
        counts: list[int] = []
        embedded: list[Tensor] = []
        for waveform in waveforms:
            pieces = self._windows(waveform, sample_rate)
            counts.append(len(pieces))
            windows.extend(pieces)
            while len(windows) >= WINDOWS_PER_BATCH:
                embedded.append(self._embed_windows(windows[:WINDOWS_PER_BATCH]))
                windows = windows[WINDOWS_PER_BATCH:]
        if windows:
            embedded.append(self._embed_windows(windows))
        if not counts:
            return torch.zeros(0, self.dim)
        means = torch.stack([piece.mean(0) for piece in torch.cat(embedded).split(counts)])
        return F.normalize(means, dim=-1)

    @torch.no_grad()
    def embed_frames(self, waveform: NDArray[np.float32] | Tensor, sample_rate: int) -> Tensor:
        """Frame embeddings (frames, dim) of one waveform, `audio_tower.frame_rate` a second, each of length 1."""
        samples = self._at_own_rate(waveform, sample_rate)
        frames = self.audio_tower.frames(self.audio_tower.log_mel(samples[None].to(self.device)))[0]
        return F.normalize(self.audio_projection(2 * frames).float(), dim=-1).cpu()

    def similarity(self, audio: Tensor, text: Tensor) -> Tensor:
        """Cosine (n_audio, n_text) of embeddings (n_audio, dim) and (n_text, dim), in [-1, 1]."""
        return audio @ text.T

    def _embed_windows(self, windows: list[Tensor]) -> Tensor:
        return self.project_audio(self.audio_tower.log_mel(torch.stack(windows).to(self.device))).cpu()

    def _at_own_rate(self, waveform: Any, sample_rate: int) -> Tensor:
        samples = waveform.detach().cpu() if isinstance(waveform, Tensor) else waveform
        samples = np.asarray(samples, dtype=np.float32)
        if samples.ndim != 1 or samples.size == 0:
            raise ClapgenError(f"a waveform must be mono and not empty, shape (samples,); got shape {samples.shape}")
        if not np.isfinite(samples).all():
            raise ClapgenError("a waveform holds NaN or infinite samples")
        samples = resample(samples, sample_rate, self.sample_rate)
        if samples.size == 0:
            raise ClapgenError(f"a waveform is too short: nothing is left of it at {self.sample_rate} Hz")
        return torch.from_numpy(np.ascontiguousarray(samples))

    def _windows(self, waveform: Any, sample_rate: int) -> list[Tensor]:
        samples, window = self._at_own_rate(waveform, sample_rate), self.window
        if len(samples) <= window:
            return [repeat_pad(samples, window)]
        return [samples[start : start + window] for start in window_starts(len(samples), window)]


def repeat_pad(waveform: Tensor, length: int) -> Tensor:
    """Tile (..., samples) as often as it fits whole into `length`, then pad with zeros (LAION-CLAP's "repeatpad")."""
    tiled = waveform.repeat(*[1] * (waveform.ndim - 1), max(1, length // waveform.shape[-1]))
    return F.pad(tiled, (0, length - tiled.shape[-1]))


def save_tokenizer(tokenizer: Tokenizer, path: Path) -> None:
    """Write a tokenizer.json, replacing an earlier one in one step."""
    with atomic_path(path, overwrite=True) as temporary:
        temporary.write_text(tokenizer.to_str(pretty=True), encoding="utf-8")


def load_tokenizer(path: Path) -> Tokenizer:
    """Read a tokenizer.json. `ClapgenError` if it is missing or damaged."""
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the tokenizers library raises bare Exception
        raise ClapgenError(f"{path} is missing or not a tokenizer; install the model again") from error


def _projection(in_width: int, dim: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(in_width, 2 * dim), nn.GELU(), nn.LayerNorm(2 * dim), nn.Linear(2 * dim, dim))
