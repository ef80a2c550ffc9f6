"""Embeddings of sentences, kept in the cache like those of sounds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from clapgen.embedders import BROKEN_MODEL, TextEmbedder, device_type, display_name, identity_of
from clapgen.embedders.cache import EMBEDDING_VERSION, Array
from clapgen.embedders.file_identity import cache_key
from clapgen.embedders.store import Store
from clapgen.errors import ClapgenError


def embed_texts(texts: Sequence[str], embedder: TextEmbedder, cache: Store | None = None) -> Array:
    """Embeddings (n, dim) float32 of sentences, kept like those of sounds; a sentence that comes twice is read once."""
    import torch

    unique = list(dict.fromkeys(texts))
    place = cache if getattr(embedder, "hash", "") else None
    tokenizer = getattr(embedder, "tokenizer", None)  # its vocabulary is not in the hash of a Clap's weights
    words = tokenizer.to_str() if tokenizer is not None and hasattr(tokenizer, "to_str") else ""
    reader = cache_key("reader", [identity_of(embedder), words, EMBEDDING_VERSION]).hex()
    keys = {text: cache_key("text", [text, reader]) for text in unique}
    known = place.get(list(keys.values())) if place else {}
    found = {text: np.frombuffer(known[key], dtype="<f4") for text, key in keys.items() if key in known}
    missing = [text for text in unique if text not in found]
    if missing:
        with torch.no_grad(), torch.autocast(device_type(embedder), enabled=False):
            table = embedder.embed_text(missing).float().cpu().numpy()
        broken = [text for text, row in zip(missing, table, strict=True) if not np.isfinite(row).all()]
        if broken:
            raise ClapgenError(
                f"the model {display_name(embedder)} gives NaN or infinity for the text '{broken[0]}'. {BROKEN_MODEL}"
            )
        found |= dict(zip(missing, table, strict=True))
        if place:
            place.put({keys[text]: row.astype("<f4").tobytes() for text, row in zip(missing, table, strict=True)})
    width = embedder.dim if not texts else len(found[texts[0]])
    return np.stack([found[text] for text in texts]) if texts else np.zeros((0, width), dtype=np.float32)
