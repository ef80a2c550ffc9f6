"""Training rows: a caption, the CLAP embedding it is predicted from, and its sampling weight."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from captioning.training.sentences import embed_sentences, open_cache
from clapgen.data.manifest import Clip
from clapgen.data.sentences import read_sentences, tidy
from clapgen.embedders import ClapEmbedder
from clapgen.embedders.cache import embed_files
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
    """For each file its distinct sentences with their CLAP text embeddings, weighted by how often each occurs."""
    rows = []
    for file in files:
        sentences = read_sentences(file, splits, free_only)
        counts = torch.tensor(sentences.counts, dtype=torch.float64)
        rows.append(Rows(sentences.texts, embed_sentences(clap, sentences.texts, cache), counts / counts.sum()))
    return rows


def clip_rows(clips: Sequence[Clip], clap: ClapEmbedder, cache: str) -> Rows:
    """For each caption of each clip the CLAP audio embedding of the clip: the data of a supervised captioner."""
    clips, audio = embed_clips(clips, clap, cache)
    pairs = [(tidy(caption), index) for index, clip in enumerate(clips) for caption in clip.captions]
    if not pairs:
        raise ClapgenError("the manifest of pairs has no clip with a caption.")
    clip_of = torch.tensor([index for _, index in pairs])
    weights = torch.full((len(pairs),), 1 / len(pairs), dtype=torch.float64)
    return Rows([caption for caption, _ in pairs], audio[clip_of], weights)


def embed_clips(clips: Sequence[Clip], clap: ClapEmbedder, cache: str | Path) -> tuple[list[Clip], Tensor]:
    """The readable clips and their CLAP audio embeddings (n, dim), which are cached in the folder `cache`."""
    embedded = embed_files([clip.path for clip in clips], clap, open_cache(cache))
    for _, reason in embedded.skipped:
        logger.warning("skipped: %s", reason)
    row_of = {path: row for row, path in enumerate(embedded.paths)}
    kept = [clip for clip in clips if clip.path in row_of]
    return kept, torch.from_numpy(embedded.embeddings)[[row_of[clip.path] for clip in kept]]


def join_rows(parts: Sequence[Rows], shares: Sequence[float]) -> Rows:
    """Concatenate the rows of several sources; `shares` is each one's share of the draws, by default its row count.

    Raises:
        ClapgenError: there is not one share per source, one is negative or all are 0; fewer than 2 distinct captions.
    """
    shares = list(shares) or [float(len(part)) for part in parts]
    if len(shares) != len(parts):
        raise ClapgenError(f"shares={shares} has {len(shares)} values for {len(parts)} sources; give one for each.")
    if min(shares) < 0 or sum(shares) <= 0:
        raise ClapgenError(f"shares={shares}: none may be negative, and one must be above 0.")
    captions = [caption for part in parts for caption in part.captions]
    if len(set(captions)) < 2:
        raise ClapgenError(f"there is only one sentence to train on, '{captions[0][:60]}'; a captioner needs several.")
    weights = torch.cat([share / sum(shares) * part.weights for share, part in zip(shares, parts, strict=True)])
    return Rows(captions, torch.cat([part.embeddings for part in parts]), weights)
