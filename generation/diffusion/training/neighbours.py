"""The neighbours of training clips: what retrieval would find for their captions, without the clips themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from clapgen.data.manifest import Clip
from generation.diffusion.context import Neighbours, pooled
from generation.diffusion.training.latents import LatentCache

KEPT = 20  # neighbours of each query, of which a batch takes the nearest
TOO_NEAR = 0.98  # audio cosine above which a neighbour is taken for the clip itself
QUERIES_AT_ONCE = 512


@dataclass
class NeighbourTable:
    """The nearest clips of a gallery for each text and for each clip of a set.

    Attributes:
        of_texts: (texts, KEPT), of_clips: (clips, KEPT): numbers of gallery clips, the nearest first, -1 for none.
        audio, text: CLAP embeddings (gallery clips, dim) of each clip and of its first text; zeros if it has none.
        latents: (gallery clips, QUARTERS, latent_dim).
    """

    of_texts: Tensor
    of_clips: Tensor
    audio: Tensor
    text: Tensor
    latents: Tensor

    @classmethod
    def build(
        cls, data: LatentCache, clips: Sequence[Clip], gallery: LatentCache, gallery_clips: Sequence[Clip]
    ) -> NeighbourTable:
        """Queries are the texts of `data`, as they are when a sound is made; a clip without text asks with its sound.

        Clips of the same recording, and those that sound the same, are left out: a model that was shown its target
        would learn to copy it.
        """
        numbers: dict[str, int] = {}
        owner, other = (_recordings(each, numbers) for each in (clips, gallery_clips))
        forbidden = owner[:, None] == other[None]
        forbidden |= data.audio @ gallery.audio.T > TOO_NEAR
        counts = data.text_starts.diff()
        of_text = torch.repeat_interleave(torch.arange(len(counts)), counts)
        every = torch.arange(len(data.audio))
        firsts = gallery.text_starts[:-1].clamp(max=max(0, len(gallery.text) - 1))
        has_text = gallery.text_starts.diff() > 0
        text = torch.zeros_like(gallery.audio)
        if len(gallery.text):
            text = torch.where(has_text[:, None], gallery.text[firsts], text)
        return cls(
            _nearest(data.text, of_text, gallery, forbidden),
            _nearest(data.audio, every, gallery, forbidden),
            gallery.audio,
            text,
            _pooled_clips(gallery),
        )

    def draw(
        self,
        clips: Tensor,
        texts: Tensor,
        most: int,
        generator: torch.Generator,
        dropout: float = 0.2,
        each_dropout: float = 0.3,
    ) -> Neighbours:
        """0 to `most` neighbours of each item, the nearest ones; some left out, or all of them.

        Args:
            clips: (batch,) numbers of the clips; texts: (batch,) of the texts that describe them, -1 for none.
            dropout: share of the items without any; each_dropout: share of the other neighbours left out.
        """
        found = torch.where(texts[:, None] >= 0, self._of_texts(texts), self.of_clips[clips])[:, :most]
        count = torch.randint(most + 1, (len(clips), 1), generator=generator)
        mask = (found >= 0) & (torch.arange(found.shape[1]) < count)
        mask &= torch.rand(found.shape, generator=generator) >= each_dropout
        mask &= torch.rand((len(clips), 1), generator=generator) >= dropout
        rows = found.clamp(min=0)
        return Neighbours(self.audio[rows], self.text[rows], self.latents[rows], mask)

    def _of_texts(self, texts: Tensor) -> Tensor:
        if not len(self.of_texts):
            return torch.full((len(texts), self.of_clips.shape[1]), -1)
        return self.of_texts[texts.clamp(min=0)]


def _recordings(clips: Sequence[Clip], numbers: dict[str, int]) -> Tensor:
    return torch.tensor([numbers.setdefault(clip.recording or str(clip.path), len(numbers)) for clip in clips])


def _nearest(queries: Tensor, owners: Tensor, gallery: LatentCache, forbidden: Tensor) -> Tensor:
    """(queries, KEPT) by the mean of the cosine with a clip's sound and the highest cosine with its texts."""
    counts = gallery.text_starts.diff()
    of_text = torch.repeat_interleave(torch.arange(len(counts)), counts)
    kept = min(KEPT, len(gallery.audio))
    found = [torch.zeros(0, kept, dtype=torch.long)]
    for start in range(0, len(queries), QUERIES_AT_ONCE):
        query = queries[start : start + QUERIES_AT_ONCE]
        sound = query @ gallery.audio.T
        text = torch.full_like(sound, -1.0)
        if len(gallery.text):
            columns = of_text.expand(len(query), -1)
            text = text.scatter_reduce(1, columns, query @ gallery.text.T, "amax")
        score = torch.where(counts > 0, (sound + text) / 2, sound)
        score = score.masked_fill(forbidden[owners[start : start + QUERIES_AT_ONCE]], -torch.inf)
        best = score.topk(kept, dim=1)
        found.append(torch.where(best.values > -torch.inf, best.indices, -1))
    return torch.cat(found)


def _pooled_clips(gallery: LatentCache) -> Tensor:
    """Of the first version of each clip, as it is."""
    first = torch.searchsorted(gallery.clip_of, torch.arange(len(gallery.audio)))
    spans = zip(gallery.starts[first].tolist(), gallery.lengths[first].tolist(), strict=True)
    return torch.stack([pooled(gallery.latents[start : start + length]) for start, length in spans])
