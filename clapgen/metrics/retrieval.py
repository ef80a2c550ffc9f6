"""Text-to-audio and audio-to-text retrieval with several captions a clip, after LAION-CLAP's Clotho protocol."""

from __future__ import annotations

import torch
from torch import Tensor


def retrieval_metrics(audio: Tensor, text: Tensor, audio_of_text: Tensor) -> dict[str, float]:
    """R@1/5/10, median rank and mAP@10 both ways.

    Text to audio: every caption is a query over all n clips. Audio to text: a clip's rank is that of its best caption,
    its average precision counts all of its captions among the first ten. Clips without captions are only found.

    Args:
        audio: embeddings (n, dim) of length 1.
        text: embeddings (m, dim) of length 1.
        audio_of_text: index (m,) of the clip each caption describes.
    """
    similarity = text @ audio.T  # (m, n)
    own = similarity.gather(1, audio_of_text[:, None])
    text_ranks = (similarity > own).sum(1)  # 0 is best; ties count for the query, they are vanishingly rare

    is_own = audio_of_text[None, :] == torch.arange(len(audio))[:, None]  # (n, m)
    order = similarity.T.argsort(dim=1, descending=True, stable=True)
    hits = is_own.gather(1, order)  # (n, m), best first
    described = is_own.any(1)  # a clip without captions asks nothing
    audio_ranks = hits.int().argmax(1)[described]

    first = hits[:, :10].float()
    precision = first.cumsum(1) / torch.arange(1, first.shape[1] + 1)
    average_precision = (precision * first).sum(1) / is_own.sum(1)
    return {
        **_recalls("text_to_audio", text_ranks),
        "text_to_audio/mAP@10": float(torch.where(text_ranks < 10, 1 / (text_ranks + 1.0), 0.0).mean()),
        **_recalls("audio_to_text", audio_ranks),
        "audio_to_text/mAP@10": float(average_precision[described].mean()),
    }


def _recalls(name: str, ranks: Tensor) -> dict[str, float]:
    recalls = {f"{name}/R@{k}": float((ranks < k).float().mean()) for k in (1, 5, 10)}
    return {**recalls, f"{name}/median_rank": float(ranks.float().median() + 1)}
