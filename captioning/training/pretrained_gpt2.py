"""A pretrained GPT-2 as the decoder's language model, by hub name or folder."""

from __future__ import annotations

from typing import Any

from captioning.decoder import DecoderConfig, Vocabulary
from clapgen.errors import ClapgenError

# Settings that DecoderConfig does not store, because all GPT-2s share them.
FIXED = (
    "n_inner",
    "activation_function",
    "layer_norm_epsilon",
    "scale_attn_weights",
    "scale_attn_by_inverse_layer_idx",
    "reorder_and_upcast_attn",
    "tie_word_embeddings",
)


def load_gpt2(name_or_path: str, config: DecoderConfig) -> tuple[Any, Vocabulary]:
    """The language model and its vocabulary; its sizes are written into `config`. Weights must be safetensors.

    Raises:
        ClapgenError: it is missing or damaged, or its architecture is not GPT-2.
    """
    from transformers import AutoConfig, AutoTokenizer, GPT2Config
    from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel

    try:
        found = AutoConfig.from_pretrained(name_or_path, trust_remote_code=False)
        if found.model_type != "gpt2":
            raise ClapgenError(f"pretrained={name_or_path} is a {found.model_type} model; a GPT-2 is needed")
        unusual = [key for key in FIXED if getattr(found, key) != getattr(GPT2Config(), key)]
        if unusual:
            raise ClapgenError(
                f"pretrained={name_or_path} is a GPT-2 with {unusual[0]}={getattr(found, unusual[0])}, which a "
                "captioner cannot store; take one with the usual layers"
            )
        model = GPT2LMHeadModel.from_pretrained(name_or_path, use_safetensors=True)
        tokenizer = AutoTokenizer.from_pretrained(name_or_path, trust_remote_code=False).backend_tokenizer
    except (OSError, ValueError, AttributeError) as error:
        raise ClapgenError(
            f"pretrained={name_or_path} cannot be loaded ({str(error).splitlines()[0]}); give the name of a GPT-2 on "
            "the hub (gpt2, distilgpt2) where there is a network, or a folder that save_pretrained wrote"
        ) from error
    config.vocab_size, config.width, config.layers = found.vocab_size, found.n_embd, found.n_layer
    config.heads, config.positions = found.n_head, found.n_positions
    return model, Vocabulary(tokenizer)
