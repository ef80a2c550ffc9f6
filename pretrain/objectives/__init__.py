"""Training objectives of the CLAP, one file each, found by name in `OBJECTIVES`."""

from pretrain.objectives.absence import Absence
from pretrain.objectives.base import (
    OBJECTIVES,
    BatchRow,
    ClapBatch,
    Objective,
    create_objective,
    create_objectives,
    options_of,
)
from pretrain.objectives.distillation import Distillation, EmbeddingDistillation
from pretrain.objectives.first_and_last import FirstAndLast
from pretrain.objectives.frames import Frames
from pretrain.objectives.given_negatives import GivenNegatives
from pretrain.objectives.graded import Graded
from pretrain.objectives.hard_negatives import HardNegatives
from pretrain.objectives.infonce import InfoNCE, SoftInfoNCE
from pretrain.objectives.modular import Modular
from pretrain.objectives.prompt_classification import PromptClassification
from pretrain.objectives.sigmoid import Sigmoid
from pretrain.objectives.single_or_many import SingleOrMany
from pretrain.objectives.temporal import Temporal
from pretrain.objectives.text_views import TextViews

__all__ = [
    "OBJECTIVES",
    "Absence",
    "BatchRow",
    "ClapBatch",
    "Distillation",
    "EmbeddingDistillation",
    "FirstAndLast",
    "Frames",
    "GivenNegatives",
    "Graded",
    "HardNegatives",
    "InfoNCE",
    "Modular",
    "Objective",
    "PromptClassification",
    "Sigmoid",
    "SingleOrMany",
    "SoftInfoNCE",
    "Temporal",
    "TextViews",
    "create_objective",
    "create_objectives",
    "options_of",
]
