"""Hard, given and modular negatives: each loss against one written with loops, and what it is for."""

import math

import pytest
import torch
from objective_batches import (
    DIM,
    SOME_GROUPS,
    batch_of,
    draw,
    embedding,
    logit,
    random,
    scene_rows,
    sequence,
    some_rows,
)

from pretrain.objectives import BatchRow, ClapBatch, create_objective


def softmax_loss(right: float, all_logits: list[float]) -> float:
    return math.log(sum(math.exp(logit) for logit in all_logits)) - right


def text_to_audio(batch: ClapBatch) -> float:
    """Soft InfoNCE from text to audio, by loops."""
    total, rows = 0.0, range(len(batch.text))
    for i in rows:
        logits = [logit(batch.text[i], batch.audio[j]) for j in rows]
        positives = [j for j in rows if batch.groups[j] == batch.groups[i]]
        total += sum(softmax_loss(logits[p], logits) for p in positives) / len(positives)
    return total / len(rows)


@pytest.mark.parametrize("beta", [0.0, 0.15, 1.0])
def test_hard_negatives_equal_loops(beta):
    objective = create_objective("hard-negatives", {"beta": beta})
    batch = batch_of(objective)
    expected = 0.0
    for one, other in ((batch.audio, batch.text), (batch.text, batch.audio)):
        for i in range(8):
            logits = [logit(one[i], other[j]) for j in range(8)]
            positives = [j for j in range(8) if SOME_GROUPS[j] == SOME_GROUPS[i]]
            terms = []
            for j in range(8):
                others = sum(math.exp(beta * logits[k]) for k in range(8) if k != j)
                weight = 1.0 if j in positives else 7 * math.exp(beta * logits[j]) / others
                terms.append(weight * math.exp(logits[j]))
            expected += sum(math.log(sum(terms)) - logits[p] for p in positives) / len(positives) / 16
    assert float(objective(batch)) == pytest.approx(expected, rel=1e-5)


def test_without_hardness_negatives_weigh_the_same():
    plain, soft = create_objective("hard-negatives", {"beta": 0}), create_objective("soft-infonce")
    assert torch.allclose(plain(batch_of(plain)), soft(batch_of(soft)))


def test_a_larger_beta_moves_gradient_to_the_hardest_negative():
    text = torch.eye(4)
    text[1] = torch.tensor([0.8, 0.6, 0, 0])  # the sound of row 0 is nearer to it than to the other negatives
    shares = []
    for beta in (0.0, 1.0):
        texts = text.clone().requires_grad_()
        batch = ClapBatch(torch.eye(4), texts, torch.tensor(2.0), torch.arange(4))
        create_objective("hard-negatives", {"beta": beta})(batch).backward()
        push = texts.grad[1:, 0].abs()  # away from the sound of row 0
        shares.append(float(push[0] / push.sum()))
    assert shares[1] > shares[0] + 0.05


def test_very_large_logits_stay_finite():
    audio = random(8, DIM).requires_grad_()
    batch = ClapBatch(audio, audio.detach().flip(0), torch.tensor(100.0), torch.arange(8))
    loss = create_objective("hard-negatives", {"beta": 1})(batch)
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(audio.grad).all()


def test_given_negatives_equal_loops_and_are_in_their_own_row_only():
    objective = create_objective("given-negatives")
    batch = batch_of(objective)
    expected = 0.0
    for i, row in enumerate(batch.rows):
        in_batch = [logit(batch.audio[i], text) for text in batch.text]
        own = [n.caption for n in row.scene.negatives] if row.scene else []
        logits = in_batch + [logit(batch.audio[i], embedding(text)) for text in own]
        positives = [j for j in range(8) if SOME_GROUPS[j] == SOME_GROUPS[i]]
        expected += sum(softmax_loss(in_batch[p], logits) for p in positives) / len(positives) / 8
    assert float(objective(batch)) == pytest.approx((expected + text_to_audio(batch)) / 2, rel=1e-5)


def test_as_many_negatives_are_drawn_as_asked_for_and_each_once():
    drawn = draw(create_objective("given-negatives", {"count": 1}), some_rows())
    assert drawn["negatives_places"].shape == (8, 1)
    assert (drawn["negatives_places"] >= 0).flatten().tolist() == [True] * 4 + [False] * 4
    both = draw(create_objective("given-negatives"), some_rows()[:1])
    assert sorted(both["negatives"]) == ["dog, then siren", "rain, then dog"]
    assert both["negatives_places"][0].sort().values.tolist() == [-1, 0, 1]
    seeds = [draw(create_objective("given-negatives", {"count": 1}), some_rows()[:1], s)["negatives"] for s in range(9)]
    assert ["rain, then dog"] in seeds and ["dog, then siren"] in seeds


def test_a_batch_without_scenes_has_plain_losses():
    rows = [BatchRow(row.clips, row.caption) for row in some_rows()]
    given, soft = create_objective("given-negatives"), create_objective("soft-infonce")
    assert torch.allclose(given(batch_of(given, rows)), soft(batch_of(soft, rows)))
    strangers = list(range(8))
    modular, plain = create_objective("modular"), create_objective("infonce")
    assert torch.allclose(modular(batch_of(modular, rows, strangers)), plain(batch_of(plain, rows, strangers)))


@pytest.mark.parametrize("name", ["given-negatives", "modular"])
def test_a_sentence_that_is_nearly_true_costs_only_the_sound_it_belongs_to(name):
    objective = create_objective(name)
    batch = batch_of(objective)
    batch.audio = batch.audio.requires_grad_()
    batch.extra = {k: v.requires_grad_() if v.is_floating_point() else v for k, v in batch.extra.items()}
    objective(batch).backward()
    places = batch.extra["negatives_places"]
    wrong = int(places[0, 0])  # of row 0, and of no other
    assert (places == wrong).sum() == 1
    direction = batch.extra["negatives"].grad[wrong]
    along = batch.audio[0].detach() * (direction @ batch.audio[0].detach())
    assert torch.allclose(direction, along, atol=1e-7) and direction @ batch.audio[0].detach() > 0


def test_modular_contrast_equals_loops():
    objective = create_objective("modular", {"positives": 3, "negatives": 4})
    batch = batch_of(objective)
    positives, negatives = [], []
    for row in batch.rows:
        scene = row.scene
        others = [c for c in scene.captions if c != row.caption] if scene else []
        positives.append([embedding(text) for text in [row.caption, *others]])
        negatives.append([embedding(n.caption) for n in scene.negatives] if scene else [])
    assert [len(p) for p in positives] == [2, 2, 2, 2, 1, 1, 1, 1]
    expected = 0.0
    for i in range(8):
        others = [j for j in range(8) if SOME_GROUPS[j] != SOME_GROUPS[i]]
        against = [logit(batch.audio[i], text) for j in others for text in positives[j]]
        against += [logit(batch.audio[i], text) for text in negatives[i]]
        for text in positives[i]:
            right = logit(batch.audio[i], text)
            sounds = [logit(text, batch.audio[j]) for j in others]
            both = softmax_loss(right, [*against, right]) + softmax_loss(right, [*sounds, right])
            expected += both / len(positives[i]) / 16
    assert float(objective(batch)) == pytest.approx(expected, rel=1e-5)


def test_modular_contrast_is_small_once_order_is_understood_and_large_before():
    rows = scene_rows(sequence("dog", "rain"), 0)
    objective = create_objective("modular")
    batch = batch_of(objective, rows, [0, 1], scale=torch.tensor(50.0))
    order = torch.eye(DIM)[:2]
    ordered = dict.fromkeys(rows[0].scene.captions, order[0]) | dict.fromkeys(rows[1].scene.captions, order[1])
    losses = []
    for blind in (False, True):
        vectors = {text: order[0] if blind else vector for text, vector in ordered.items()}
        texts = draw(objective, rows)
        batch.extra = texts | {k: torch.stack([vectors.get(t, order[1] * 0) for t in texts[k]]) for k in ("captions",)}
        wrong = {rows[0].scene.negatives[0].caption: order[1], rows[1].scene.negatives[0].caption: order[0]}
        batch.extra["negatives"] = torch.stack([vectors.get(t, wrong.get(t, order[0] * 0)) for t in texts["negatives"]])
        batch.audio = order[[0, 0]] if blind else order
        batch.text = torch.stack([vectors[row.caption] for row in rows])
        losses.append(float(objective(batch)))
    assert losses[0] < 1e-6 and losses[1] > math.log(2)


@pytest.mark.parametrize("name", ["hard-negatives", "given-negatives", "modular"])
def test_a_batch_without_any_negatives_has_finite_gradients(name):
    objective = create_objective(name)
    audio, scale = random(2, DIM).requires_grad_(), torch.tensor(10.0, requires_grad=True)
    rows = [BatchRow(row.clips, row.caption) for row in some_rows()[:2]]
    loss = objective(batch_of(objective, rows, [0, 0], scale=scale, audio=audio))
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(audio.grad).all() and torch.isfinite(scale.grad)
