"""The CLAP that a run trains: a new one, or one to go on from, with the parts that its recipe asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tokenizers import Tokenizer
from torch import nn

from clapgen.clap import Clap
from clapgen.clap.tokenizer import train_tokenizer
from clapgen.data.manifest import Clip
from clapgen.model_store import weights_hash
from clapgen.training.provenance import stored_asset
from pretrain.distillation import load_text_tower

if TYPE_CHECKING:
    from pretrain.recipe import ClapRecipe


def build_clap(recipe: ClapRecipe, clips: Sequence[Clip]) -> tuple[Clap, dict[str, str]]:
    """The CLAP of a recipe, and the hashes of the weights that it starts from. Sets `recipe.clap` to its config.

    Raises:
        ClapgenError: a model to start from is missing, damaged or does not fit.
    """
    config, origin = recipe.clap, {}
    saved = stored_asset(recipe.training.output, "tokenizer")
    known = Tokenizer.from_str(saved) if saved else None
    if recipe.start_from:
        clap = Clap.from_pretrained(recipe.start_from)
        origin["start_from"] = clap.hash
    else:
        texts = sorted(text for clip in clips for text in [*clip.captions, *clip.labels])
        clap = Clap(config, known or train_tokenizer(texts, config.text.vocab_size))
    if recipe.text_model and (recipe.replace_text or not recipe.start_from):
        clap = _with_text_model(clap, Path(recipe.text_model), config.text.temporal_layers)
        origin["text_model"] = weights_hash(Path(recipe.text_model), "text")
    clap = clap.extended(config.audio.temporal_layers, config.text.temporal_layers, config.frame_head)
    recipe.clap, clap.tokenizer = clap.config, known or clap.tokenizer
    clap.text_tower.requires_grad_(not recipe.lock_text)
    clap.text_projection.requires_grad_(not recipe.lock_text)
    if not recipe.text_learning_rate_scale:
        nn.ParameterList(parameters_of_states(clap)).requires_grad_(False)
    if not recipe.audio_learning_rate_scale:
        nn.ParameterList(parameters_of_frames(clap)).requires_grad_(False)
    return clap, origin


def _with_text_model(clap: Clap, folder: Path, temporal_layers: int) -> Clap:
    """A CLAP with the audio side of this one, and a distilled text tower under a new projection."""
    tower, text, tokenizer = load_text_tower(folder)
    config = replace(clap.config, text=replace(text, temporal_layers=temporal_layers))
    changed = Clap(config, tokenizer)
    audio = {key: value for key, value in clap.state_dict().items() if not key.startswith("text_")}
    changed.load_state_dict(changed.state_dict() | audio)
    changed.text_tower.load_state_dict(changed.text_tower.state_dict() | tower.state_dict())
    return changed


def parameters_of_states(clap: Clap) -> list[nn.Parameter]:
    """The parameters of the text tower that make its states, not those of its pooling."""
    return [p for name, p in clap.text_tower.named_parameters() if not name.startswith("temporal.")]


def parameters_of_frames(clap: Clap) -> list[nn.Parameter]:
    """The parameters of the audio tower that make its frames, not those of its pooling."""
    return [p for name, p in clap.audio_tower.named_parameters() if not name.startswith("temporal.")]
