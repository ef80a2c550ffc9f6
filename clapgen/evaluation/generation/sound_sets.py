"""What an evaluation of generations works on: generated and reference sounds that could be read, and their pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from clapgen.embedders.cache import Array, Embedded
from clapgen.embedders.file_identity import identify_files
from clapgen.evaluation.generation.rates import RatePolicy, rate_policy
from clapgen.evaluation.setup import Setup, content_hash, rows_of, skipped
from clapgen.evaluation.sounds import Sound, pair_sounds, read_sounds
from clapgen.metrics.embeddings.degenerate import Defect, waveform_defect
from clapgen.report.model import Skipped

MOST_NAMED = 5
TRAINING_SPLIT = "train"


@dataclass
class SoundSet:
    """Sounds that could be read, row i of `embeddings` for sound i, and their paths."""

    sounds: list[Sound]
    embedded: Embedded
    paths: list[Path] = field(init=False)

    def __post_init__(self) -> None:
        self.paths = [sound.path for sound in self.sounds]

    @property
    def embeddings(self) -> Array:
        """(n, dim) float32."""
        return self.embedded.embeddings

    @property
    def defects(self) -> list[Defect | None]:
        """What is wrong with each waveform; only of a set that was inspected by `waveform_facts`."""
        return [facts["defect"] for facts in self.embedded.facts]

    @property
    def summary(self) -> str:
        """How many, and a hash of their contents: of two reports it says whether they are about the same files."""
        return content_hash(self.embedded)

    def __len__(self) -> int:
        return len(self.sounds)


@dataclass
class Material:
    """Generated sounds and, where there are references, these and the pairs (generated, reference) of both.

    `columns` are those of the report's table of clips: a value a generated sound each.
    """

    setup: Setup
    generated: SoundSet
    reference: SoundSet | None
    pairs: list[tuple[int, int]]
    rates: RatePolicy
    warnings: list[str]
    skipped: list[Skipped]
    columns: dict[str, list[Any]] = field(default_factory=dict)

    def pair_rows(self) -> tuple[list[int], list[int]]:
        """Indices of the paired generated sounds, and of their references."""
        return [made for made, _ in self.pairs], [real for _, real in self.pairs]

    def fill(self, column: str, indices: Sequence[int], values: Sequence[Any] | np.ndarray) -> None:
        """Set a column for some generated sounds; None for the others."""
        cells = self.columns.setdefault(column, [None] * len(self.generated))
        for index, value in zip(indices, values, strict=True):
            cells[index] = value


def load_set(sounds: Sequence[Sound], what: str, setup: Setup, rates: RatePolicy, inspect: Any = None) -> SoundSet:
    """Embed sounds; those that cannot be read are left out."""
    embedded = setup.embed([sound.path for sound in sounds], what, band_limit=rates.band_limit, inspect=inspect)
    rows = rows_of(embedded)
    return SoundSet([sound for sound in sounds if sound.path in rows], embedded)


def load_training(source: str | Path, material: Material) -> SoundSet:
    """What the generator learned from: of a manifest that has a split "train" only that one, or held-out clips that
    are references too would look like copies of it.
    """
    sounds = read_sounds(source)
    if any(sound.split == TRAINING_SPLIT for sound in sounds):
        sounds = [sound for sound in sounds if sound.split == TRAINING_SPLIT]
    learned = load_set(sounds, "Embedding training clips", material.setup, material.rates)
    heard = material.rates.band_limit or material.setup.clap.sample_rate
    files, _ = identify_files(learned.paths, material.setup.cache)
    low = sum(file.sample_rate < heard for file in files)
    if low:
        material.warnings.append(
            f"{low} of {len(files)} training clips have fewer than the {heard} Hz at which generations are heard: "
            "copies of them may go unnoticed."
        )
    if material.reference is not None:
        known = set(learned.embedded.digests)
        shared = sum(digest in known for digest in material.reference.embedded.digests)
        if shared:
            material.warnings.append(
                f"{shared} of {len(material.reference)} references are byte for byte among the training clips: a "
                "generator that learned them by heart would be near them."
            )
    return learned


def waveform_facts(waveform: Array, sample_rate: int) -> dict[str, Any]:
    """What is kept of a generated clip beside its embedding."""
    return {"defect": waveform_defect(waveform)}


def gather(generated: Sequence[Sound], reference: Sequence[Sound] | None, setup: Setup, highest_rate: int) -> Material:
    """Read, embed and pair; what did not fit together is in `warnings` (or, strict, an error).

    `highest_rate` is that of the embedder that hears most, in Hz.
    """
    sets = {"generated": generated, "reference": reference or []}
    files = {
        name: identify_files([sound.path for sound in sounds], setup.cache, strict=setup.strict)[0]
        for name, sounds in sets.items()
    }
    rates = rate_policy(files, highest_rate)
    warnings = []
    if rates.warning:
        warnings.append(setup.differ(rates.warning, "Resample one of the sets."))
    made = load_set(generated, "Embedding generated", setup, rates, waveform_facts)
    if not reference:
        return Material(setup, made, None, [], rates, warnings, skipped(made.embedded))
    for problem in pair_sounds(generated, reference).problems():
        warnings.append(setup.differ(problem, "Rename, add or remove files."))
    real = load_set(reference, "Embedding references", setup, rates)
    pairs = pair_sounds(made.sounds, real.sounds).pairs
    warnings += _overlap(made, real)
    return Material(setup, made, real, pairs, rates, warnings, skipped(made.embedded, real.embedded))


def _overlap(made: SoundSet, real: SoundSet) -> list[str]:
    references = dict(zip(real.embedded.digests, real.paths, strict=True))
    copies = [path for path, digest in zip(made.paths, made.embedded.digests, strict=True) if digest in references]
    if not copies:
        return []
    more = f" and {len(copies) - MOST_NAMED} more" if len(copies) > MOST_NAMED else ""
    named = ", ".join(str(path) for path in copies[:MOST_NAMED])
    return [
        f"{len(copies)} of {len(made)} generated files are byte for byte among the references ({named}{more}): "
        "distances to these references say nothing."
    ]
