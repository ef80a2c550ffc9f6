"""Texts that are longer than a text tower's input, and therefore cut."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def cut_texts(texts: Sequence[str], embedder: Any) -> list[str]:
    """Those of the texts that the embedder cuts; none if it does not say how many tokens it takes."""
    if not texts or not hasattr(embedder, "count_tokens"):
        return []
    counts = embedder.count_tokens(texts)
    return [text for text, count in zip(texts, counts, strict=True) if count > embedder.max_tokens]


def cut_warning(texts: Sequence[str], embedder: Any, what: str = "texts") -> str:
    """One sentence that counts the texts which the embedder cuts; empty if there are none."""
    distinct = list(dict.fromkeys(texts))
    cut = cut_texts(distinct, embedder)
    if not cut:
        return ""
    some = f"{len(cut)} of {len(distinct)} {what} are" if len(distinct) > 1 else "the text is"
    first = f"{cut[0][:60]}…" if len(cut[0]) > 60 else cut[0]
    return (
        f"{some} longer than the {embedder.max_tokens} tokens that the model takes; the rest has no effect: '{first}'."
    )
