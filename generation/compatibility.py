"""Which parts of a model fit together: a diffusion model needs the text side of its CLAP and the encoder of its
autoencoder; the audio side and the decoder may be trained further."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import yaml

from clapgen.clap import ClapConfig
from clapgen.configuration import load_config, to_dict
from clapgen.errors import ClapgenError
from clapgen.model_store import CONFIG_FILE, Model, ModelFolder, open_model, parts_of, read_part, weights_hash
from generation.autoencoder.config import AutoencoderConfig
from generation.diffusion.config import DiffusionConfig


@dataclass(frozen=True)
class Dependency:
    """The share of a part that a diffusion model depends on.

    `weights` are prefixes of the names of weights; `settings` are the keys of its config, with dots, that the shapes of
    those weights do not tell; `files` are other files of the part. `whole_key` and `key` are where `DiffusionConfig`
    records the hash of the whole part and of this share.
    """

    part: str
    config: type[Any]
    weights: tuple[str, ...]
    settings: tuple[str, ...]
    files: tuple[str, ...]
    whole_key: str
    key: str
    words: str


TEXT_SIDE = Dependency(
    "clap", ClapConfig, ("text_tower.", "text_projection."), ("text.tower", "text.heads"), ("tokenizer.json",),
    "clap_hash", "text_hash", "text side",
)  # fmt: skip
ENCODER = Dependency(
    "autoencoder", AutoencoderConfig, ("encoder.", "latent_scale."),
    ("sample_rate", "hop_length", "frames_per_latent", "mel_n_fft", "fine_n_fft", "mels_per_frame"), (),
    "autoencoder_hash", "encoder_hash", "encoder",
)  # fmt: skip
DEPENDENCIES = (TEXT_SIDE, ENCODER)


def dependency_hash(model: Model, dependency: Dependency) -> str:
    """12 hex digits of the sha256 of what a diffusion model depends on in one part, as it is stored."""
    folder = open_model(model)
    config, state = read_part(folder, dependency.part, dependency.config)
    digest = hashlib.sha256()
    for name in sorted(name for name in state if name.startswith(dependency.weights)):
        digest.update(f"{name} {state[name].dtype} {tuple(state[name].shape)}\n".encode())
        digest.update(state[name].flatten().view(torch.uint8).numpy().tobytes())
    values = to_dict(config)
    settings = {key: _value(values, key) for key in dependency.settings}
    digest.update(json.dumps(settings, sort_keys=True).encode())
    for file in dependency.files:
        digest.update((folder.path / dependency.part / file).read_bytes())
    return digest.hexdigest()[:12]


def trained_with(clap: Model, autoencoder: Model) -> dict[str, Any]:
    """The values that the `DiffusionConfig` of a model records about the parts that it was trained with."""
    recorded = {}
    for dependency, model in zip(DEPENDENCIES, (clap, autoencoder), strict=True):
        recorded[dependency.whole_key] = weights_hash(model, dependency.part)
        recorded[dependency.key] = dependency_hash(model, dependency)
    return recorded


def misfits(model: Model) -> list[str]:
    """What does not fit in a model folder, a sentence for each part; parts that are missing are not looked at."""
    folder = open_model(model)
    parts = parts_of(folder.path)
    problems = []
    if "diffusion" in parts:
        config = load_config(DiffusionConfig, folder.path / "diffusion" / CONFIG_FILE)
        present = [dependency for dependency in DEPENDENCIES if dependency.part in parts]
        problems += [problem for each in present if (problem := _misfit(folder, config, each))]
    if {"captioner", "clap"} <= set(parts):
        problems += _captioner_misfit(folder)
    return problems


def check_parts(folder: ModelFolder, config: DiffusionConfig) -> None:
    """ClapgenError if the diffusion model of a folder was trained with another text side or encoder than it holds."""
    for dependency in DEPENDENCIES:
        if problem := _misfit(folder, config, dependency):
            raise ClapgenError(f"{folder.path}: {problem}")


def _misfit(folder: ModelFolder, config: DiffusionConfig, dependency: Dependency) -> str:
    whole, share = getattr(config, dependency.whole_key), getattr(config, dependency.key)
    held = weights_hash(folder, dependency.part)
    if whole == held or not (whole or share):
        return ""
    trained = f"the diffusion model was trained with {dependency.part} {whole}, but the folder holds {held}"
    if not share:
        return (
            f"{trained}, and it does not record the hash of the {dependency.words} alone; put the parts together with "
            "`clapgen models join`, which does, or train it with this one."
        )
    found = dependency_hash(folder, dependency)
    if found == share:
        return ""
    return (
        f"{trained}, whose {dependency.words} is another ({found}, not {share}); install the model again or train it "
        f"with this {dependency.part}."
    )


def _captioner_misfit(folder: ModelFolder) -> list[str]:
    # read as plain YAML: this package does not import captioning
    file = folder.path / "captioner" / CONFIG_FILE
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ClapgenError(f"{file} cannot be read; install the model again.") from error
    recorded = values.get("clap_hash") if isinstance(values, dict) else None
    held = weights_hash(folder, "clap")
    if not recorded or recorded == held:
        return []
    return [f"the captioner was trained on clap {recorded}, but the folder holds {held}; train it on this clap."]


def _value(values: Mapping[str, Any], key: str) -> Any:
    for name in key.split("."):
        values = values[name]
    return values
