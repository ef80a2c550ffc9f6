"""Uploaded sounds into embeddings, in bounded memory, with their length and what is odd about them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clapgen.errors import ClapgenError
from clapgen.server.uploads import Upload
from clapgen.server.work import Job

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from clapgen.embedders import ClapEmbedder


@dataclass(frozen=True)
class EmbeddedSound:
    """The embedding (dim,) of a sound, its length, and how it is silent, if it is."""

    embedding: Tensor
    seconds: float
    note: str


def pieces_of(job: Job, upload: Upload, sample_rate: int, max_seconds: float) -> Iterator[np.ndarray]:
    """The sound in pieces (samples,). Stops if the job is to end.

    Raises:
        ClapgenError: it is no sound, is damaged, or is longer than the server takes.
    """
    from clapgen.audio.reading import stream_audio

    samples = 0
    for piece in stream_audio(upload.path, sample_rate):
        samples += len(piece)
        if samples > max_seconds * sample_rate:
            raise ClapgenError(
                f"{upload.name} is longer than {max_seconds:g} s, the most that this server takes; cut it."
            )
        job.report(job.done, job.total)
        yield piece


def embed_upload(job: Job, clap: ClapEmbedder, upload: Upload, max_seconds: float) -> EmbeddedSound:
    """Embed a sound of any length; errors as in `pieces_of`, or the model is broken."""
    from clapgen.audio.silence import SilenceMeter
    from clapgen.embedders import BROKEN_MODEL, embed_stream

    meter = SilenceMeter()
    embedding = embed_stream(clap, meter.watch(pieces_of(job, upload, clap.sample_rate, max_seconds)))
    if not embedding.isfinite().all():
        raise ClapgenError(f"the model gives NaN or infinity for {upload.name}. {BROKEN_MODEL}")
    return EmbeddedSound(embedding, meter.samples / clap.sample_rate, meter.note())


def checked_length(upload: Upload, max_seconds: float) -> float:
    """The length of a sound in seconds; nothing is decoded that is too long."""
    from clapgen.audio.reading import rate_and_duration_of

    try:
        _, seconds = rate_and_duration_of(upload.path, max_seconds)
    except ClapgenError as error:
        raise _too_long(upload, max_seconds) if "is longer than" in str(error) else error from None
    if seconds > max_seconds:
        raise _too_long(upload, max_seconds)
    return seconds


def text_warnings(texts: Sequence[str], clap: Any, what: str = "texts") -> list[str]:
    """What may keep texts from being understood, as the command line warns."""
    from clapgen.clap import Clap
    from clapgen.clap.coverage import coverage_warning
    from clapgen.embedders.text_length import cut_warning

    warnings = [cut_warning(texts, clap, what)]
    if isinstance(clap, Clap):
        warnings += [coverage_warning(text, clap.tokenizer) for text in texts]
    return [each for each in warnings if each]


def _too_long(upload: Upload, max_seconds: float) -> ClapgenError:
    return ClapgenError(f"{upload.name} is longer than {max_seconds:g} s, the most that this server takes; cut it.")
