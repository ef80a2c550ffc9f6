"""Twins, one sound or several, wordings as views, and sounds that are absent."""

import math

import pytest
import torch
from objective_batches import (
    BELL,
    CAT,
    CLIPS,
    DIM,
    DOG,
    RAIN,
    SCALE,
    SOME_GROUPS,
    batch_of,
    clip,
    draw,
    embedding,
    logit,
    prepared,
    random,
    scene_rows,
    sequence,
    some_rows,
)
from torch.nn import functional as F

from clapgen.scenes.forms import HELD_OUT_WORDS
from pretrain.objectives import BatchRow, ClapBatch, TextViews
from pretrain.objectives.absence import DENIALS
from pretrain.objectives.single_or_many import MANY, ONE


def surprise(right: float, wrong: float) -> float:
    return math.log(math.exp(right) + math.exp(wrong)) - right


@pytest.mark.parametrize("beta", [0.5, 1.0, 3.0])
def test_temporal_contrast_equals_loops_over_the_rows_with_a_twin(beta):
    objective = prepared("temporal", {"beta": beta})
    batch = batch_of(objective)
    expected = 0.0
    for i, twin in enumerate([1, 0, 3, 2]):
        own = logit(batch.audio[i], batch.text[i])
        to_text, to_audio = logit(batch.audio[i], batch.text[twin]), logit(batch.audio[twin], batch.text[i])
        expected += surprise(own, to_text + math.log(beta)) + surprise(own, to_audio + math.log(beta))
    assert float(objective(batch)) == pytest.approx(expected / 8, rel=1e-5)


def test_without_twins_temporal_contrast_is_zero_and_has_a_gradient():
    audio = random(2, DIM).requires_grad_()
    loss = prepared("temporal")(ClapBatch(audio, audio, SCALE, torch.arange(2), [BatchRow((DOG,), "dog")] * 2))
    loss.backward()
    assert loss == 0 and torch.equal(audio.grad, torch.zeros(2, DIM))


def test_a_model_blind_to_order_pays_log_two_and_one_that_is_not_pays_nothing():
    rows, order = scene_rows(sequence("dog", "rain"), 0), torch.eye(DIM)[:2]
    temporal, scale = prepared("temporal"), torch.tensor(100.0)
    blind = ClapBatch(order[[0, 0]], order[[0, 0]], scale, torch.arange(2), rows)
    assert float(temporal(blind)) == pytest.approx(math.log(2))
    assert float(temporal(ClapBatch(order, order, scale, torch.arange(2), rows))) < 1e-6


def test_twins_nearer_than_bfloat16_can_tell_are_told_apart_under_autocast():
    rows, twins = scene_rows(sequence("dog", "rain"), 0), torch.eye(DIM)[:2] * 0.02
    vectors = F.normalize(torch.ones(DIM) + twins, dim=-1)
    batch = ClapBatch(vectors, vectors, torch.tensor(100.0), torch.arange(2), rows)
    exact = float(prepared("temporal")(batch))
    with torch.autocast("cpu", torch.bfloat16):
        assert float(prepared("temporal")(batch)) == pytest.approx(exact, abs=1e-6)
    assert exact < math.log(2) - 1e-4


def test_one_or_many_is_known_of_mixtures_scenes_and_clips_of_one_name():
    barking = clip("dog", "bark")
    objective = prepared("single-or-many", clips=[*CLIPS, barking])
    rows = [*some_rows(), BatchRow((barking,), "a dog barks"), BatchRow((DOG, DOG), "two dogs")]
    drawn = draw(objective, rows)
    assert drawn["many"].tolist() == [1, 1, 1, 1, 0, 1, 0, 0, -1, -1]
    assert drawn["sentences"][0] in ONE and drawn["sentences"][1] in MANY
    batch = batch_of(objective, rows)
    one, many = batch.extra["sentences"]
    expected = 0.0
    for audio, several in zip(batch.audio[:8], drawn["many"].tolist()[:8], strict=True):
        right, wrong = (many, one) if several else (one, many)
        expected += surprise(logit(audio, right), logit(audio, wrong)) / 8
    assert float(objective(batch)) == pytest.approx(expected, rel=1e-5)


@pytest.fixture
def numbered(monkeypatch):
    """Paraphrases are the caption and a number."""

    def paraphrases(caption: str, count: int, generator: torch.Generator) -> list[str]:
        return [f"{caption} ({number})" for number in range(count)]

    monkeypatch.setattr("pretrain.objectives.text_views.paraphrases", paraphrases)


def contrast(one: torch.Tensor, other: torch.Tensor) -> float:
    """Soft InfoNCE by loops, in both directions."""
    total = 0.0
    for rows, columns in ((one, other), (other, one)):
        for i in range(8):
            logits = [logit(rows[i], column) for column in columns]
            positives = [j for j in range(8) if SOME_GROUPS[j] == SOME_GROUPS[i]]
            log_sum = math.log(sum(map(math.exp, logits)))
            total += sum(log_sum - logits[p] for p in positives) / len(positives) / 16
    return total


def test_text_views_equal_loops_over_views_and_pairs_of_views(numbered):
    objective = TextViews(count=2, consistency=0.5, captions=False)
    batch = batch_of(objective)
    first, second = (torch.stack([embedding(f"{row.caption} ({n})") for row in batch.rows]) for n in (0, 1))
    views = [batch.text, first, second]
    terms = objective(batch)
    assert float(terms["audio"]) == pytest.approx(sum(contrast(batch.audio, view) for view in views) / 3, rel=1e-5)
    pairs = contrast(views[0], first) + contrast(views[0], second) + contrast(first, second)
    assert float(terms["text"]) == pytest.approx(0.5 * pairs / 3, rel=1e-5)


def test_the_last_view_is_another_caption_of_the_scene_or_clip_if_there_is_one(numbered):
    two = clip("dog", captions=["A dog barks.", "Barking."])
    rows = [*scene_rows(sequence("dog", "rain"), 0), BatchRow((two,), "A dog barks."), BatchRow((CAT,), "a cat")]
    mixture = BatchRow((two, RAIN), "A dog barks and rain.")  # the captions of its clips are half of the truth
    drawn = draw(TextViews(), [*rows, mixture])
    others = ["rain after dog", "dog after rain", "Barking.", "a cat (1)", "A dog barks and rain. (1)"]
    assert drawn["view_2"] == others
    assert drawn["view_1"] == [f"{row.caption} (0)" for row in [*rows, mixture]]


def test_paraphrases_of_the_package_are_the_default():
    drawn = draw(prepared("text-views", {"captions": False}), [BatchRow((DOG,), "A dog barks in the rain.")])
    assert len({"A dog barks in the rain.", *drawn["view_1"], *drawn["view_2"]}) == 3


def test_absence_equals_loops_and_leaves_out_rows_without_names():
    rows = [*some_rows(), BatchRow((clip(captions=["hum"]),), "hum")]
    objective = prepared("absence", {"share": 1}, clips=[*CLIPS, rows[-1].clips[0]])
    texts = draw(objective, rows)
    assert [int(place) for place in texts["absent_places"][:, 0]][-1] == -1
    batch = batch_of(objective, rows)
    denial = added = 0.0
    for i in range(8):
        own = {k: embedding(texts[k][texts[f"{k}_places"][i, 0]]) for k in ("absent", "denied", "claimed", "added")}
        logits = {kind: logit(batch.audio[i], vector) for kind, vector in own.items()}
        denial += surprise(logits["absent"], logits["denied"]) + surprise(logits["absent"], logits["claimed"])
        added += surprise(logit(batch.audio[i], batch.text[i]), logits["added"])
    terms = objective(batch)
    assert float(terms["denial"]) == pytest.approx(denial / 16, rel=1e-5)
    assert float(terms["added"]) == pytest.approx(added / 8, rel=1e-5)


def test_only_sounds_that_are_certainly_absent_are_called_absent():
    clips = [clip("dog"), clip("dog bark"), clip("puppy"), clip("cat", captions=["A cat while a bell rings."]), BELL]
    objective = prepared("absence", {"share": 1}, clips=clips)
    said = []
    for seed in range(60):
        rows = [BatchRow((clips[0],), "a dog"), BatchRow((clips[3],), "a cat")]
        texts = draw(objective, rows, seed)
        said.append([texts["absent"][texts["absent_places"][row, 0]].lower() for row in (0, 1)])
        assert all("dog" in text.lower() or "cat" in text.lower() for text in texts["denied"])
    of_dog, of_cat = map(set, zip(*said, strict=True))
    assert not any(word in text.replace("a dog", "") for text in of_dog for word in ("dog", "puppy"))
    assert any("cat" in text for text in of_dog) and any("bell" in text for text in of_dog)
    assert not any("bell" in text for text in of_cat) and any("dog" in text for text in of_cat)


def test_names_that_are_often_found_together_are_not_called_absent_of_each_other():
    clips = [clip("wind"), *[clip("rain", "wind")] * 2, *[clip("rain")] * 9, *[clip("dog")] * 30, clip("dog", "wind")]
    objective = prepared("absence", {"share": 1}, clips=clips)
    denied = {name: set() for name in ("rain", "dog")}
    for seed in range(20):
        for name, found in denied.items():
            [sentence] = draw(objective, [BatchRow((clip(name),), "-")], seed)["absent"]
            found |= {word for word in ("rain", "wind", "dog") if word in sentence.lower()}
    assert denied == {"rain": {"dog"}, "dog": {"rain", "wind"}}  # one dog in 31 barks in the wind


def test_a_share_of_the_rows_is_asked_for_what_is_absent():
    rows = [BatchRow((DOG,), "dog")] * 200
    counts = {}
    for share in (0.0, 0.3, 1.0):
        counts[share] = int((draw(prepared("absence", {"share": share}), rows)["absent_places"] >= 0).sum())
    assert counts[0.0] == 0 and 40 <= counts[0.3] <= 80 and counts[1.0] == 200


def test_absence_is_said_in_the_same_words_of_both_sounds():
    objective = prepared("absence", {"share": 1}, clips=[DOG, RAIN])
    seen = set()
    for seed in range(200):
        texts = draw(objective, [BatchRow((DOG,), "Barking.")], seed)
        absent, denied, claimed, added = (texts[kind][0] for kind in ("absent", "denied", "claimed", "added"))
        assert absent.lower() == denied.lower().replace("dog", "rain")
        assert claimed != absent and "rain" in claimed.lower()
        assert added.startswith("Barking ") and "rain" in added.lower()
        seen.add(claimed)
    assert len(seen) == len(DENIALS)


def test_no_denial_has_a_word_that_is_held_out_for_evaluation():
    said = [sentence.lower() for pair in DENIALS for sentence in pair]
    assert not [sentence for sentence in said if any(word in sentence for word in HELD_OUT_WORDS)]


def test_one_label_alone_has_nothing_absent():
    objective = prepared("absence", {"share": 1}, clips=[DOG])
    batch = batch_of(objective, [BatchRow((DOG,), "dog")] * 2)
    assert {name: float(term) for name, term in objective(batch).items()} == {"denial": 0.0, "added": 0.0}


def ordered(first: str, last: str) -> torch.Tensor:
    """An embedding that holds what comes first in its first half, and what comes last in its second."""
    axes = {"dog": 0, "rain": 1, "cat": 2, "bell": 3}
    half = torch.eye(DIM // 2)
    return F.normalize(torch.cat([half[axes[first]], half[axes[last]]]), dim=0)


def test_first_and_last_equals_a_loop_over_the_ends_of_sequences():
    objective = prepared("first-and-last")
    torch.nn.init.normal_(objective.maps["last"].weight, generator=torch.Generator().manual_seed(3))
    batch = batch_of(objective)
    queries = draw(objective, batch.rows)["queries"]
    numbers = {
        name: next(n for n, query in enumerate(queries) if name in query.lower())
        for name in ("dog", "rain", "cat", "bell")
    }
    ends = [("dog", "rain"), ("rain", "dog"), ("cat", "bell"), ("bell", "cat")]
    for side, embeddings in (("audio", batch.audio), ("text", batch.text)):
        expected = 0.0
        for row, names in enumerate(ends):
            for place, name in zip(("first", "last"), names, strict=True):
                mapped = F.normalize(objective.maps[place].weight.detach() @ embeddings[row], dim=0)
                logits = [math.exp(logit(mapped, query)) for query in batch.extra["queries"]]
                expected -= math.log(logits[numbers[name]] / sum(logits))
        assert float(objective(batch)[side].detach()) == pytest.approx(expected / 8, rel=1e-4)


def test_first_and_last_costs_nothing_where_order_can_be_read_off_and_not_if_it_is_the_wrong_one():
    objective = prepared("first-and-last")
    rows = [*scene_rows(sequence("dog", "rain"), 0), *scene_rows(sequence("cat", "bell"), 2)]
    right = torch.stack([ordered(*(event.label for event in row.scene.events)) for row in rows])
    names = {name: ordered(name, name) for name in ("dog", "rain", "cat", "bell")}
    drawn = draw(objective, rows)
    drawn["queries"] = torch.stack(
        [next(v for k, v in names.items() if k in query.lower()) for query in drawn["queries"]]
    )
    with torch.no_grad():
        for straight in objective.maps.values():
            torch.nn.init.eye_(straight.weight)
        objective.maps["first"].weight[:, DIM // 2 :] = 0
        objective.maps["first"].weight[DIM // 2 :] = objective.maps["first"].weight[: DIM // 2]
        objective.maps["last"].weight[:, : DIM // 2] = 0
        objective.maps["last"].weight[: DIM // 2] = objective.maps["last"].weight[DIM // 2 :]

    def loss(embeddings):
        batch = ClapBatch(embeddings, embeddings, torch.tensor(100.0), torch.arange(4), rows, extra=drawn)
        return {side: value.item() for side, value in objective(batch).items()}

    assert loss(right) == {"audio": pytest.approx(0, abs=1e-3), "text": pytest.approx(0, abs=1e-3)}
    assert all(value > 10 for value in loss(right[[1, 0, 3, 2]]).values())


def test_first_and_last_parts_a_scene_and_its_twin_that_have_one_embedding():
    objective = prepared("first-and-last")
    assert not [p for p in objective.parameters() if p.requires_grad]
    rows = scene_rows(sequence("dog", "rain"), 0)

    def gradients():
        embeddings = F.normalize(torch.ones(2, DIM), dim=1).requires_grad_()
        names = torch.eye(DIM)[: len(draw(objective, rows)["queries"])]
        extra = draw(objective, rows) | {"queries": names}
        batch = ClapBatch(embeddings, embeddings, torch.tensor(10.0), torch.arange(2), rows, extra=extra)
        objective(batch)["text"].backward()
        return embeddings.grad

    apart = gradients()
    assert float((apart[0] - apart[1]).norm()) > 0.1 * float(apart.norm())
    for rotation in objective.maps.values():
        torch.nn.init.eye_(rotation.weight)
    together = gradients()  # with one map for both places, nothing moves them apart
    assert torch.allclose(together[0], together[1], atol=1e-6)


def test_first_and_last_is_exact_under_autocast():
    objective = prepared("first-and-last")
    torch.nn.init.normal_(objective.maps["first"].weight, generator=torch.Generator().manual_seed(3))
    exact = float(objective(batch_of(objective))["text"].detach())
    with torch.autocast("cpu", torch.bfloat16):
        assert float(objective(batch_of(objective))["text"].detach()) == pytest.approx(exact, abs=1e-6)


def test_rows_that_are_no_sequences_have_no_ends():
    objective = prepared("first-and-last")
    drawn = draw(objective, [BatchRow((DOG,), "dog"), BatchRow((RAIN,), "rain")])
    assert (drawn["truth"] == -1).all()
    batch = batch_of(objective, [BatchRow((DOG,), "dog"), BatchRow((RAIN,), "rain")])
    assert {side: value.item() for side, value in objective(batch).items()} == {"audio": 0.0, "text": 0.0}
