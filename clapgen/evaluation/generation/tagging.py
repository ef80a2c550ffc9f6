"""What a tagger hears in generated sounds: a second judge beside the CLAP, which steered them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from clapgen.data.text import label_key
from clapgen.embedders.cache import Array
from clapgen.evaluation.context import try_metric
from clapgen.evaluation.generation.data import Findings, GenerationData, SoundSet, column
from clapgen.metrics.embeddings.clap_score import bootstrap_interval
from clapgen.metrics.embeddings.fad import frechet_audio_distance
from clapgen.metrics.embeddings.kad import kernel_audio_distance
from clapgen.report.model import Metric
from clapgen.tagger import Tagger
from clapgen.tagger.model import top_k

SHOWN = (1, 3, 10)


def tagging(data: GenerationData, tagger: Tagger) -> Findings:
    """Top-1, top-3 and top-10 accuracy of the tagger on generated sounds and on the references; FAD and KAD.

    The classes are the labels of all clips that have one label which the tagger knows.
    """
    known = {label_key(label) for label in tagger.labels}
    sets = {"generated": data.generated, "references": data.reference}
    labelled = {name: _labelled(sounds, known) for name, sounds in sets.items() if sounds is not None}
    classes = sorted({label for rows in labelled.values() for label in rows.values()})
    found = Findings(settings={"tagger": f"{tagger.name} {tagger.hash}, {len(classes)} classes"})
    features: dict[str, Array] = {}
    for name, rows in labelled.items():
        sounds = sets[name]
        assert sounds is not None
        embedded = data.context.embed(
            sounds.paths, f"Tagging {name}", tagger, band_limit=data.rates.band_limit
        ).embeddings
        features[name] = embedded
        found += _accuracy(name, embedded, rows, classes, tagger, data.context.seed)
    if "references" in features:
        found += Findings(_distances(features["generated"], features["references"]))
    return found


def _labelled(sounds: SoundSet, known: set[str]) -> dict[int, str]:
    """The label of each clip that has one, if the tagger knows it."""
    keys = {row: label_key(clip.labels[0]) for row, clip in enumerate(sounds.clips) if len(clip.labels) == 1}
    return {row: key for row, key in keys.items() if key in known}


def _accuracy(
    name: str, features: Array, rows: dict[int, str], classes: Sequence[str], tagger: Tagger, seed: int
) -> Findings:
    metrics = []
    if len(classes) < 2 or not rows:
        note = "no clips with one label that the tagger knows: labels come from manifests, prompt files and sidecars"
        return Findings([Metric(f"Tagger top-{k}, {name}", None, 0, scale="0 to 1", note=note) for k in SHOWN])
    logits = tagger.logits(features[list(rows)], classes)
    truth = [classes.index(label) for label in rows.values()]
    for k in SHOWN:
        right = top_k(logits, truth, k).astype(np.float64)
        note = f"its label is among the {k} of {len(classes)} classes that the tagger finds most likely"
        better = True if name == "generated" else None
        interval = bootstrap_interval(right, seed=seed) if len(right) > 1 else None
        title = f"Tagger top-{k}, {name}"
        metrics.append(Metric(title, float(right.mean()), len(right), interval, "0 to 1", better, note))
    if name != "generated":
        return Findings(metrics)
    heard = [classes[place] for place in logits.argmax(1).tolist()]
    return Findings(metrics, {"tagger hears": column(list(rows), heard)})


def _distances(generated: Array, reference: Array) -> list[Metric]:
    n, note = len(generated), f"against {len(reference)} references, on the tagger's features"

    def kernel() -> Metric:
        found = kernel_audio_distance(generated, reference)
        return Metric("KAD by the tagger", found.value, n, None, f"MMD² × {found.scale:g}", False, note)

    fad = try_metric(
        "FAD by the tagger", n, lambda: frechet_audio_distance(generated, reference), scale="0 or more",
        higher_is_better=False, note=note,
    )  # fmt: skip
    return [fad, try_metric("KAD by the tagger", n, kernel, higher_is_better=False)]
