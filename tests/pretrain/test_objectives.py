"""Objectives: what is minimal at the truth, what soft positives change, and names."""

import pytest
import torch
from torch.nn import functional as F

from clapgen.data.manifest import Clip
from clapgen.errors import ClapgenError
from pretrain.objectives.base import OBJECTIVES, make_objective
from pretrain.objectives.prompt_classification import PromptClassification, true_names

SCALE = torch.tensor(10.0)


def pairs(count: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return tuple(F.normalize(torch.randn(count, 16, generator=generator), dim=-1) for _ in range(2))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_matching_pairs_cost_less_than_strangers(name):
    audio, text = pairs()
    objective, groups = make_objective(name), torch.arange(8)
    assert objective(audio, audio, SCALE, groups) < objective(audio, text, SCALE, groups)


def test_infonce_is_the_mean_of_both_cross_entropies():
    audio, text = pairs()
    logits = SCALE * audio @ text.T
    truth = torch.arange(8)
    expected = (F.cross_entropy(logits, truth) + F.cross_entropy(logits.T, truth)) / 2
    assert torch.allclose(make_objective("infonce")(audio, text, SCALE, torch.arange(8)), expected)


def test_soft_positives_do_not_push_rows_of_one_recording_apart():
    audio, _ = pairs()
    audio = torch.cat([audio, audio])  # every recording twice
    groups = torch.arange(8).repeat(2)
    soft, hard = (make_objective(name)(audio, audio, 100 * SCALE, groups) for name in ("soft-infonce", "infonce"))
    assert soft == pytest.approx(hard.item(), rel=0.2)
    audio = audio.clone().requires_grad_()
    gradient = {}
    for name in ("soft-infonce", "infonce"):
        (gradient[name],) = torch.autograd.grad(make_objective(name)(audio, audio.detach(), SCALE, groups), audio)
    toward_twin = (gradient["soft-infonce"] * audio.detach()).sum(-1)
    assert bool((toward_twin <= (gradient["infonce"] * audio.detach()).sum(-1) + 1e-6).all())


def test_soft_positives_without_twins_are_plain_infonce():
    audio, text = pairs()
    values = [make_objective(name)(audio, text, SCALE, torch.arange(8)) for name in ("infonce", "soft-infonce")]
    assert torch.allclose(*values)


def test_sigmoid_equals_a_double_loop():
    audio, text = pairs(4)
    groups = torch.tensor([0, 1, 1, 2])
    objective = make_objective("sigmoid")
    expected = 0.0
    for i in range(4):
        for j in range(4):
            sign = 1 if groups[i] == groups[j] else -1
            expected -= F.logsigmoid(sign * (SCALE * audio[i] @ text[j] + objective.bias)) / 4
    assert torch.allclose(objective(audio, text, SCALE, groups), expected)


def test_an_unknown_objective_names_the_nearest():
    with pytest.raises(ClapgenError, match="sigmoid"):
        make_objective("sigmiod")


def clip(*labels: str, esc50_class: str | None = None) -> Clip:
    return Clip(path=None, labels=list(labels), extra={"esc50_class": esc50_class} if esc50_class else {})


def test_true_names_of_a_clip_do_not_compete():
    prompts = PromptClassification(["bark", "dog", "rain"])
    truth = prompts.truth([[clip("dog", "bark", esc50_class="dog")], [clip("rain"), clip("dog")]], "esc50_class")
    assert truth.tolist() == [[0.5, 0.5, 0.0], [0.0, 0.5, 0.5]]
    axes = torch.eye(3)
    both = F.normalize(axes[0] + axes[1], dim=0)[None]
    assert prompts(both, axes, 100 * SCALE, truth[:1]) < 1e-3  # as near to "dog" as to "bark": nothing left to learn
    assert prompts(axes[2:], axes, SCALE, truth[:1]) > 5


def test_a_clip_without_labels_costs_nothing():
    prompts = PromptClassification(["dog"])
    truth = prompts.truth([[clip()]], "esc50_class")
    assert true_names(clip()) == [] and float(prompts(torch.ones(1, 1), torch.ones(1, 1), SCALE, truth)) == 0.0
