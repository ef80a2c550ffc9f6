"""Training objectives of the CLAP, one file each, found by name in `OBJECTIVES`."""

from pretrain.objectives.base import OBJECTIVES, BatchRow, ClapBatch, Objective, create_objective, options_of
from pretrain.objectives.distillation import Distillation
from pretrain.objectives.given_negatives import GivenNegatives
from pretrain.objectives.hard_negatives import HardNegatives
from pretrain.objectives.infonce import InfoNCE, SoftInfoNCE
from pretrain.objectives.modular import Modular
from pretrain.objectives.prompt_classification import PromptClassification
from pretrain.objectives.sigmoid import Sigmoid

__all__ = [
    "OBJECTIVES",
    "BatchRow",
    "ClapBatch",
    "Distillation",
    "GivenNegatives",
    "HardNegatives",
    "InfoNCE",
    "Modular",
    "Objective",
    "PromptClassification",
    "Sigmoid",
    "SoftInfoNCE",
    "create_objective",
    "options_of",
]
