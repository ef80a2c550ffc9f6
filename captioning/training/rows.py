"""Training rows: a sentence, the CLAP embedding it is to be told from, and how often it is drawn."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from captioning.training.sentences import embed_sentences, read_sentences, tidy
from clapgen.data.manifest import Clip
from clapgen.embedders import ClapEmbedder
from clapgen.embedders.cache import EmbeddingCache, embed_files
from clapgen.errors import ClapgenError

logger = logging.getLogger(__name__)


@dataclass
class Rows:
    """Captions (n), embeddings (n, dim) of length 1, and weights (n,) that sum to 1."""

    captions: list[str]
    embeddings: Tensor
    weights: Tensor

    def __len__(self) -> int:
        return len(self.captions)


def text_rows(
    files: Sequence[str], clap: ClapEmbedder, cache: str, splits: Sequence[str], free_only: bool
) -> list[Rows]:
    """For every file its different sentences with their CLAP text embeddings, weighted by how often each comes."""
    rows = []
    for file in files:
        found = read_sentences(file, splits, free_only)
        counts = torch.tensor(found.counts, dtype=torch.float64)
        rows.append(Rows(found.texts, embed_sentences(clap, found.texts, cache), counts / counts.sum()))
    return rows


def clip_rows(clips: Sequence[Clip], clap: ClapEmbedder, cache: str) -> Rows:
    """For every caption of every clip the CLAP audio embedding of the clip: what a supervised captioner learns from."""
    kept, audio = embed_clips(clips, clap, cache)
    pairs = [(tidy(caption), place) for place, clip in enumerate(kept) for caption in clip.captions]
    if not pairs:
        raise ClapgenError("the manifest of pairs has no clip with a caption to train on")
    places = torch.tensor([place for _, place in pairs])
    weights = torch.full((len(pairs),), 1 / len(pairs), dtype=torch.float64)
    return Rows([caption for caption, _ in pairs], audio[places], weights)


def embed_clips(clips: Sequence[Clip], clap: ClapEmbedder, cache: str | Path) -> tuple[list[Clip], Tensor]:
    """The clips that can be read, and their CLAP audio embeddings (n, dim), kept in the folder `cache`."""
    found = embed_files([clip.path for clip in clips], clap, EmbeddingCache(cache))
    for _, reason in found.skipped:
        logger.warning("left out: %s", reason)
    row_of = {path: row for row, path in enumerate(found.paths)}
    kept = [clip for clip in clips if clip.path in row_of]
    return kept, torch.from_numpy(found.embeddings)[[row_of[clip.path] for clip in kept]]


def join_rows(parts: Sequence[Rows], shares: Sequence[float]) -> Rows:
    """Rows of several sources as one; `shares` is each one's part of the draws, by default as many rows as it has.

    Raises:
        ClapgenError: not as many shares as sources, a negative one or all 0; fewer than 2 different captions.
    """
    shares = list(shares) or [float(len(part)) for part in parts]
    if len(shares) != len(parts):
        raise ClapgenError(f"shares={shares} are {len(shares)} for {len(parts)} sources; give one for each")
    if min(shares) < 0 or sum(shares) <= 0:
        raise ClapgenError(f"shares={shares}: none may be negative, and one must be above 0")
    captions = [caption for part in parts for caption in part.captions]
    if len(set(captions)) < 2:
        raise ClapgenError(
            f"all there is to train on is one sentence, '{captions[0][:60]}'; a captioner needs different ones"
        )
    weights = torch.cat([share / sum(shares) * part.weights for share, part in zip(shares, parts, strict=True)])
    return Rows(captions, torch.cat([part.embeddings for part in parts]), weights)
