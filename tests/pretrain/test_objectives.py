"""Objectives: where they are minimal, what soft positives change, and their names."""

import pytest
import torch
from torch.nn import functional as F

from clapgen.data.manifest import Clip
from clapgen.errors import ClapgenError
from pretrain.data.captions import true_names
from pretrain.objectives import OBJECTIVES, BatchRow, ClapBatch, PromptClassification

SCALE = torch.tensor(10.0)


def loss_of(objective, audio, text, groups=None, scale=SCALE, **extra) -> torch.Tensor:
    objective = OBJECTIVES.create(objective) if isinstance(objective, str) else objective
    groups = torch.arange(len(audio)) if groups is None else groups
    return objective(ClapBatch(audio, text, scale, groups, extra=extra))


def pairs(count: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return tuple(F.normalize(torch.randn(count, 16, generator=generator), dim=-1) for _ in range(2))


@pytest.mark.parametrize("name", ["infonce", "soft-infonce", "sigmoid"])
def test_matching_pairs_cost_less_than_random_ones(name):
    audio, text = pairs()
    assert loss_of(name, audio, audio) < loss_of(name, audio, text)


def test_infonce_is_the_mean_of_both_cross_entropies():
    audio, text = pairs()
    logits = SCALE * audio @ text.T
    truth = torch.arange(8)
    expected = (F.cross_entropy(logits, truth) + F.cross_entropy(logits.T, truth)) / 2
    assert torch.allclose(loss_of("infonce", audio, text), expected)


def test_soft_positives_do_not_push_rows_of_one_recording_apart():
    audio, _ = pairs()
    audio = torch.cat([audio, audio])  # every recording twice
    groups = torch.arange(8).repeat(2)
    soft, hard = (loss_of(name, audio, audio, groups, 100 * SCALE) for name in ("soft-infonce", "infonce"))
    assert soft == pytest.approx(hard.item(), rel=0.2)
    audio = audio.clone().requires_grad_()
    gradient = {}
    for name in ("soft-infonce", "infonce"):
        (gradient[name],) = torch.autograd.grad(loss_of(name, audio, audio.detach(), groups), audio)
    toward_twin = (gradient["soft-infonce"] * audio.detach()).sum(-1)
    assert bool((toward_twin <= (gradient["infonce"] * audio.detach()).sum(-1) + 1e-6).all())


def test_soft_positives_without_twins_are_plain_infonce():
    audio, text = pairs()
    values = [loss_of(name, audio, text) for name in ("infonce", "soft-infonce")]
    assert torch.allclose(*values)


def test_sigmoid_equals_a_double_loop():
    audio, text = pairs(4)
    groups = torch.tensor([0, 1, 1, 2])
    objective = OBJECTIVES.create("sigmoid")
    expected = 0.0
    for i in range(4):
        for j in range(4):
            sign = 1 if groups[i] == groups[j] else -1
            expected -= F.logsigmoid(sign * (SCALE * audio[i] @ text[j] + objective.bias)) / 4
    assert torch.allclose(loss_of(objective, audio, text, groups), expected)


def test_an_unknown_objective_names_the_nearest():
    with pytest.raises(ClapgenError, match=r"unknown objective 'sigmiod'\. Did you mean 'sigmoid'"):
        OBJECTIVES.create("sigmiod")


def test_embeddings_of_all_processes_are_gathered_once_and_frames_computed_when_asked_for():
    audio, text = pairs()
    asked = []
    batch = ClapBatch(audio, text, SCALE, torch.arange(8), make_frames=lambda: asked.append(1) or audio[:, None])
    assert batch.all_audio is batch.all_audio and torch.equal(batch.all_text, text)
    assert not asked and batch.frames is batch.frames and asked == [1]


def clip(*labels: str, esc50_class: str | None = None) -> Clip:
    return Clip(path=None, labels=list(labels), extra={"esc50_class": esc50_class} if esc50_class else {})


def prompts_of(*clips: Clip) -> PromptClassification:
    objective = PromptClassification()
    objective.prepare(clips, "esc50_class")
    return objective


def test_true_names_of_a_clip_do_not_compete():
    objective = prompts_of(clip("bark"), clip("dog"), clip("rain"))
    assert objective.names == ["bark", "dog", "rain"]
    rows = [BatchRow((clip("dog", "bark", esc50_class="dog"),), ""), BatchRow((clip("rain"), clip("dog")), "")]
    drawn = objective.draw(rows, torch.Generator())
    assert all(name in prompt.lower() for name, prompt in zip(objective.names, drawn["prompts"], strict=True))
    truth = drawn["truth"]
    assert truth.tolist() == [[0.5, 0.5, 0.0], [0.0, 0.5, 0.5]]
    axes = torch.eye(3)
    both = F.normalize(axes[0] + axes[1], dim=0)[None]
    right = loss_of(objective, both, both, scale=100 * SCALE, prompts=axes, truth=truth[:1])
    assert right < 1e-3  # as near to "dog" as to "bark": nothing left to learn
    assert loss_of(objective, axes[2:], axes[2:], prompts=axes, truth=truth[:1]) > 5


def test_a_clip_without_labels_costs_nothing():
    objective, one = prompts_of(clip("dog")), torch.ones(1, 1)
    truth = objective.truth([[clip()]])
    assert true_names(clip()) == [] and float(loss_of(objective, one, one, prompts=one, truth=truth)) == 0.0


def test_without_any_names_there_is_no_loss():
    objective = prompts_of(clip())
    assert objective.draw([BatchRow((clip(),), "")], torch.Generator()) == {} == loss_of(objective, *pairs())
