"""Latents and CLAP embeddings of a training set, computed once and cached on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from clapgen.clap import Clap
from clapgen.data.audio_cache import AudioCache
from clapgen.data.manifest import Clip
from clapgen.files import atomic_path
from generation.autoencoder.model import Autoencoder

LABEL_TEMPLATES = ("{}", "This is a sound of {}.", "the sound of {}")
CROSSFADE_SECONDS = 0.25


@dataclass
class LatentCache:
    """Every sound as latents, every clip as embeddings.

    `latents` is (all frames, latent_dim) float16, sound s lies at `starts[s] : starts[s] + lengths[s]` and belongs to
    clip `clip_of[s]`. `audio` is (clips, dim); `text` is (all texts, dim), those of clip c at
    `text_starts[c] : text_starts[c + 1]`.
    """

    latents: Tensor
    starts: Tensor
    lengths: Tensor
    clip_of: Tensor
    audio: Tensor
    text: Tensor
    text_starts: Tensor

    @classmethod
    def build(
        cls,
        cache: AudioCache,
        autoencoder: Autoencoder,
        clap: Clap,
        weights: Sequence[str],
        folder: str | Path,
        seconds: float,
        class_field: str = "",
    ) -> LatentCache:
        """Read the latents of these clips and texts from `folder`, or compute them and write them there.

        `weights` are the hashes of the autoencoder and the CLAP. The first `seconds` of each clip are stored as they
        are; a shorter clip is also stored repeated up to `seconds`, so that a 10 s prompt for a short event repeats the
        event instead of padding with silence.
        """
        clips = [
            [str(clip.path), int(length), texts_of(clip, class_field)]
            for clip, length in zip(cache.clips, cache.lengths, strict=True)
        ]
        key = hashlib.sha256(json.dumps([*weights, seconds, clips]).encode()).hexdigest()[:16]
        path = Path(folder) / f"latents-{key}.safetensors"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_path(path, overwrite=True) as temporary:
                save_file(_encode_all(cache, autoencoder, clap, seconds, class_field), temporary)
        return cls(**load_file(path))


def texts_of(clip: Clip, class_field: str = "") -> list[str]:
    """Prompts that describe a clip: its captions, and its class or labels in a few templates."""
    name = clip.extra.get(class_field)
    names = [name.replace("_", " ")] if name else clip.labels
    return [*clip.captions, *(template.format(label) for label in names for template in LABEL_TEMPLATES)]


def extend(waveform: NDArray[np.float32], length: int, sample_rate: int, seed: int) -> NDArray[np.float32]:
    """Repeat a sound up to `length` samples: cross-faded into itself if it is still audible at its end, otherwise after
    a pause of 0.2 to 1.2 s."""
    random = np.random.default_rng(seed)
    fade = min(round(CROSSFADE_SECONDS * sample_rate), len(waveform) // 4)
    is_steady = _level(waveform[-fade:]) > 0.1 * _level(waveform) and _level(waveform[:fade]) > 0.1 * _level(waveform)
    result = waveform
    while len(result) < length:
        if is_steady and fade:
            ramp = np.sin(np.linspace(0, np.pi / 2, fade, dtype=np.float32))
            joint = result[-fade:] * ramp[::-1] + waveform[:fade] * ramp
            result = np.concatenate([result[:-fade], joint, waveform[fade:]])
        else:
            pause = np.zeros(round(random.uniform(0.2, 1.2) * sample_rate), dtype=np.float32)
            result = np.concatenate([result, pause, waveform])
    return result[:length]


def _level(waveform: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.mean(np.square(waveform)) + 1e-12)) if len(waveform) else 0.0


def _encode_all(
    cache: AudioCache, autoencoder: Autoencoder, clap: Clap, seconds: float, class_field: str
) -> dict[str, Tensor]:
    from rich.console import Console
    from rich.progress import track

    longest = round(seconds * autoencoder.sample_rate)
    latents: list[Tensor] = []
    clip_of: list[int] = []
    audio: list[Tensor] = []
    texts: list[list[str]] = []
    for index, clip in enumerate(track(cache.clips, "encoding", console=Console(stderr=True))):
        waveform = cache.waveform(index)[:longest]
        versions = [waveform]
        if len(waveform) < longest:
            versions.append(extend(waveform, longest, autoencoder.sample_rate, seed=index))
        for version in versions:
            latents.append(_encode(autoencoder, version))
            clip_of.append(index)
        audio.append(clap.embed_audio([waveform], autoencoder.sample_rate))
        texts.append(texts_of(clip, class_field))
    lengths = torch.tensor([len(x) for x in latents])
    counts = torch.tensor([0, *(len(t) for t in texts)])
    return {
        "latents": torch.cat(latents),
        "starts": lengths.cumsum(0) - lengths,
        "lengths": lengths,
        "clip_of": torch.tensor(clip_of),
        "audio": torch.cat(audio),
        "text": _embed_texts(clap, [text for of_clip in texts for text in of_clip]),
        "text_starts": counts.cumsum(0),
    }


@torch.no_grad()
def _encode(autoencoder: Autoencoder, waveform: NDArray[np.float32]) -> Tensor:
    return autoencoder.encode(torch.from_numpy(waveform)[None])[0].T.half().cpu()


def _embed_texts(clap: Clap, texts: Sequence[str]) -> Tensor:
    distinct = sorted(set(texts))
    embedded = clap.embed_text(distinct)
    index = {text: i for i, text in enumerate(distinct)}
    return embedded[[index[text] for text in texts]]
