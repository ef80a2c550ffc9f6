"""Measured calibrations of shipped models, by the hash of their CLAP."""

from __future__ import annotations

from typing import Any

from clapgen.errors import ClapgenError
from clapgen.metrics.embeddings.calibration import Calibration

CALIBRATIONS: dict[str, Calibration] = {}


def calibration_of(clap: Any) -> Calibration:
    """The calibration of a model. `ClapgenError` if it was not measured."""
    if clap.hash not in CALIBRATIONS:
        raise ClapgenError(
            f"--none and --independent need a calibration, which was not measured for the model {clap.name}; use the "
            "default model, or measure one with benchmarks/calibration.py."
        )
    return CALIBRATIONS[clap.hash]
