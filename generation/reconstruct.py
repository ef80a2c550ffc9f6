"""A corpus heard through the autoencoder: what it keeps, and further clips for a CLAP to learn from."""

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
    """Write every clip, encoded and decoded, as a flac into `folder`; gives back the clips of the written files.

    They keep captions, labels, recording and licence: a CLAP trained on both hears a sound and its reconstruction as
    the same (codec augmentation).

    Raises:
        ClapgenError: a clip cannot be read, or a file exists and `overwrite` is false.
    """
    rebuilt = []
    device = next(autoencoder.parameters()).device
    for number, clip in enumerate(clips):
        waveform = torch.from_numpy(read_audio(clip.path, autoencoder.sample_rate)[0])[None].to(device)
        path = folder / f"{number:06d}-{clip.path.stem}.flac"
        sound = autoencoder.reconstruct(waveform)[0].clamp(-1, 1).cpu().numpy()
        write_audio(path, sound, autoencoder.sample_rate, overwrite=overwrite)
        rebuilt.append(dataclasses.replace(clip, path=path))
        after_each()
    return rebuilt
