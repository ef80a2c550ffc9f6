"""LAION's own checkpoints (.pt of the CLAP package) in terms of transformers' ClapModel: names, sizes, front end."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from torch import Tensor, nn

State = dict[str, Tensor]

MARK = "audio_branch.patch_embed.proj.weight"  # a tensor that only these checkpoints have, HTSAT as audio tower
TOKENIZER = "FacebookAI/roberta-base"
SAMPLE_RATE, HOP, N_FFT, WINDOW_SECONDS = 48_000, 480, 1024, 10  # in every configuration of the CLAP package
F_MIN, F_MAX = 50, 14_000

# The tagging head, what computes the spectrogram, masks that are computed again, and the projections of a second loss,
# which embeddings do not go through.
_UNUSED = re.compile(
    r"(.*\.)?(tscam_conv|head|spectrogram_extractor|logmel_extractor|attn_mask|relative_position_index|position_ids)"
    r"(\..*)?|(audio|text)_transform\..*"
)
_HTSAT_NAMES = (
    (r"\.attn\.proj\.", ".attention.output.dense."),
    (r"\.attn\.", ".attention.self."),
    (r"\.mlp\.fc1\.", ".intermediate.dense."),
    (r"\.mlp\.fc2\.", ".output.dense."),
    (r"\.norm1\.", ".layernorm_before."),
    (r"\.norm2\.", ".layernorm_after."),
    (r"^bn0\.", "batch_norm."),
)
_PROJECTION = re.compile(r"(audio|text)_projection\.([02])\.(.*)")


def htsat_state(state: State, prefix: str) -> State:
    """The tensors of an HTSAT under `prefix`, named as in transformers' ClapAudioEncoder."""
    renamed: State = {}
    for name, tensor in state.items():
        if not name.startswith(prefix) or _UNUSED.fullmatch(name):
            continue
        name = name.removeprefix(prefix)
        for pattern, replacement in _HTSAT_NAMES:
            name = re.sub(pattern, replacement, name)
        if ".qkv." in name:
            for part, rows in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                renamed[name.replace(".qkv.", f".{part}.")] = rows
        else:
            renamed[name] = tensor
    return renamed


def htsat_config(encoder: State) -> dict[str, Any]:
    """Sizes of an HTSAT for transformers' ClapAudioConfig, from its tensors.

    Raises:
        KeyError: a tensor that every HTSAT has is missing.
    """
    width, _, patch, _ = encoder["patch_embed.proj.weight"].shape
    stages = 1 + max(int(name.split(".")[1]) for name in encoder if name.startswith("layers."))
    tables = [
        [tensor for name, tensor in encoder.items() if re.match(rf"layers\.{stage}\..*position_bias_table", name)]
        for stage in range(stages)
    ]
    fused = "patch_embed.mel_conv2d.weight" in encoder
    return {
        "patch_embeds_hidden_size": width,
        "patch_size": patch,
        "patch_stride": [patch, patch],
        "depths": [len(each) for each in tables],
        "num_attention_heads": [each[0].shape[1] for each in tables],
        "num_hidden_layers": stages,
        "window_size": (round(tables[0][0].shape[0] ** 0.5) + 1) // 2,
        "hidden_size": width * 2 ** (stages - 1),
        "mlp_ratio": encoder["layers.0.blocks.0.intermediate.dense.weight"].shape[0] / width,
        "num_mel_bins": encoder["batch_norm.weight"].shape[0],
        "enable_fusion": fused,
        "fusion_type": "aff_2d" if fused else None,
    }


def write_clap(state: State, folder: Path) -> None:
    """Write one of LAION's checkpoints in transformers' layout, without its tokenizer (RoBERTa's).

    Raises:
        ValueError: its audio tower is not an HTSAT, or its text tower not a RoBERTa.
    """
    from transformers import ClapConfig, ClapFeatureExtractor, ClapModel

    text = {name.removeprefix("text_branch."): each for name, each in state.items() if name.startswith("text_branch.")}
    if MARK not in state or "embeddings.word_embeddings.weight" not in text:
        raise ValueError("it is no CLAP of an HTSAT and a RoBERTa.")
    encoder = htsat_state(state, "audio_branch.")
    try:
        audio = htsat_config(encoder)
    except (KeyError, IndexError) as error:
        raise ValueError(f"tensors of its HTSAT are missing ({error}).") from error
    dim = state["audio_projection.2.weight"].shape[0]
    config = ClapConfig(
        text_config={**_roberta_config(text), "projection_dim": dim},
        audio_config={**audio, "projection_dim": dim},
        projection_dim=dim,
    )
    tensors = {f"audio_model.audio_encoder.{name}": each for name, each in encoder.items()}
    tensors |= {f"text_model.{name}": each for name, each in text.items() if not _UNUSED.fullmatch(name)}
    for name, each in state.items():
        if match := _PROJECTION.fullmatch(name):
            tower, index, rest = match.groups()
            tensors[f"{tower}_projection.linear{1 + int(index) // 2}.{rest}"] = each
        elif name.startswith("logit_scale_"):
            tensors[name] = each
    network = ClapModel(config)
    fill(network, tensors)
    network.save_pretrained(folder)
    ClapFeatureExtractor(
        feature_size=audio["num_mel_bins"],
        sampling_rate=SAMPLE_RATE,
        hop_length=HOP,
        fft_window_size=N_FFT,
        max_length_s=WINDOW_SECONDS,
        frequency_min=F_MIN,
        frequency_max=F_MAX,
        truncation="fusion" if audio["enable_fusion"] else "rand_trunc",
        padding="repeatpad",
    ).save_pretrained(folder)


def fill(network: nn.Module, state: State) -> None:
    """Load weights; what a network computes for itself, such as the positions of tokens, need not be among them.

    Raises:
        ValueError: a weight is missing, is not known, or has another shape.
    """
    try:
        missing, unknown = network.load_state_dict(state, strict=False)
    except RuntimeError as error:
        shapes = str(error).partition("size mismatch for ")[2].partition(".\n")[0]
        raise ValueError(f"its weights have other shapes than they should: {' '.join(shapes.split())}.") from None
    missing = [name for name in missing if not _UNUSED.fullmatch(name) and not name.endswith("token_type_ids")]
    if missing or unknown:
        first = f"{missing[0]} is missing" if missing else f"{unknown[0]} is not known"
        raise ValueError(f"{len(missing) + len(unknown)} of its weights do not fit, {first}.")


def bert_config(text: State) -> dict[str, Any]:
    """Sizes of a BERT or RoBERTa for transformers' configuration, from its tensors."""
    vocabulary, width = text["embeddings.word_embeddings.weight"].shape
    return {
        "vocab_size": vocabulary,
        "hidden_size": width,
        "num_hidden_layers": 1 + max(int(name.split(".")[2]) for name in text if name.startswith("encoder.layer.")),
        "num_attention_heads": max(1, width // 64),
        "intermediate_size": text["encoder.layer.0.intermediate.dense.weight"].shape[0],
        "max_position_embeddings": text["embeddings.position_embeddings.weight"].shape[0],
        "type_vocab_size": text["embeddings.token_type_embeddings.weight"].shape[0],
    }


def _roberta_config(text: State) -> dict[str, Any]:
    return {**bert_config(text), "layer_norm_eps": 1e-5, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
