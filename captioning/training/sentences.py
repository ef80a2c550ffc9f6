"""Training sentences, embedded once by the CLAP."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import Tensor

from clapgen.embedders import ClapEmbedder
from clapgen.embedders.cache import EmbeddingCache
from clapgen.embedders.text_cache import embed_texts
from clapgen.errors import ClapgenError
from clapgen.terminal import progress

SENTENCES_WITHOUT_BAR = 2000  # embedding fewer takes a few seconds


def embed_sentences(clap: ClapEmbedder, texts: Sequence[str], cache: str | Path) -> Tensor:
    """CLAP text embeddings (n, dim), cached in the folder `cache`. Sentences of similar length share a batch."""
    order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
    shown = len(texts) > SENTENCES_WITHOUT_BAR
    with progress(len(texts), "sentences") if shown else nullcontext(lambda done, what: None) as update:
        done = 0

        def advance(count: int) -> None:
            nonlocal done
            done += count
            update(done, "Embedding")

        embedded = embed_texts([texts[row] for row in order], clap, open_cache(cache), advance)
    embeddings = torch.empty(len(texts), clap.dim)
    embeddings[order] = torch.from_numpy(embedded)
    return embeddings


def open_cache(folder: str | Path) -> EmbeddingCache:
    """The cache of embeddings in the recipe's `cache` folder. ClapgenError if the folder cannot be created."""
    try:
        return EmbeddingCache(folder)
    except ClapgenError as error:
        raise ClapgenError(f"{str(error).rstrip('.')}; set cache=FOLDER to another.") from error
