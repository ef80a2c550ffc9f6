"""The sizes of a caption decoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from clapgen.errors import ClapgenError


@dataclass
class DecoderConfig:
    """A mapping network from one embedding (`dim` wide) to a prefix of `prefix_length` tokens, and a language model.

    The language model has the GPT-2 architecture: `width`, `layers`, `heads`, `positions` are its n_embd, n_layer,
    n_head, n_positions. `mapper` is linear, mlp or transformer; `mapper_width` is the hidden width of the mlp,
    `mapper_layers` the depth of the transformer. Captions have at most `max_tokens` tokens, words retrieved by a bridge
    at most `retrieved_tokens`.
    """

    RENAMED_KEYS: ClassVar = {"hint_tokens": "retrieved_tokens"}

    dim: int = 256
    vocab_size: int = 4096
    width: int = 256
    layers: int = 4
    heads: int = 4
    positions: int = 96
    dropout: float = 0.1
    mapper: str = "mlp"
    mapper_width: int = 512
    mapper_layers: int = 2
    prefix_length: int = 8
    max_tokens: int = 48
    retrieved_tokens: int = 24


def check_decoder(config: DecoderConfig) -> None:
    """Raise ClapgenError with the key of a size that is out of range."""
    for name in ("dim", "vocab_size", "width", "layers", "heads", "mapper_width", "mapper_layers", "prefix_length"):
        if getattr(config, name) < 1:
            raise ClapgenError(f"decoder.{name} must be at least 1, not {getattr(config, name)}")
    if config.retrieved_tokens < 0 or config.max_tokens < 1:
        raise ClapgenError(
            "decoder.max_tokens must be at least 1 and decoder.retrieved_tokens at least 0, "
            f"not {config.max_tokens} and {config.retrieved_tokens}"
        )
    if config.width % config.heads:
        raise ClapgenError(f"decoder.width={config.width} must be a multiple of decoder.heads={config.heads}")
    if not 0 <= config.dropout < 1:
        raise ClapgenError(f"decoder.dropout must be at least 0 and below 1, not {config.dropout:g}")
    longest = config.retrieved_tokens + config.prefix_length + 1 + config.max_tokens
    if longest > config.positions:
        raise ClapgenError(
            f"decoder.positions={config.positions} is too few; retrieved words, prefix and caption need {longest}"
        )
