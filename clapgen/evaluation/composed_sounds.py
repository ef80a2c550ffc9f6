"""The sounds of composition tests: composed from clips, embedded, and cached like the embeddings of files."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from clapgen.audio import read_audio
from clapgen.embedders import device_type, identity_of
from clapgen.embedders.cache import EMBEDDING_VERSION, Array, Embedded
from clapgen.embedders.file_identity import cache_key, worker_count
from clapgen.evaluation.context import EvaluationContext
from clapgen.metrics.embeddings.composition_items import CompositionItem

ITEM_VERSION = 1  # raise it when the same clips give another sound than before
ITEMS_PER_BATCH = 16


def embed_items(
    items: Sequence[CompositionItem], clips: Embedded, context: EvaluationContext, what: str, seconds: float
) -> Array:
    """Embeddings (2 · items, dim) of both sounds of each item; `items` refer to clips by their row in `clips`."""
    clap = context.clap
    cache = context.cache if clap.hash else None
    settings = cache_key("made", [identity_of(clap), EMBEDDING_VERSION, ITEM_VERSION, seconds]).hex()
    keys = [cache_key(item.kind, [settings, *(clips.digests[index] for index in item.clips)]) for item in items]
    known = cache.get(keys) if cache else {}
    tables = {key: np.frombuffer(value, dtype="<f4").reshape(2, -1) for key, value in known.items()}
    missing = list({key: item for key, item in zip(keys, items, strict=True) if key not in tables}.items())
    rate = clap.sample_rate

    files = context.identify(clips.paths)

    def read(index: int) -> np.ndarray:
        waveform, _ = read_audio(files[index].path, rate)
        files[index].check_unchanged()
        return waveform

    def compose(item: CompositionItem) -> tuple[np.ndarray, np.ndarray]:
        return item.waveforms([read(index) for index in item.clips], rate, seconds)

    with context.progress(len(items), f"Composing {what}") as advance, ThreadPoolExecutor(worker_count()) as pool:
        advance(len(items) - len(missing))
        for start in range(0, len(missing), ITEMS_PER_BATCH):
            batch = missing[start : start + ITEMS_PER_BATCH]
            sounds = [waveform for pair in pool.map(compose, [item for _, item in batch]) for waveform in pair]
            with torch.no_grad(), torch.autocast(device_type(clap), enabled=False):
                table = clap.embed_audio(sounds, rate).float().cpu().numpy()
            embedded = {key: pair for (key, _), pair in zip(batch, table.reshape(len(batch), 2, -1), strict=True)}
            tables |= embedded
            if cache:
                cache.put({key: pair.astype("<f4").tobytes() for key, pair in embedded.items()})
            advance(len(batch))
    return np.concatenate([tables[key] for key in keys])
