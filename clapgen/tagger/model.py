"""The tagger: log-mel, a plain convolutional network, and a score for each label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clapgen.audio.mel import LogMel
from clapgen.audio.waveform import list_of_waveforms, mono_samples_at
from clapgen.audio.windows import half_overlapping, repeat_pad
from clapgen.data.text import label_key
from clapgen.devices import choose_device, inference
from clapgen.embedders.registry import EMBEDDERS
from clapgen.errors import ClapgenError
from clapgen.model_store import Model, load_module, open_model, save_part, weights_hash

PART = "tagger"


@dataclass
class TaggerConfig:
    """Log-mel front end (rates and frequencies in Hz), channels of each block, and the labels, in the order of scores.

    `dim` is the width of the embedding. The front end differs from the CLAP's: twice the bands, other windows.
    """

    sample_rate: int = 32_000
    window_seconds: float = 5.0
    n_fft: int = 2048
    hop_length: int = 512
    n_mels: int = 128
    f_min: float = 20.0
    f_max: float = 16_000.0
    widths: list[int] = field(default_factory=lambda: [32, 64, 128, 256])
    dim: int = 256
    dropout: float = 0.3
    labels: list[str] = field(default_factory=list)


class Tagger(nn.Module):
    """A convolutional network without shortcuts (CNN10 of PANNs, Kong et al. 2020, at a quarter of its size), which is
    told the frequency of each band (frequency-aware CNN, Koutini et al. 2019).

    It knows no text, and is trained on real recordings and their labels alone: what a CLAP-steered generator does to
    please its own CLAP does not please it. It is also an embedder: the features before the scores, of which the scores
    are a linear function, so that the scores of a long sound are the mean of those of its windows.
    """

    windows_per_batch = 32
    normalised = False

    def __init__(self, config: TaggerConfig) -> None:
        super().__init__()
        self.config = config
        self.log_mel = LogMel(
            config.sample_rate, config.n_fft, config.hop_length, config.n_mels, config.f_min, config.f_max
        )
        self.input_norm = nn.BatchNorm1d(config.n_mels)
        widths = [2, *config.widths]
        pairs = list(zip(widths, config.widths, strict=False))
        self.blocks = nn.Sequential(*(_block(a, b, stride=1 if i else 2) for i, (a, b) in enumerate(pairs)))
        self.features = nn.Sequential(nn.Dropout(config.dropout), nn.Linear(widths[-1], config.dim), nn.ReLU())
        self.scores = nn.Linear(config.dim, len(config.labels))
        self.name, self.hash = "unsaved", ""
        self.dim, self.sample_rate = config.dim, config.sample_rate
        self.window = round(config.window_seconds * config.sample_rate)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack this form

    @classmethod
    def from_pretrained(cls, name_or_path: Model, device: str | torch.device = "cpu") -> Tagger:
        """Load a tagger from a folder. `ClapgenError` if it is incomplete or damaged."""
        folder = open_model(name_or_path)
        if not (folder.path / PART).is_dir():
            raise ClapgenError(f"{name_or_path} has no tagger; train one: clapgen train tagger manifest=MANIFEST")
        tagger = load_module(folder, PART, TaggerConfig, cls)
        tagger.name, tagger.hash = f"tagger:{folder.name}", weights_hash(folder, PART)
        return tagger.to(choose_device(device))

    def save_pretrained(self, model_dir: str | Path) -> None:
        """Write `tagger/` (config with labels, fp16 weights) into a model folder."""
        save_part(Path(model_dir), PART, self.config, self)

    @property
    def labels(self) -> list[str]:
        """The labels, in the order of the scores."""
        return self.config.labels

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.scores.weight.device

    @property
    def window_policy(self) -> str:
        """How a clip of any length becomes one embedding, in words."""
        return (
            f"windows of {self.config.window_seconds:g} s, half a window apart, the last flush with the end, "
            "their embeddings averaged; shorter clips repeated into one window"
        )

    def forward(self, log_mel: Tensor) -> Tensor:
        """Log-mel (batch, n_mels, mel frames) in dB to features (batch, dim); differentiable."""
        x = self.input_norm(log_mel)
        frequency = torch.linspace(-1, 1, x.shape[1], device=x.device, dtype=x.dtype)
        x = torch.stack([x, frequency[:, None].expand_as(x)], 1).contiguous(memory_format=torch.channels_last)
        frames = self.blocks(x).mean(2)
        pooled: Tensor = self.features(frames.mean(2) + frames.amax(2))  # as in PANNs
        return pooled

    def embed_audio(self, waveforms: Sequence[Any], sample_rate: int) -> Tensor:
        """Features (n, dim) float32, on the CPU, of mono waveforms (samples,) at `sample_rate` Hz.

        Raises:
            ClapgenError: a waveform is not mono, is empty or is not finite.
        """
        means = [self.embed_frames(waveform, sample_rate).mean(0) for waveform in list_of_waveforms(waveforms)]
        return torch.stack(means) if means else torch.zeros(0, self.dim)

    def embed_frames(self, waveform: Any, sample_rate: int) -> Tensor:
        """Features (windows, dim) float32 of the windows of one waveform."""
        windows = list(half_overlapping([mono_samples_at(waveform, sample_rate, self.sample_rate)], self.window))
        size = self.windows_per_batch
        return torch.cat([self.embed_windows(windows[i : i + size]) for i in range(0, len(windows), size)])

    def embed_windows(self, windows: Sequence[Any]) -> Tensor:
        """Features (n, dim) float32, on the CPU, of windows of at most `window` samples; short ones are repeated."""
        with inference(self):
            filled = torch.stack([repeat_pad(torch.as_tensor(window), self.window) for window in windows])
            features: Tensor = self(self.log_mel(filled.to(self.device)))
            return features.float().cpu()

    def logits(self, features: Tensor | np.ndarray, labels: Sequence[str] | None = None) -> Tensor:
        """Scores (n, labels) of features (n, dim), of all labels or of these.

        Raises:
            ClapgenError: a label that the tagger was not trained on; underscores, case and spaces do not matter.
        """
        with inference(self):
            scores: Tensor = self.scores(torch.as_tensor(features).to(self.device)).float().cpu()
        if labels is None:
            return scores
        place = {label_key(label): number for number, label in enumerate(self.labels)}
        if unknown := [label for label in labels if label_key(label) not in place]:
            raise ClapgenError(
                f"the tagger {self.name} was not trained on '{unknown[0]}'"
                f"{f' and {len(unknown) - 1} more labels' if len(unknown) > 1 else ''}; it knows {len(place)} labels."
            )
        return scores[:, [place[label_key(label)] for label in labels]]


def _block(in_width: int, out_width: int, stride: int) -> nn.Sequential:
    """Two 3x3 convolutions and a mean over 2x2; in the first block, the first convolution also halves both axes."""
    layers: list[nn.Module] = []
    for width, step in ((in_width, stride), (out_width, 1)):
        layers += [nn.Conv2d(width, out_width, 3, step, 1, bias=False), nn.BatchNorm2d(out_width), nn.ReLU()]
    return nn.Sequential(*layers, nn.AvgPool2d(2, ceil_mode=True))


@EMBEDDERS.register("tagger")
def load_tagger(checkpoint: str, device: torch.device) -> Tagger:
    """`tagger:FOLDER` as an embedder."""
    return Tagger.from_pretrained(checkpoint, device)


def top_k(logits: Tensor, truth: Sequence[int], k: int) -> np.ndarray:
    """Whether the true label of each row of `logits` (n, labels) is among its `k` highest: (n,) bool.

    Ties count against it.
    """
    scores = F.log_softmax(logits.double(), dim=1)
    own = scores.gather(1, torch.as_tensor(truth)[:, None])
    higher_or_equal = (scores >= own).sum(1) - 1
    found: np.ndarray = (higher_or_equal < k).numpy()
    return found
