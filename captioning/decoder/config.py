"""The sizes of a caption decoder, and how it is asked for words."""

from __future__ import annotations

from dataclasses import dataclass

from clapgen.errors import ClapgenError


@dataclass
class DecoderConfig:
    """A mapping network from one embedding (`dim` wide) to `prefix_length` tokens, and a causal language model.

    The language model is transformers' GPT-2 architecture: `width`, `layers`, `heads`, `positions` are its n_embd,
    n_layer, n_head, n_positions. `mapper` is linear, mlp or transformer; `mapper_width` and `mapper_layers` are the
    hidden width of the mlp and the depth of the transformer. `max_tokens` is the longest caption, `hint_tokens` the
    room for words that a bridge adds.
    """

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
    hint_tokens: int = 24


@dataclass
class Decoding:
    """How captions are searched for, as transformers' `generate` understands it.

    `method` is beam, greedy or nucleus. `beams` partial captions are kept in beam search, `length_penalty` above 0
    favours longer ones, no run of `no_repeat_ngram` tokens comes twice (0: no such rule). Nucleus sampling draws from
    the likeliest tokens that make up `top_p` at `temperature`, from `seed`.
    """

    method: str = "beam"
    beams: int = 4
    length_penalty: float = 1.0
    no_repeat_ngram: int = 3
    top_p: float = 0.9
    temperature: float = 1.0
    min_tokens: int = 2
    max_tokens: int = 40
    seed: int = 0


def check_decoder(config: DecoderConfig) -> None:
    """Raise ClapgenError, naming the key, if a size is out of range."""
    for name in ("dim", "vocab_size", "width", "layers", "heads", "mapper_width", "mapper_layers", "prefix_length"):
        if getattr(config, name) < 1:
            raise ClapgenError(f"decoder.{name} must be at least 1, not {getattr(config, name)}")
    if config.hint_tokens < 0 or config.max_tokens < 1:
        raise ClapgenError(
            f"decoder.max_tokens must be at least 1 and hint_tokens 0, not {config.max_tokens} and {config.hint_tokens}"
        )
    if config.width % config.heads:
        raise ClapgenError(f"decoder.width={config.width} must be a multiple of decoder.heads={config.heads}")
    if not 0 <= config.dropout < 1:
        raise ClapgenError(f"decoder.dropout must be at least 0 and below 1, not {config.dropout:g}")
    longest = config.hint_tokens + config.prefix_length + 1 + config.max_tokens
    if longest > config.positions:
        raise ClapgenError(
            f"decoder.positions={config.positions} is too few: hints, prefix and caption are up to {longest} tokens"
        )
