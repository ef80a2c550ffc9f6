"""What an evaluation of generated sounds works on: the clips that could be read, their embeddings, and their pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from clapgen.data.manifest import Clip
from clapgen.embedders import Embedder
from clapgen.embedders.cache import Array, Embedded
from clapgen.evaluation.context import EvaluationContext, content_summary, row_of_path, skipped_files
from clapgen.evaluation.generation.rates import RatePolicy, rate_policy
from clapgen.evaluation.sounds import pair_sounds
from clapgen.metrics.embeddings.degenerate import Defect, waveform_defect
from clapgen.report.model import Metric, Skipped

MOST_NAMED = 5


@dataclass(frozen=True)
class SoundSet:
    """Clips that could be read; row i of `embeddings` is clip i."""

    clips: list[Clip]
    embedded: Embedded

    @property
    def paths(self) -> list[Path]:
        """The file of each clip."""
        return [clip.path for clip in self.clips]

    @property
    def embeddings(self) -> Array:
        """(n, dim) float32, by the CLAP."""
        return self.embedded.embeddings

    @property
    def defects(self) -> list[Defect | None]:
        """The defect of each waveform; only of a set that was inspected by `waveform_facts`."""
        return [facts["defect"] for facts in self.embedded.facts]

    @property
    def summary(self) -> str:
        """See `content_summary`."""
        return content_summary(self.embedded)

    def __len__(self) -> int:
        return len(self.clips)


@dataclass(frozen=True)
class GenerationData:
    """Everything that the parts of the evaluation read.

    Attributes:
        pairs: indices (generated, reference) of the clips that belong together.
        distance_generated, distance_reference: embeddings for the distances, by another embedder if one was given.
        warnings: what a reader of the report must know about the sets.
    """

    context: EvaluationContext
    generated: SoundSet
    reference: SoundSet | None
    training: SoundSet | None
    pairs: list[tuple[int, int]]
    rates: RatePolicy
    distance_generated: Embedded
    distance_reference: Embedded | None
    warnings: list[str]
    skipped: list[Skipped]

    @property
    def paired_rows(self) -> tuple[list[int], list[int]]:
        """Indices of the paired generated clips, and of their references."""
        return [generated for generated, _ in self.pairs], [reference for _, reference in self.pairs]


@dataclass(frozen=True)
class Findings:
    """What one part of the evaluation adds to the report.

    `columns` are those of the table of clips: name → index of the generated clip → value.
    """

    metrics: list[Metric] = field(default_factory=list)
    columns: dict[str, dict[int, Any]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)

    def __add__(self, other: Findings) -> Findings:
        return Findings(
            self.metrics + other.metrics,
            self.columns | other.columns,
            self.warnings + other.warnings,
            self.settings | other.settings,
        )


def column(indices: Sequence[int], values: Sequence[Any]) -> dict[int, Any]:
    """A column of `Findings` that has values for some of the generated clips."""
    return dict(zip(indices, values, strict=True))


def waveform_facts(waveform: Array, sample_rate: int) -> dict[str, Any]:
    """What is kept about a waveform along with its embedding."""
    return {"defect": waveform_defect(waveform)}


def load_generation_data(
    generated: Sequence[Clip],
    reference: Sequence[Clip] | None,
    training: Sequence[Clip] | None,
    context: EvaluationContext,
    embedder: Embedder | None = None,
    frames: bool = False,
) -> GenerationData:
    """Identify, embed and pair all clips: each file is hashed once, and decoded once per embedder.

    Args:
        embedder: for the distances; the CLAP if None.
        frames: also embed frames for the distances.
    """
    rates, warnings = _rates(generated, reference or [], context, embedder)
    load = partial(_load, context=context, band_limit=rates.band_limit, frames=frames and embedder is None)
    generated_set = load(generated, "Embedding generated", inspect=waveform_facts)
    reference_set, pairs = None, []
    if reference:
        matched = pair_sounds(generated, reference)
        warnings += [context.warn_or_raise(each, "Rename, add or remove files.") for each in matched.problems()]
        reference_set = load(reference, "Embedding references")
        pairs = _readable_pairs(matched.pairs, (generated, reference), (generated_set, reference_set))
        warnings += _copy_warnings(generated_set, reference_set)
    training_set = None
    if training is not None:
        training_set = load(training, "Embedding training clips", frames=False)
        warnings += _training_warnings(training_set, reference_set, rates, context)
    distances = [
        None if each is None else _for_distances(each, name, embedder, context, rates, frames)
        for name, each in (("generated", generated_set), ("references", reference_set))
    ]
    embedded = [each.embedded for each in (generated_set, reference_set) if each is not None]
    embedded += [each for each in distances if each is not None]
    embedded += [training_set.embedded] if training_set is not None else []
    return GenerationData(
        context,
        generated_set,
        reference_set,
        training_set,
        pairs,
        rates,
        distances[0] or generated_set.embedded,
        distances[1],
        warnings,
        skipped_files(*embedded),
    )


def _rates(
    generated: Sequence[Clip], reference: Sequence[Clip], context: EvaluationContext, embedder: Embedder | None
) -> tuple[RatePolicy, list[str]]:
    sets = {"generated": generated, "reference": reference}
    files = {name: context.identify([clip.path for clip in clips]) for name, clips in sets.items()}
    rates = rate_policy(files, max(each.sample_rate for each in (context.clap, embedder) if each is not None))
    return rates, [context.warn_or_raise(rates.warning, "Resample one of the sets.")] if rates.warning else []


def _load(clips: Sequence[Clip], what: str, context: EvaluationContext, **options: Any) -> SoundSet:
    """Embed clips with the CLAP; those that cannot be read are skipped."""
    embedded = context.embed([clip.path for clip in clips], what, **options)
    rows = row_of_path(embedded)
    return SoundSet([clip for clip in clips if clip.path in rows], embedded)


def _for_distances(
    sounds: SoundSet, what: str, embedder: Embedder | None, context: EvaluationContext, rates: RatePolicy, frames: bool
) -> Embedded:
    if embedder is None:
        return sounds.embedded
    label = f"Embedding {what} with {embedder.name}"
    return context.embed(sounds.paths, label, embedder, frames=frames, band_limit=rates.band_limit)


def _readable_pairs(
    pairs: Sequence[tuple[int, int]], clips: Sequence[Sequence[Clip]], sets: Sequence[SoundSet]
) -> list[tuple[int, int]]:
    """Pairs of indices of `clips` as pairs of rows of the sets."""
    rows = [row_of_path(each.embedded) for each in sets]
    paths = [tuple(side[index].path for side, index in zip(clips, pair, strict=True)) for pair in pairs]
    return [(rows[0][first], rows[1][second]) for first, second in paths if first in rows[0] and second in rows[1]]


def _copy_warnings(generated: SoundSet, reference: SoundSet) -> list[str]:
    known = set(reference.embedded.digests)
    digests = generated.embedded.digests
    copies = [path for path, digest in zip(generated.paths, digests, strict=True) if digest in known]
    if not copies:
        return []
    more = f" and {len(copies) - MOST_NAMED} more" if len(copies) > MOST_NAMED else ""
    named = ", ".join(str(path) for path in copies[:MOST_NAMED])
    return [
        f"{len(copies)} of {len(generated)} generated files are byte for byte among the references ({named}{more}): "
        "distances to these references are not meaningful."
    ]


def _training_warnings(
    training: SoundSet, reference: SoundSet | None, rates: RatePolicy, context: EvaluationContext
) -> list[str]:
    warnings = []
    rate = rates.band_limit or context.clap.sample_rate
    low = sum(file.sample_rate < rate for file in context.identify(training.paths))
    if low:
        warnings.append(
            f"{low} of {len(training)} training clips have a sample rate below {rate} Hz, at which generated sounds "
            "are compared: copies of them may be missed."
        )
    known = set(training.embedded.digests)
    shared = sum(digest in known for digest in reference.embedded.digests) if reference is not None else 0
    if reference is not None and shared:
        warnings.append(
            f"{shared} of {len(reference)} references are byte for byte among the training clips: a generator that "
            "memorized them would be close to them."
        )
    return warnings
