"""Measured calibrations of shipped models, by the hash of their CLAP."""

from __future__ import annotations

from typing import Any

from clapgen.data.text import DEFAULT_TEMPLATE
from clapgen.errors import ClapgenError
from clapgen.metrics.embeddings.calibration import Calibration

# python benchmarks/calibration.py MANIFEST --leave-out clapgen/models/default/ATTRIBUTION.tsv --clips 4000, 2026-11-27:
# fitted on 1,842 training clips that the model was not trained on, half of them everyday sounds like its training data,
# half instruments and game sounds. On 1,445 held-out clips:
# --independent: ECE 0.042, 76% right, area under the ROC curve 0.85 (everyday sounds: ECE 0.092, too cautious, 89%,
# 0.96; the others: 0.095, too sure, 68%, 0.77).
# --none with 3, 5, 10, 20, 50 labels, where "none" is the right answer for half of the clips: ECE 0.055, 0.047, 0.028,
# 0.054, 0.030; 68, 67, 65, 61, 56% right.
CALIBRATIONS: dict[str, Calibration] = {
    "510cd0a189ad": Calibration(DEFAULT_TEMPLATE, scale=7.36, bias=-1.65, choice_scale=9.52, none_bias=2.13),
}


def calibration_of(clap: Any) -> Calibration:
    """The calibration of a model. `ClapgenError` if it was not measured."""
    if clap.hash not in CALIBRATIONS:
        raise ClapgenError(
            f"--none and --independent need a calibration, which was not measured for the model {clap.name}; use the "
            "default model, or measure one with benchmarks/calibration.py."
        )
    return CALIBRATIONS[clap.hash]
