"""Training objectives of the CLAP, one file each, found by name in `OBJECTIVES`."""

from pretrain.objectives.base import OBJECTIVES, BatchRow, ClapBatch, Objective
from pretrain.objectives.distillation import Distillation
from pretrain.objectives.infonce import InfoNCE, SoftInfoNCE
from pretrain.objectives.prompt_classification import PromptClassification
from pretrain.objectives.sigmoid import Sigmoid

__all__ = [
    "OBJECTIVES",
    "BatchRow",
    "ClapBatch",
    "Distillation",
    "InfoNCE",
    "Objective",
    "PromptClassification",
    "Sigmoid",
    "SoftInfoNCE",
]
