"""Fit the calibration of `clapgen locate` for a model without a frame head, and check it on other scenes.

    python benchmarks/frame_calibration.py MANIFEST [--model default] [--scenes 200] [--split val] [--label-field KEY]

Composes scenes of the labelled clips of a split, asks for what is in them and for absent sounds, and fits the log-odds
`scale * cosine + bias` on half of the scenes, with frames in and out of events weighing the same. The threshold is the
one with the highest segment F1 (by intersection) on that half. Prints the constants for
`clapgen/localisation/probabilities.py` and, on the other half, the expected calibration error and the F1. For a model
with a frame head only the threshold is chosen.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from clapgen.embedders import load_clap
from clapgen.evaluation.context import EvaluationContext
from clapgen.evaluation.localisation import LocalisationOptions, answers_of
from clapgen.evaluation.localised_metrics import Curves
from clapgen.evaluation.localised_sounds import RawCosine
from clapgen.evaluation.simulated_scenes import composed_sounds
from clapgen.localisation.frames import frame_embedder
from clapgen.localisation.probabilities import QUERY_TEMPLATE, CosineProbability, frame_probability
from clapgen.localisation.segments import SegmentRules
from clapgen.metrics.embeddings.calibration import fit_sigmoid
from clapgen.metrics.localisation.frames import balanced_calibration_error, frame_auroc, mean_of_absent
from clapgen.metrics.localisation.segments import COLLAR, Counts


def main() -> None:
    options = parse()
    context = EvaluationContext(load_clap(options.model), seed=options.seed)
    sounds, _, _ = composed_sounds(
        options.manifest, options.scenes, context, label_field=options.label_field, split=options.split
    )
    has_head = getattr(context.clap, "frame_head", None) is not None
    rule = frame_probability(context.clap) if has_head else RawCosine()
    answers, _ = answers_of(
        sounds, context, LocalisationOptions(), QUERY_TEMPLATE, [(frame_embedder(context.clap), rule)]
    )
    sides = [Curves(answers[0][side::2], SegmentRules(0.5), COLLAR) for side in (0, 1)]
    scale = bias = float("nan")
    if not has_head:
        shares, truth = (
            np.concatenate([getattr(each, name) for each in sides[0].scored]) for name in ("scores", "truth")
        )
        audible = shares > 0  # 0 is silence
        scale, bias = fit_sigmoid(*balanced(2 * shares[audible] - 1, truth[audible]))
        sides = [calibrated(side, scale, bias) for side in sides]
    best = max(sides[0].sweep, key=lambda found: sum(found.intersection.values(), Counts()).f1 or 0.0)
    clap = context.clap
    print(f'"{clap.hash}": {CosineProbability(round(scale, 2), round(bias, 2), round(best.threshold, 2))}')
    for name, side in zip(("fitted on", "checked on"), sides, strict=True):
        found = side.at(best.threshold)
        areas = frame_auroc(side.scored)
        total = sum(found.intersection.values(), Counts())
        print(
            f"{name} {len(side.answers)} scenes: ECE {balanced_calibration_error(side.scored):.3f}, frame AUROC "
            f"{areas.macro:.3f}, absent {mean_of_absent(side.scored):.3f}, segment F1 "
            f"{total.f1:.3f}, absent sounds found {found.alarmed / found.absent:.3f}"
        )


def balanced(cosines: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """As many frames in events as outside."""
    rng = np.random.default_rng(0)
    sides = [np.flatnonzero(truth == side) for side in (True, False)]
    chosen = np.concatenate([rng.choice(side, min(map(len, sides)), replace=False) for side in sides])
    return cosines[chosen], truth[chosen]


def calibrated(curves: Curves, scale: float, bias: float) -> Curves:
    def probability(shares: np.ndarray) -> np.ndarray:
        log_odds = scale * (2 * shares - 1) + bias
        return np.where(shares > 0, 1 / (1 + np.exp(-log_odds)), 0).astype(np.float32)

    return replace(curves, answers=[replace(each, curves=probability(each.curves)) for each in curves.answers])


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--model", default="default")
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--split", default="val")
    parser.add_argument("--label-field", default="labels")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
