"""HTSAT, the audio tower of LAION's and Microsoft's CLAP, with the weights of transformers' modules but twice as fast.

transformers copies every token four times a block to form attention windows, and multiplies each window's queries and
keys by themselves. Here tokens are put into the order of a block's windows once, the linear layers work on them in that
order, and attention is one call of torch's fused kernel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Htsat:
    """A hierarchical token-semantic audio transformer (Chen et al. 2022), for inference.

    Args:
        encoder: transformers' ClapAudioEncoder, whose weights are used. They must not change afterwards.

    Raises:
        ValueError: its windows do not divide its spectrogram.
    """

    @torch.no_grad()
    def __init__(self, encoder: Any) -> None:
        self.encoder = encoder
        self._steps: list[_Block | _Merging] = []
        height, width = encoder.patch_embed.grid_size
        order = torch.arange(height * width)  # the row-by-row number of each token, in the order they are in
        for stage in encoder.layers:
            for layer in stage.blocks:
                block, order = _block(layer, height, width, order)
                self._steps.append(block)
            if stage.downsample is not None:
                self._steps.append(_merging(stage.downsample, height, width, order))
                height, width = height // 2, width // 2
                order = torch.arange(height * width)

    @property
    def dtype(self) -> torch.dtype:
        """What its layers compute in; the spectrogram is always normalised and resized in float32."""
        return self.encoder.patch_embed.proj.weight.dtype

    def __call__(self, log_mels: Tensor, longer: Tensor | None = None) -> Tensor:
        """Pooled features (batch, width), float32, of log-mels (batch, 1 or 4, frames, mels).

        Args:
            longer: indices of the fused inputs, whose crops count too; none by default.
        """
        encoder = self.encoder
        norm = encoder.batch_norm
        normalised = F.batch_norm(
            log_mels.transpose(1, 3),
            norm.running_mean.float(),
            norm.running_var.float(),
            norm.weight.float(),
            norm.bias.float(),
            eps=norm.eps,
        ).transpose(1, 3)
        image = encoder.reshape_mel2img(normalised).to(self.dtype)
        nobody = torch.zeros(0, dtype=torch.long, device=image.device)
        tokens = encoder.patch_embed(image, nobody if longer is None else longer)  # (batch, tokens, width)
        # One by one: a clip's tokens fit into the CPU's cache, and do not depend on the rest of the batch.
        features = torch.stack([self._features(clip) for clip in tokens]) if _on_cpu(tokens) else self._features(tokens)
        return encoder.norm(features).float().mean(-2)

    def _features(self, tokens: Tensor) -> Tensor:
        for step in self._steps:
            tokens = step(tokens)
        return tokens


@dataclass
class _Block:
    """Attention in windows and two linear layers, each added to tokens (…, tokens, width) in the order of windows."""

    layer: Any
    order: Tensor | None  # where the tokens of each window are
    qkv_weight: Tensor
    qkv_bias: Tensor | None
    bias: Tensor  # (1 or windows, heads, tokens, tokens), for the distance of tokens and for windows across an edge
    heads: int

    def __call__(self, tokens: Tensor) -> Tensor:
        layer, shape = self.layer, tokens.shape
        if self.order is not None:
            tokens = tokens.index_select(-2, self.order)
        normed = _layer_norm(layer.layernorm_before, tokens)
        size = self.bias.shape[-1]
        qkv = _linear(normed, self.qkv_weight, self.qkv_bias).view(-1, size, 3, self.heads, shape[-1] // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # (windows of all clips, heads, tokens, width of a head)
        bias = self.bias
        if len(bias) > 1 and len(query) > len(bias):
            bias = bias.repeat(len(query) // len(bias), 1, 1, 1)
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        attended = attended.transpose(1, 2).reshape(shape)
        dense = layer.attention.output.dense
        tokens = _linear(attended, dense.weight, dense.bias, add=tokens)
        normed = _layer_norm(layer.layernorm_after, tokens)
        hidden = _activated(normed, layer.intermediate)
        return _linear(hidden, layer.output.dense.weight, layer.output.dense.bias, add=tokens)


@dataclass
class _Merging:
    """Four neighbouring tokens become one of twice the width."""

    layer: Any
    order: Tensor

    def __call__(self, tokens: Tensor) -> Tensor:
        merged = tokens.index_select(-2, self.order)
        merged = merged.view(*tokens.shape[:-2], -1, 4 * tokens.shape[-1])
        return F.linear(_layer_norm(self.layer.norm, merged), self.layer.reduction.weight)


def _block(layer: Any, height: int, width: int, order: Tensor) -> tuple[_Block, Tensor]:
    side, shift = int(layer.window_size), int(layer.shift_size)
    if min(height, width) <= side:
        side, shift = min(height, width), 0
    if height % side or width % side:
        raise ValueError(f"its windows of {side} do not divide the {height} x {width} tokens.")
    attention = layer.attention.self
    device = attention.query.weight.device
    wanted = _window_order(height, width, side, shift)
    positions = _inverse(order)[wanted]
    parts = (attention.query, attention.key, attention.value)
    bias = attention.relative_position_bias_table[attention.relative_position_index.view(-1)]
    bias = bias.view(side * side, side * side, -1).permute(2, 0, 1)[None]
    if shift:
        bias = bias + _edges(height, width, side, shift).to(device, bias.dtype)[:, None]
    block = _Block(
        layer,
        None if torch.equal(positions, torch.arange(len(positions))) else positions.to(device),
        torch.cat([part.weight for part in parts]),
        None if attention.query.bias is None else torch.cat([part.bias for part in parts]),
        bias.contiguous(),
        attention.num_attention_heads,
    )
    return block, wanted


def _merging(layer: Any, height: int, width: int, order: Tensor) -> _Merging:
    grid = torch.arange(height * width).view(height, width)
    neighbours = [grid[row::2, column::2] for column in range(2) for row in range(2)]
    positions = _inverse(order)[torch.stack(neighbours, -1).flatten()]
    return _Merging(layer, positions.to(layer.norm.weight.device))


def _window_order(height: int, width: int, side: int, shift: int) -> Tensor:
    """Row-by-row numbers of tokens, in the order of windows that are shifted cyclically."""
    return _windows(
        torch.roll(torch.arange(height * width).view(height, width), (-shift, -shift), (0, 1)), side
    ).flatten()


def _edges(height: int, width: int, side: int, shift: int) -> Tensor:
    """(windows, tokens, tokens): -100 between tokens that only the cyclic shift has brought together, otherwise 0."""
    rows, columns = (
        (torch.arange(length) >= length - side).long() + (torch.arange(length) >= length - shift).long()
        for length in (height, width)
    )
    regions = _windows(3 * rows[:, None] + columns, side)
    return torch.where(regions[:, None] == regions[:, :, None], 0.0, -100.0)


def _windows(grid: Tensor, side: int) -> Tensor:
    height, width = grid.shape
    return grid.view(height // side, side, width // side, side).transpose(1, 2).reshape(-1, side * side)


def _inverse(order: Tensor) -> Tensor:
    inverse = torch.empty_like(order)
    inverse[order] = torch.arange(len(order))
    return inverse


def _layer_norm(norm: nn.LayerNorm, tokens: Tensor) -> Tensor:
    return F.layer_norm(tokens, norm.normalized_shape, norm.weight, norm.bias, norm.eps)


def _on_cpu(tensor: Tensor) -> bool:
    return tensor.device.type == "cpu"


def _linear(inputs: Tensor, weight: Tensor, bias: Tensor | None, add: Tensor | None = None) -> Tensor:
    """A linear layer, plus `add`; in one call where oneDNN is there (a tenth faster)."""
    if _has_onednn(inputs):
        operations = torch.ops.mkldnn._linear_pointwise
        if add is None:
            return operations(inputs, weight, bias, "none", [], "")
        return operations.binary(inputs, add, weight, bias, "add")
    outputs = F.linear(inputs, weight, bias)
    return outputs if add is None else outputs + add


def _activated(inputs: Tensor, layer: Any) -> Tensor:
    dense, activation = layer.dense, layer.intermediate_act_fn
    if _has_onednn(inputs) and type(activation).__name__ == "GELUActivation":
        return torch.ops.mkldnn._linear_pointwise(inputs, dense.weight, dense.bias, "gelu", [], "none")
    return activation(F.linear(inputs, dense.weight, dense.bias))


def _has_onednn(inputs: Tensor) -> bool:
    return (
        _on_cpu(inputs)
        and inputs.dtype is torch.float32
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )
