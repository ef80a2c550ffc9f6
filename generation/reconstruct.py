"""A corpus passed through the autoencoder: to check its quality, or to augment the training set of a CLAP."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from clapgen.audio import read_audio, write_audio
from clapgen.data.manifest import Clip
from generation.autoencoder.model import Autoencoder


@torch.no_grad()
def reconstruct_clips(
    autoencoder: Autoencoder,
    clips: Sequence[Clip],
    folder: Path,
    overwrite: bool = False,
    after_each: Callable[[], None] = lambda: None,
) -> list[Clip]:
    """Encode and decode every clip and write it as a flac into `folder`; returns the clips of the written files.

    They keep captions, labels, recording and licence: a CLAP trained on both learns to embed a sound and its
    reconstruction alike (codec augmentation).

    Raises:
        ClapgenError: a clip cannot be read, or a file exists and `overwrite` is false.
    """
    reconstructed = []
    device = next(autoencoder.parameters()).device
    for number, clip in enumerate(clips):
        waveform = torch.from_numpy(read_audio(clip.path, autoencoder.sample_rate)[0])[None].to(device)
        path = folder / f"{number:06d}-{clip.path.stem}.flac"
        sound = autoencoder.reconstruct(waveform)[0].clamp(-1, 1).cpu().numpy()
        write_audio(path, sound, autoencoder.sample_rate, overwrite=overwrite)
        reconstructed.append(dataclasses.replace(clip, path=path))
        after_each()
    return reconstructed
