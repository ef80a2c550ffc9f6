"""Robustness of retrieval to paraphrased captions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy.typing as npt
from torch import Tensor

from clapgen.errors import ClapgenError
from clapgen.metrics.embeddings.base import Embeddings, as_embeddings
from clapgen.metrics.embeddings.clap_score import paired_cosines
from clapgen.metrics.embeddings.retrieval import Retrieval, retrieval


@dataclass(frozen=True)
class Robustness:
    """Retrieval with captions and with their paraphrases.

    Attributes:
        drops: loss per metric of `Retrieval.as_dict`, above 0 if paraphrases are worse; for ranks, the increase.
        cosine: mean cosine of a caption and its paraphrase, −1 to 1; 1 is invariance to the wording.
    """

    original: Retrieval
    paraphrased: Retrieval
    drops: dict[str, float]
    cosine: float


def paraphrase_robustness(
    audio: Embeddings, text: Embeddings, paraphrases: Embeddings, audio_of_text: npt.ArrayLike | Tensor
) -> Robustness:
    """Retrieval with captions and with their paraphrases, over the same clips, by the strict protocol.

    Args:
        audio: embeddings (n, dim).
        text: embeddings (m, dim).
        paraphrases: embeddings (m, dim); row i paraphrases row i of `text`. Repeat a caption that has several.
        audio_of_text: index (m,) of the clip each caption describes.

    Raises:
        ClapgenError: different counts, and as `retrieval`.
    """
    captions, others = as_embeddings(text, "text embeddings"), as_embeddings(paraphrases, "paraphrase embeddings")
    if len(captions) != len(others):
        raise ClapgenError(f"{len(captions)} captions and {len(others)} paraphrases do not pair; give equal numbers.")
    original, paraphrased = (retrieval(audio, sentences, audio_of_text) for sentences in (captions, others))
    before, after = original.as_dict(), paraphrased.as_dict()
    drops = {name: (after[name] - before[name]) * (1 if name.endswith("rank") else -1) for name in before}
    return Robustness(original, paraphrased, drops, float(paired_cosines(captions, others).mean()))
