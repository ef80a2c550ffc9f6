"""Texts as tokens of the tokenizer in a checkpoint."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

LONGEST = 512  # tokens, of a tokenizer that sets no limit


def tokens_of(tokenizer: Any, text: str, device: torch.device, **padding: Any) -> dict[str, Tensor]:
    """`input_ids` and `attention_mask` (1, tokens) of one text, cut to what the model reads."""
    tokens = tokenizer([text], truncation=True, return_tensors="pt", **{"max_length": limit_of(tokenizer), **padding})
    return {key: tokens[key].to(device) for key in ("input_ids", "attention_mask")}


def limit_of(tokenizer: Any) -> int:
    """How many tokens a model reads."""
    return min(int(tokenizer.model_max_length), LONGEST)
