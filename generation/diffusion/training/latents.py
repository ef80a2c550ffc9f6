"""Latents and CLAP embeddings of a training set, computed once and cached on disk."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from clapgen.clap import Clap
from clapgen.configuration import to_dict
from clapgen.data.audio_cache import AudioCache
from clapgen.data.manifest import Clip
from clapgen.data.splits import class_of
from clapgen.files import atomic_path, exclusive_lock
from clapgen.terminal import progress
from generation.autoencoder.model import Autoencoder

logger = logging.getLogger(__name__)

CLIPS_PER_PART = 256
CLIPS_AT_ONCE = 32
_OF_SOUNDS = ("latents", "lengths", "clip_of")
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
        folder: str | Path,
        seconds: float,
        class_field: str = "",
    ) -> LatentCache:
        """Read the latents of these clips and texts from `folder`, or compute them and write them there.

        The first `seconds` of each clip are stored as they are; a shorter clip is also stored repeated up to `seconds`,
        so that a 10 s prompt for a short event repeats the event instead of padding with silence.

        Latents and embeddings are kept apart, so that with another CLAP no sound is encoded again, and with another
        encoder none is embedded again. Clips are encoded in parts, and only by one process at a time: a killed build
        continues after its last part. Another file, text, encoder, CLAP or configuration makes what it changes again;
        another decoder changes nothing.
        """
        longest = round(seconds * autoencoder.sample_rate)
        texts = [texts_of(clip, class_field) for clip in cache.clips]
        encoder, clap_digest = encoder_digest(autoencoder), digest_of_clap(clap)
        tensors = _kept(
            Path(folder) / f"latents-{_digest([encoder, seconds, cache.identities])}.safetensors",
            lambda folder: _encode_all(cache, autoencoder, longest, f"{encoder} {seconds}", folder),
        )
        tensors |= _kept(
            Path(folder) / f"embeddings-{_digest([clap_digest, seconds, cache.identities, texts])}.safetensors",
            lambda _: (_embed_all(cache, clap, longest, texts), []),
        )
        return cls(**tensors)


def encoder_digest(autoencoder: Autoencoder) -> str:
    """Digest of all that decides the latents of a clip: weights and sizes."""
    sizes = {name: value for name, value in to_dict(autoencoder.config).items() if not name.startswith("decoder_")}
    return _digest_of_networks([autoencoder.encoder, autoencoder.latent_scale], sizes)


def digest_of_clap(clap: Clap) -> str:
    """Digest of all that decides the embeddings of a clip and of its texts: weights, sizes and tokenizer."""
    return _digest_of_networks([clap], [to_dict(clap.config), clap.tokenizer.to_str()])


def _digest_of_networks(networks: Sequence[nn.Module], facts: object) -> str:
    digest = hashlib.sha256()
    for network in networks:
        for name, tensor in network.state_dict().items():
            digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    digest.update(json.dumps(facts).encode())
    return digest.hexdigest()


def _digest(values: list[object]) -> str:
    return hashlib.sha256(json.dumps(values).encode(errors="surrogateescape")).hexdigest()[:16]


def _kept(path: Path, make: Callable[[Path], tuple[dict[str, Tensor], list[Path]]]) -> dict[str, Tensor]:
    """The tensors in a file, or those that `make` computes, which are written there.

    `make` may write parts into the folder, whose paths it returns; they are removed at the end.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with exclusive_lock(path.parent / ".lock", _say_that_it_waits) as locked:
            if locked:
                for debris in path.parent.glob(".*.part.safetensors"):
                    debris.unlink()
            if not path.exists():
                tensors, parts = make(path.parent)
                with atomic_path(path, overwrite=True) as temporary:
                    save_file(tensors, temporary)
                for part in parts:
                    part.unlink()
    return load_file(path)


def _say_that_it_waits(holder: str) -> None:
    logger.warning("waiting for %s, which encodes latents in the same folder", holder)


def texts_of(clip: Clip, class_field: str = "") -> list[str]:
    """Prompts that describe a clip: its captions, and its class or labels in a few templates."""
    name = class_of(clip, class_field).replace("_", " ")
    names = [name] if name else clip.labels
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
    cache: AudioCache, autoencoder: Autoencoder, longest: int, encoded_by: str, folder: Path
) -> tuple[dict[str, Tensor], list[Path]]:
    """The latents of all clips, and the parts in a folder that they were put together from."""
    parts: list[Path] = []
    with progress(len(cache), "clips") as update:
        for start in range(0, len(cache), CLIPS_PER_PART):
            update(start, "Encoding")
            rows = range(start, min(start + CLIPS_PER_PART, len(cache)))
            key = _digest([encoded_by, start, [cache.identities[row] for row in rows]])
            parts.append(folder / f"part-{key}.safetensors")
            if not parts[-1].exists():
                with atomic_path(parts[-1], overwrite=True) as temporary:
                    save_file(_encode_clips(cache, rows, autoencoder, longest), temporary)
    loaded = [load_file(part) for part in parts]
    latents, lengths, clip_of = (torch.cat([part[name] for part in loaded]) for name in _OF_SOUNDS)
    starts = lengths.cumsum(0) - lengths
    return {"latents": latents, "starts": starts, "lengths": lengths, "clip_of": clip_of}, parts


def _encode_clips(cache: AudioCache, rows: range, autoencoder: Autoencoder, longest: int) -> dict[str, Tensor]:
    latents: list[Tensor] = []
    clip_of: list[int] = []
    for row in rows:
        waveform = cache.waveform(row)[:longest]
        versions = [waveform]
        if len(waveform) < longest:
            versions.append(extend(waveform, longest, autoencoder.sample_rate, seed=row))
        for version in versions:
            latents.append(_encode(autoencoder, version))
            clip_of.append(row)
    return {
        "latents": torch.cat(latents),
        "lengths": torch.tensor([len(x) for x in latents]),
        "clip_of": torch.tensor(clip_of),
    }


def _embed_all(cache: AudioCache, clap: Clap, longest: int, texts: list[list[str]]) -> dict[str, Tensor]:
    audio = []
    with progress(len(cache), "clips") as update:
        for start in range(0, len(cache), CLIPS_AT_ONCE):
            update(start, "Embedding")
            rows = range(start, min(start + CLIPS_AT_ONCE, len(cache)))
            audio.append(clap.embed_audio([cache.waveform(row)[:longest] for row in rows], cache.sample_rate))
    counts = torch.tensor([0, *(len(of_clip) for of_clip in texts)])
    text = _embed_texts(clap, [text for of_clip in texts for text in of_clip])
    return {"audio": torch.cat(audio), "text": text, "text_starts": counts.cumsum(0)}


@torch.no_grad()
def _encode(autoencoder: Autoencoder, waveform: NDArray[np.float32]) -> Tensor:
    return autoencoder.encode(torch.from_numpy(waveform)[None])[0].T.half().cpu()


def _embed_texts(clap: Clap, texts: Sequence[str]) -> Tensor:
    distinct = sorted(set(texts))
    embedded = clap.embed_text(distinct)
    index = {text: i for i, text in enumerate(distinct)}
    return embedded[[index[text] for text in texts]]
