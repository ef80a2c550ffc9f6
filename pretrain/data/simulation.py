"""A corpus of composed scenes on disk: sounds, and a manifest that says what they are made of."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from clapgen.audio import OUTPUT_SUFFIXES, write_audio
from clapgen.data.audio_cache import AudioCache
from clapgen.data.manifest import Clip, save_manifest, training_clips
from clapgen.data.splits import check_class_field
from clapgen.data.text import distinct_labels
from clapgen.errors import ClapgenError
from clapgen.scenes import Scene, SceneOptions, SceneSampler
from clapgen.scenes.clips import scene_clips
from clapgen.scenes.kinds import KINDS
from clapgen.scenes.manifest import scene_fields
from clapgen.scenes.rendering import render
from clapgen.scenes.sampler import name_skipped
from clapgen.terminal import progress
from clapgen.training.seeds import step_seed
from pretrain.data.shards import write_shards

logger = logging.getLogger(__name__)

MANIFEST, SOUNDS, SHARDS = "manifest.jsonl", "scenes", "shards"


@dataclass(frozen=True)
class Simulation:
    """What is composed, and how: `count` scenes of at most `seconds`, of the clips of one split of a manifest.

    `shards`: also pack them into WebDataset shards.
    """

    count: int
    seed: int = 0
    seconds: float = 5.0
    kinds: Sequence[str] = ()
    split: str = "train"
    free_only: bool = False
    class_field: str = ""
    sample_rate: int = 32000
    suffix: str = ".flac"
    shards: bool = False

    def options(self) -> SceneOptions:
        """The kinds that were asked for, with their usual weights; all if none was.

        Raises:
            ClapgenError: a kind is unknown.
        """
        if unknown := [kind for kind in self.kinds if kind not in KINDS]:
            raise ClapgenError(f"unknown kind of scene: '{unknown[0]}'; choose from {', '.join(KINDS)}.")
        left_out: dict[str, Any] = {kind: 0.0 for kind in KINDS if self.kinds and kind not in self.kinds}
        return replace(SceneOptions(), **left_out)


def write_scenes(
    manifest: str | Path, folder: str | Path, simulation: Simulation, cache: str | Path, overwrite: bool = False
) -> list[Clip]:
    """Compose scenes of the clips of a manifest, and write `folder`/manifest.jsonl and its sounds.

    Scene k depends only on the seed, k and the clips. Everything is written to a temporary folder first, which is
    renamed at the end.

    Args:
        cache: folder of decoded clips (`AudioCache`).
        overwrite: replace a folder that this function has written.

    Returns:
        The clips of the new manifest.

    Raises:
        ClapgenError: as `SceneSampler`; no clip of the split can be read; the folder exists.
    """
    folder, suffix = Path(folder), simulation.suffix
    options = simulation.options()
    if suffix not in OUTPUT_SUFFIXES:
        raise ClapgenError(f"unsupported format '{suffix}'; use {', '.join(OUTPUT_SUFFIXES)}.")
    if simulation.count < 1:
        raise ClapgenError(f"there must be at least 1 scene, not {simulation.count}.")
    _check_replaceable(folder, overwrite)
    clips = training_clips(manifest, simulation.split, simulation.free_only)
    field = "" if simulation.class_field == "labels" else simulation.class_field
    check_class_field(clips, field)
    data = AudioCache.build(clips, simulation.sample_rate, cache)
    sampler = SceneSampler(scene_clips(data, field), options, simulation.seconds)
    if line := name_skipped(sampler, [str(clip.path) for clip in data.clips]):
        logger.warning(line)
    with _new_folder(folder, overwrite) as temporary, progress(simulation.count, "scenes") as update:
        made = []
        for number in range(simulation.count):
            path = temporary / SOUNDS / f"{number:06d}{suffix}"
            seed = step_seed(simulation.seed, number, 0)
            scene = sampler.draw(torch.Generator().manual_seed(seed))
            waveforms = {event.clip: data.waveform(event.clip) for event in scene.events}
            write_audio(path, render(scene, waveforms, data.sample_rate, seed).waveform, data.sample_rate)
            made.append(_line(path, scene, [data.clips[event.clip] for event in scene.events]))
            update(number + 1, "Composing")
        save_manifest(made, temporary / MANIFEST)
        if simulation.shards:
            write_shards(made, temporary / SHARDS)
    return [replace(clip, path=folder / clip.path.relative_to(temporary)) for clip in made]


def _line(path: Path, scene: Scene, clips: Sequence[Clip]) -> Clip:
    """The scene as a clip. What holds for all its sources (split, free) holds for it, and all their terms do."""
    sources = list({clip.path: clip for clip in clips}.values())
    extra: dict[str, Any] = scene_fields(scene) | {"sources": [clip.path.name for clip in sources]}
    for key in ("author", "url"):
        if found := _joined(clip.extra.get(key) for clip in sources):
            extra[key] = found
    kinds = {str(clip.extra["copyleft"]) for clip in sources if clip.extra.get("copyleft")}
    if kinds:
        extra["copyleft"] = "gpl" if "gpl" in kinds else min(kinds)  # the stricter one
    return Clip(
        path,
        list(scene.captions),
        distinct_labels(label for clip in sources for label in clip.labels),
        recording=_joined(clip.recording or str(clip.path) for clip in sources),
        licence=_joined(clip.licence for clip in sources),
        split=sources[0].split,
        free=all(clip.free for clip in sources),
        extra=extra,
    )


def _joined(values: Any) -> str | None:
    return "; ".join(sorted({str(value) for value in values if value})) or None


def _check_replaceable(folder: Path, overwrite: bool) -> None:
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not overwrite:
        raise ClapgenError(f"{folder} already exists; choose another folder, or replace it with --force.")
    if not folder.is_dir() or {path.name for path in folder.iterdir()} - {MANIFEST, SOUNDS, SHARDS}:
        raise ClapgenError(f"{folder} has other files than scenes and is not replaced; choose another folder.")


@contextmanager
def _new_folder(folder: Path, overwrite: bool) -> Iterator[Path]:
    """A temporary folder next to `folder`, which becomes `folder` if the block succeeds and is deleted if it fails."""
    temporary = folder.parent / f".{folder.name[:20]}.{secrets.token_hex(6)}.part"
    try:
        temporary.mkdir(parents=True)
        yield temporary
        _check_replaceable(folder, overwrite)  # again: composing takes a while
        if folder.exists():
            old = temporary.with_suffix(".old")
            os.replace(folder, old)
            os.replace(temporary, folder)
            shutil.rmtree(old)
        else:
            os.replace(temporary, folder)
    except OSError as error:
        raise ClapgenError(f"cannot write {folder}: {(error.strerror or str(error)).lower()}.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
