"""AudioGen (Kreuk et al. 2023) and MusicGen in audiocraft's own files, computed by transformers' networks.

`state_dict.bin` and `compression_state_dict.bin` hold tensors and a configuration in YAML; torch reads them with
`weights_only`. The T5 encoder is not among them: it is in a folder of its name, or on the hub.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from clapgen.errors import ClapgenError
from generation.public.catalogue import AUDIOCRAFT_FILES
from generation.public.checkpoints import part_of_its_own
from generation.public.musicgen import TokenGenerator
from generation.public.parts import load_other, load_part, place, reading

PROJECTION = "condition_provider.conditioners.description.output_proj."
LONGEST_SEQUENCE = 2048
REQUIRED = {
    "positional_embedding": "sin", "norm_first": True, "bias_ff": False, "bias_attn": False, "bias_proj": False,
    "qk_layer_norm": False, "qk_layer_norm_cross": False, "kv_repeat": 1,
}  # fmt: skip

_RENAMED_LANGUAGE = (
    (r"^emb\.", "model.decoder.embed_tokens."),
    (r"^transformer\.layers\.", "model.decoder.layers."),
    (r"^out_norm\.", "model.decoder.layer_norm."),
    (r"^linears\.", "lm_heads."),
    (r"\.cross_attention\.", ".encoder_attn."),
    (r"\.linear(\d)\.", r".fc\1."),
    (r"\.norm1\.", ".self_attn_layer_norm."),
    (r"\.norm_cross\.", ".encoder_attn_layer_norm."),
    (r"\.norm2\.", ".final_layer_norm."),
)
_RENAMED_CODEC = (
    (r"^(encoder|decoder)\.model\.", r"\1.layers."),
    (r"\.conv\.conv\.|\.convtr\.convtr\.", ".conv."),
    (r"^quantizer\.vq\.layers\.(\d+)\._codebook\.", r"quantizer.layers.\1.codebook."),
    (r"\.weight_g$", ".parametrizations.weight.original0"),
    (r"\.weight_v$", ".parametrizations.weight.original1"),
)


class AudioCraft(TokenGenerator):
    """`facebook/audiogen-medium`, and MusicGen checkpoints of audiocraft without a melody or a style to follow."""

    def _load(self, folder: Path) -> None:
        from transformers import AutoTokenizer, T5EncoderModel

        state, config = read_package(folder / AUDIOCRAFT_FILES[0])
        _check_supported(config, self.name)
        with _configured(folder / AUDIOCRAFT_FILES[0]):
            t5 = part_of_its_own(folder, config.conditioners.description.t5.name)
            settings = config.transformer_lm
            self.delays = list(config.codebooks_pattern.delay.delays)[: settings.n_q]
            self.longest = float(config.dataset.segment_duration)
            self.language_model = _language_model(settings, state)
        width, text_width = state[PROJECTION + "weight"].shape
        self.projection = nn.Linear(text_width, width)
        own = {key.removeprefix(PROJECTION): value for key, value in state.items() if key.startswith(PROJECTION)}
        self.projection.load_state_dict(own)
        self.codec = _codec(folder / AUDIOCRAFT_FILES[1]).to(self.device)
        self.t5 = load_part(T5EncoderModel, t5).to(self.device)
        self.tokenizer = load_other(AutoTokenizer, t5)
        self.language_model = place(self.language_model, self.device, self.dtype)
        self.projection.requires_grad_(False).to(self.device)
        self.sample_rate = self.codec.config.sampling_rate
        self.networks = [self.t5, self.projection, self.language_model, self.codec]


def read_package(path: Path) -> tuple[dict[str, Tensor], Any]:
    """The tensors of a file of audiocraft in float32, and its configuration; `{}` and None if it names another model.

    Raises:
        ClapgenError: it is damaged, holds something else than tensors and text, or is not of audiocraft.
    """
    from omegaconf import OmegaConf

    with reading(path):
        package = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(package, dict) or not isinstance(package.get("best_state"), dict):
        raise ClapgenError(f"{path} is not a file of audiocraft: it has no 'best_state'.")
    tensors = {key: value.float() for key, value in package["best_state"].items() if isinstance(value, Tensor)}
    with _configured(path):
        return tensors, OmegaConf.create(package["xp.cfg"])


def renamed(state: Mapping[str, Tensor], rules: tuple[tuple[str, str], ...]) -> dict[str, Tensor]:
    """Tensors of audiocraft under their names in transformers; joint projections are split in three."""
    found: dict[str, Tensor] = {}
    for key, value in state.items():
        for pattern, replacement in rules:
            key = re.sub(pattern, replacement, key)
        if key.endswith(".in_proj_weight"):
            for name, part in zip("qkv", value.chunk(3), strict=True):
                found[key.replace("in_proj_weight", f"{name}_proj.weight")] = part.clone()
        else:
            found[key] = value
    return found


def _language_model(settings: Any, state: Mapping[str, Tensor]) -> Any:
    from transformers import MusicgenDecoderConfig, MusicgenForCausalLM

    config = MusicgenDecoderConfig(
        vocab_size=settings.card, hidden_size=settings.dim, num_hidden_layers=settings.num_layers,
        num_attention_heads=settings.num_heads, ffn_dim=int(settings.hidden_scale * settings.dim),
        num_codebooks=settings.n_q, max_position_embeddings=LONGEST_SEQUENCE, dropout=0.0,
        pad_token_id=settings.card, bos_token_id=settings.card,
    )  # fmt: skip
    with torch.device("meta"):
        network = MusicgenForCausalLM(config)
    own = {key: value for key, value in state.items() if not key.startswith("condition_provider.")}
    network.load_state_dict(renamed(own, _RENAMED_LANGUAGE), assign=True)
    positions = network.model.decoder.embed_positions
    positions.weights = positions.get_embedding(LONGEST_SEQUENCE, settings.dim)
    return network.eval().requires_grad_(False)


def _codec(path: Path) -> Any:
    from transformers import EncodecConfig, EncodecModel

    with reading(path):
        named = torch.load(path, map_location="cpu", weights_only=True)
    if isinstance(named, dict) and isinstance(named.get("pretrained"), str):
        return load_part(EncodecModel, part_of_its_own(path.parent, named["pretrained"]))
    state, config = read_package(path)
    with _configured(path):
        net, books = config.seanet, config.rvq
        frame_rate = config.sample_rate / int(np.prod(net.ratios))
        bandwidth = books.n_q * frame_rate * int(np.log2(books.bins)) / 1000
        layers = {
            "hidden_size": net.dimension, "num_filters": net.n_filters, "num_residual_layers": net.n_residual_layers,
            "upsampling_ratios": list(net.ratios), "norm_type": net.norm, "kernel_size": net.kernel_size,
            "last_kernel_size": net.last_kernel_size, "residual_kernel_size": net.residual_kernel_size,
            "dilation_growth_rate": net.dilation_base, "use_causal_conv": bool(net.causal), "pad_mode": net.pad_mode,
            "compress": net.compress, "num_lstm_layers": net.lstm, "trim_right_ratio": net.decoder.trim_right_ratio,
            "use_conv_shortcut": not net.true_skip,
        }  # fmt: skip
        tokens = {"codebook_size": books.bins, "codebook_dim": net.dimension, "target_bandwidths": [bandwidth]}
        sound = {"sampling_rate": config.sample_rate, "audio_channels": config.channels}
        codec = EncodecModel(EncodecConfig(normalize=bool(config.encodec.renormalize), **layers, **tokens, **sound))
        codec.load_state_dict(renamed(state, _RENAMED_CODEC))
    return codec.eval().requires_grad_(False)


def _check_supported(config: Any, name: str) -> None:
    kind, conditioners = config.get("lm_model"), list(config.get("conditioners") or {})
    if kind != "transformer_lm":
        raise ClapgenError(f"{name} is an audiocraft model of the kind {kind!r}, which clapgen cannot run.")
    if [each for each in conditioners if each != "args"] != ["description"]:
        raise ClapgenError(f"{name} follows more than a description ({', '.join(conditioners)}), which clapgen cannot.")
    pattern = config.get("codebooks_pattern", {}).get("modeling")
    wrong = {} if pattern == "delay" else {"codebooks_pattern": pattern}
    settings = config.get("transformer_lm", {})
    wrong |= {key: settings[key] for key, value in REQUIRED.items() if settings.get(key, value) != value}
    if wrong:
        listed = ", ".join(f"{key} = {value}" for key, value in wrong.items())
        raise ClapgenError(f"{name} has settings that clapgen cannot run: {listed}.")


class _configured:
    """Around what uses a configuration of audiocraft or fits weights to it: what goes wrong becomes one sentence."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        from omegaconf.errors import OmegaConfBaseException
        from yaml import YAMLError

        if isinstance(error, (OmegaConfBaseException, YAMLError, RuntimeError, KeyError, TypeError, ValueError)):
            reason = " ".join(str(error).split())[:200]
            raise ClapgenError(f"{self.path} does not fit its own configuration: {reason}") from error
