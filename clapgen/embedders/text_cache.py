"""Text embeddings, kept in the same cache as those of audio."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from clapgen.embedders import BROKEN_MODEL, ClapEmbedder, device_type, display_name, identity_of
from clapgen.embedders.cache import EMBEDDING_VERSION, Array
from clapgen.embedders.file_identity import cache_key
from clapgen.embedders.store import Store
from clapgen.errors import ClapgenError

TEXTS_PER_BATCH = 256


def embed_texts(
    texts: Sequence[str],
    embedder: ClapEmbedder,
    cache: Store | None = None,
    advance: Callable[[int], None] = lambda count: None,
) -> Array:
    """Embeddings (n, dim) float32 of sentences, in batches in the order given; each distinct sentence once.

    Args:
        cache: where embeddings are looked up and stored, unless the embedder has no hash.
        advance: called with the number of distinct sentences finished since the last call.

    Raises:
        ClapgenError: the embedder gives NaN or infinity for a sentence, which is named.
    """
    cache = cache if embedder.hash else None
    keys = _keys(texts, embedder)
    stored = cache.get(list(keys.values())) if cache else {}
    found = {text: np.frombuffer(stored[key], dtype="<f4") for text, key in keys.items() if key in stored}
    advance(len(found))
    missing = [text for text in keys if text not in found]
    for start in range(0, len(missing), TEXTS_PER_BATCH):
        batch = missing[start : start + TEXTS_PER_BATCH]
        embedded = dict(zip(batch, _embed(batch, embedder), strict=True))
        found |= embedded
        if cache:
            cache.put({keys[text]: row.astype("<f4").tobytes() for text, row in embedded.items()})
        advance(len(batch))
    return np.stack([found[text] for text in texts]) if texts else np.zeros((0, embedder.dim), dtype=np.float32)


def _keys(texts: Sequence[str], embedder: ClapEmbedder) -> dict[str, bytes]:
    """Cache key of each distinct text."""
    tokenizer = getattr(embedder, "tokenizer", None)  # its vocabulary is not part of the hash of a Clap's weights
    vocabulary = tokenizer.to_str() if tokenizer is not None and hasattr(tokenizer, "to_str") else ""
    reader = cache_key("reader", [identity_of(embedder), vocabulary, EMBEDDING_VERSION]).hex()
    return {text: cache_key("text", [text, reader]) for text in dict.fromkeys(texts)}


def _embed(texts: list[str], embedder: ClapEmbedder) -> Array:
    import torch

    with torch.no_grad(), torch.autocast(device_type(embedder), enabled=False):
        table = embedder.embed_text(texts).float().cpu().numpy()
    for text, row in zip(texts, table, strict=True):
        if not np.isfinite(row).all():
            raise ClapgenError(
                f"the model {display_name(embedder)} gives NaN or infinity for the text '{text}'. {BROKEN_MODEL}"
            )
    return table
