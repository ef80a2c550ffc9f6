"""Measured calibrations of shipped models, by the hash of their CLAP."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from clapgen.data.text import DEFAULT_TEMPLATE
from clapgen.errors import ClapgenError
from clapgen.metrics.embeddings.calibration import Calibration

if TYPE_CHECKING:
    from torch import Tensor

NONE = "none of these"

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


def answer_probabilities(
    clap: Any, none: bool, independent: bool, template: str
) -> tuple[Callable[[Tensor], Sequence[float]], str]:
    """A function from the cosines (labels,) of a sound to the probabilities of the labels, and a note or "".

    Args:
        none: a last probability is that none of the labels applies.
        independent: each label is judged by itself.
        template: of the prompts; the note says if another one was calibrated.

    Raises:
        ClapgenError: both, or the model has no calibration.
    """
    if none and independent:
        raise ClapgenError("--none chooses one answer, --independent judges each label by itself; give one of them.")
    if not none and not independent:
        scale = clap.logit_scale.item()
        return lambda cosines: (scale * cosines).softmax(0).tolist(), ""
    calibration = calibration_of(clap)
    note = ""
    if template != calibration.template:
        note = f"the probabilities are calibrated for the template '{calibration.template}'."
    calibrated = calibration.with_none if none else calibration.independent
    return lambda cosines: calibrated(cosines[None].numpy())[0].tolist(), note
