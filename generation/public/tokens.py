"""Tokens of sound drawn one after the other by a language model, each codebook later than the one before (MusicGen,
Copet et al. 2023)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from generation.generator import Callback
from generation.public.denoising import seed_of_steps

TOP_K = 250  # of the most likely tokens, one is drawn; the authors' default


def draw_tokens(
    network: Any,
    prompt: Tensor,
    negative: Tensor,
    frames: int,
    delays: Sequence[int],
    guidance_scale: float,
    seeds: Sequence[int],
    top_k: int = TOP_K,
    callback: Callback | None = None,
) -> Tensor:
    """Tokens (seeds, codebooks, frames).

    Args:
        network: a `MusicgenForCausalLM`; the token after its last one stands for "nothing here".
        prompt, negative: what it attends to (1, text tokens, width), and to guide away from: zeros for nothing.
        delays: by how many frames each codebook comes later.
        top_k: 1 always takes the most likely token.
        callback: called after every frame with i, num_steps, t, x (the tokens so far) and denoised (None).
    """
    nothing = network.config.vocab_size
    guided = guidance_scale != 1.0
    attended, mask = _together([negative, prompt] if guided else [prompt], len(seeds))
    generators = [torch.Generator().manual_seed(seed_of_steps(seed)) for seed in seeds]
    first_frame = torch.tensor(delays, device=prompt.device)[:, None]
    tokens = torch.full((len(seeds), len(delays), 1), nothing, device=prompt.device)
    cache, steps = None, frames + max(delays)
    for number in range(steps):
        latest = tokens[..., -1:].repeat(2 if guided else 1, 1, 1)
        output = network(
            input_ids=latest.flatten(0, 1), encoder_hidden_states=attended, encoder_attention_mask=mask,
            past_key_values=cache, use_cache=True,
        )  # fmt: skip
        cache = output.past_key_values
        logits = output.logits[:, -1].float().unflatten(0, (-1, len(delays)))
        if guided:
            away, towards = logits.chunk(2)
            logits = away + guidance_scale * (towards - away)
        drawn = _draw(logits, top_k, generators)[..., None]
        sounds = (first_frame <= number) & (number < first_frame + frames)
        tokens = torch.cat([tokens, torch.where(sounds, drawn, nothing)], dim=-1)
        if callback is not None:
            callback({"i": number, "num_steps": steps, "t": number, "x": tokens, "denoised": None})
    return torch.stack([tokens[:, book, 1 + delay :][:, :frames] for book, delay in enumerate(delays)], dim=1)


def _together(texts: Sequence[Tensor], rows: int) -> tuple[Tensor, Tensor]:
    """Texts of several lengths in one batch (texts x rows, tokens, width), and a mask of what is not padding.

    audiocraft attends to zeroed padding, so that the same prompt sounds different in other company. Each prompt is
    drawn by itself here, which needs no padding; only a negative prompt does, and it is masked.
    """
    longest = max(text.shape[1] for text in texts)
    padded = torch.zeros(len(texts), longest, texts[0].shape[2], device=texts[0].device, dtype=texts[0].dtype)
    mask = torch.zeros(len(texts), longest, device=texts[0].device, dtype=torch.long)
    for number, text in enumerate(texts):
        padded[number, : text.shape[1]] = text[0]
        mask[number, : text.shape[1]] = 1
    return padded.repeat_interleave(rows, dim=0), mask.repeat_interleave(rows, dim=0)


def _draw(logits: Tensor, top_k: int, generators: Sequence[torch.Generator]) -> Tensor:
    """One of the most likely tokens (rows, codebooks), according to their probabilities."""
    likely = logits.topk(min(top_k, logits.shape[-1]), dim=-1)
    # Dividing probabilities by exponential noise and taking the largest draws from them, by noise of the CPU.
    noise = torch.stack([torch.empty(logits.shape[1:]).exponential_(generator=each) for each in generators])
    noise = noise.to(logits.device).gather(-1, likely.indices)
    best = (likely.values.softmax(-1) / noise).argmax(-1, keepdim=True)
    return likely.indices.gather(-1, best)[..., 0]
