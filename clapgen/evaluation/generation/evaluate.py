"""Generated sounds evaluated: do they follow their prompts, resemble real sounds, vary, and differ from training?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clapgen.data.manifest import Clip
from clapgen.data.text import DEFAULT_TEMPLATE
from clapgen.embedders import Embedder
from clapgen.errors import ClapgenError
from clapgen.evaluation.context import EvaluationContext, describe
from clapgen.evaluation.generation.alignment import alignment
from clapgen.evaluation.generation.data import Findings, GenerationData, load_generation_data
from clapgen.evaluation.generation.distances import degenerate_outputs, distances, nearest_sounds
from clapgen.evaluation.generation.posteriors import KL, posterior_labels, posteriors
from clapgen.evaluation.generation.tagging import tagging
from clapgen.evaluation.sounds import read_sounds, use_label_field, with_prompts, with_sidecar_prompts
from clapgen.report.model import Report, Row
from clapgen.tagger import Tagger

TRAINING_SPLIT = "train"


def evaluate_generation(
    generated: str | Path,
    context: EvaluationContext,
    *,
    reference: str | Path | None = None,
    prompts: str | Path | None = None,
    training: str | Path | None = None,
    labels: Sequence[str] | None = None,
    template: str = DEFAULT_TEMPLATE,
    label_field: str | None = None,
    split: str | None = None,
    embedder: Embedder | None = None,
    tagger: Tagger | None = None,
    nearest_k: int = 5,
    per_clip_fad: bool = False,
) -> Report:
    """Measure generated sounds in every way that the given references, prompts and training clips allow.

    Args:
        generated: a folder, a manifest or a file of generated sounds.
        reference: a folder or manifest of real sounds; those of `split` if it has splits.
        prompts: see `with_prompts`; by default, the sidecars of `clapgen generate` and the captions of a manifest.
        training: a folder or manifest of the generator's training clips, to look for copies; only the split "train" of
            a manifest that has one.
        labels: the classes of the zero-shot posterior; by default the labels of prompts and references, or ESC-50's.
        template: the sentence that a label is put into.
        label_field: key of the manifest that holds a clip's class, instead of "labels".
        embedder: for FAD, KAD, precision, recall, density, coverage and diversity; the CLAP if None.
        tagger: a second judge, which shares nothing with the CLAP.
        nearest_k: of precision, recall, density and coverage.
        per_clip_fad: also measure the FAD of each clip's frames.

    Raises:
        ClapgenError: an input cannot be used; no file could be read; strict, and there is anything to warn about.
    """
    if reference is None and (split or per_clip_fad):
        option = "--split selects clips of" if split else "--per-clip-fad measures a distance to"
        raise ClapgenError(f"{option} --reference; give it too.")
    clips, references, problems = _read(generated, reference, prompts, label_field, split, context.notes)
    for problem in problems:
        context.warn_or_raise(problem, "Complete the prompts.")
    trained_on = None if training is None else _training_clips(training, context.notes)
    data = load_generation_data(clips, references, trained_on, context, embedder, per_clip_fad)
    names, origin = posterior_labels(data, labels)
    found = alignment(data)
    found += distances(data, nearest_k, per_clip_fad)
    found += posteriors(data, names, template)
    found += nearest_sounds(data)
    if tagger is not None:
        found += tagging(data, tagger)
    degenerate = degenerate_outputs(data)
    against = f" against {len(data.reference)} references" if data.reference else ""
    settings = _settings(data, embedder, names, origin, template) | found.settings
    return context.report(
        "generation",
        f"Generation: {len(data.generated)} generated sounds{against}",
        found.metrics,
        clips=_rows(data, found + degenerate),
        settings=settings,
        warnings=degenerate.warnings + problems + data.warnings + found.warnings,
        skipped=data.skipped,
        lower_is_better=[KL, "FAD"],
        sounds={str(path) for each in (data.generated, data.reference, data.training) if each for path in each.paths},
    )


def _read(
    generated: str | Path,
    reference: str | Path | None,
    prompts: str | Path | None,
    label_field: str | None,
    split: str | None,
    notes: list[str],
) -> tuple[list[Clip], list[Clip] | None, list[str]]:
    """Generated and reference clips with their prompts and labels, and which prompts did not match."""
    clips = read_sounds(generated, notes=notes)
    references = [] if reference is None else read_sounds(reference, split, notes)
    labelled = use_label_field([*clips, *references], label_field)
    clips, references = labelled[: len(clips)], labelled[len(clips) :]
    problems: list[str] = []
    if prompts is None:
        clips = with_sidecar_prompts(clips)
    else:
        clips, problems = with_prompts(clips, prompts)
    return clips, None if reference is None else references, problems


def _training_clips(source: str | Path, notes: list[str]) -> list[Clip]:
    """Only the training split where there is one: held-out clips that are also references would look like copies."""
    clips = read_sounds(source, notes=notes)
    return [clip for clip in clips if clip.split == TRAINING_SPLIT] or clips


def _settings(
    data: GenerationData, embedder: Embedder | None, labels: Sequence[str], origin: str, template: str
) -> dict[str, Any]:
    context = data.context
    settings = context.describe_model()
    if embedder is not None:
        settings["distances by"] = "; ".join(str(value) for value in describe(embedder).values())
    sets = {"generated": data.generated, "reference": data.reference}
    settings["content"] = {name: each.summary for name, each in sets.items() if each is not None}
    settings["sample rates"] = data.rates.summary
    limit = data.rates.band_limit
    settings["band limit"] = "none" if limit is None else f"{limit} Hz, both sets"
    if data.reference is not None:
        settings["pairs"] = f"{len(data.pairs)}, by name"
    settings["posterior"] = (
        f"softmax over {len(labels)} labels ({origin}), template '{template}', "
        f"temperature {1 / context.logit_scale:.4g}; KL in the direction reference ‖ generated"
    )
    settings["seed"] = context.seed
    if data.training is not None:
        settings["training clips"] = data.training.summary
    return settings


def _rows(data: GenerationData, found: Findings) -> list[Row]:
    return [
        {"path": str(clip.path), **{name: values.get(index) for name, values in found.columns.items()}}
        for index, clip in enumerate(data.generated.clips)
    ]
