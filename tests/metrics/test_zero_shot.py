"""Zero-shot and tagging metrics against the plainest possible implementations."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score
from torch.nn import functional as F

from clapgen.errors import ClapgenError
from clapgen.metrics.embeddings.multi_label import MultiLabelAccumulator, multi_label_average_precision
from clapgen.metrics.embeddings.zero_shot import (
    TEMPLATES,
    ZeroShotAccumulator,
    class_prompts,
    prompt_embeddings,
    zero_shot,
    zero_shot_accuracy,
    zero_shot_probabilities,
)

quick = settings(max_examples=25, deadline=None, derandomize=True)


def embeddings(count: int, seed: int) -> torch.Tensor:
    return F.normalize(torch.randn(count, 16, generator=torch.Generator().manual_seed(seed)), dim=-1)


@st.composite
def classified(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str], np.random.Generator]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    clips, classes = draw(st.integers(1, 40)), draw(st.integers(2, 12))
    truth = rng.integers(classes, size=clips)
    prompts = rng.normal(size=(classes, 4))
    return prompts[truth] + rng.normal(size=(clips, 4)), prompts, truth, [f"class {i}" for i in range(classes)], rng


def test_prompts_have_spaces_for_underscores():
    assert class_prompts(["door_wood_knock"]) == ["This is a sound of door wood knock."]


def test_templates_are_text_and_are_never_evaluated():
    assert class_prompts(["dog"], "{label}{label.__class__}{0}") == ["dog{label.__class__}{0}"]
    with pytest.raises(ClapgenError, match=r"lacks \{label\}"):
        class_prompts(["dog"], "a sound of {lable}")


def test_an_ensemble_is_the_mean_direction_of_any_lengths():
    vectors = {prompt: embeddings(1, seed)[0] for seed, prompt in enumerate(["a dog", "dog!", "a cat", "cat!"])}

    def embed(prompts: list[str]) -> torch.Tensor:
        return torch.stack([(9 if "!" in prompt else 1) * vectors[prompt] for prompt in prompts])

    expected = F.normalize(torch.stack([vectors["a dog"] + vectors["dog!"], vectors["a cat"] + vectors["cat!"]]), dim=1)
    mean = prompt_embeddings(embed, ["dog", "cat"], ["a {label}", "{label}!"])
    assert mean == pytest.approx(expected.numpy(), abs=1e-6)
    assert len({class_prompts(["dog"], template)[0] for template in TEMPLATES}) == len(TEMPLATES)


@quick
@given(classified())
def test_metrics_equal_a_loop_over_clips(data):
    audio, prompts, truth, labels, _ = data
    result = zero_shot(audio, prompts, truth, labels)
    unit = prompts / np.linalg.norm(prompts, axis=1, keepdims=True)
    orders = [sorted(range(len(labels)), key=lambda c: -(clip @ unit[c])) for clip in audio]
    ranks = [order.index(own) + 1 for order, own in zip(orders, truth.tolist(), strict=True)]
    assert result.ranks.tolist() == ranks and result.predicted.tolist() == [order[0] for order in orders]
    assert result.top1 == pytest.approx(np.mean([rank == 1 for rank in ranks]))
    assert (result.top5 is None) == (len(labels) <= 5)
    if result.top5 is not None:
        assert result.top5 == pytest.approx(np.mean([rank <= 5 for rank in ranks]))
    assert [each.n for each in result.classes] == np.bincount(truth, minlength=len(labels)).tolist()
    assert result.confusion.sum() == result.n == len(audio)
    assert np.trace(result.confusion) / result.n == pytest.approx(result.top1)
    own = [result.confusion[i, i] / count for i, count in enumerate(result.confusion.sum(1)) if count]
    assert result.balanced == pytest.approx(np.mean(own))


@quick
@given(classified(), st.integers(1, 40))
def test_order_batches_and_merging_change_nothing(data, cut):
    audio, prompts, truth, labels, rng = data
    whole = zero_shot(audio, prompts, truth, labels)
    order = rng.permutation(len(audio))
    one, two = ZeroShotAccumulator(prompts, labels), ZeroShotAccumulator(prompts, labels)
    one.update(audio[order][:cut], truth[order][:cut])
    if cut < len(audio):
        two.update(audio[order][cut:], truth[order][cut:])
    one.merge(two)
    merged = one.compute()
    assert (merged.top1, merged.top5, merged.interval, merged.classes) == (
        whole.top1,
        whole.top5,
        whole.interval,
        whole.classes,
    )
    assert (merged.confusion == whole.confusion).all() and merged.ranks.tolist() == whole.ranks[order].tolist()


def test_constant_embeddings_score_zero():
    same = np.ones((8, 4))
    result = zero_shot(same, same, np.arange(8), list("abcdefgh"))
    assert result.top1 == result.top5 == result.balanced == 0 and np.trace(result.confusion) == 0


def test_a_class_without_clips_has_no_accuracy_and_no_part_in_the_mean():
    result = zero_shot(np.eye(3)[[0, 0]], np.eye(3), [0, 1], ["dog", "cat", "rain"])
    assert [(each.n, each.top1) for each in result.classes] == [(1, 1.0), (1, 0.0), (0, None)]
    assert result.balanced == 0.5 and result.chance == pytest.approx(1 / 3)


def test_accuracy_counts_the_nearest_prompt():
    prompts = embeddings(5, 0)
    truth = torch.tensor([0, 1, 2, 3, 4, 0])
    audio = prompts[torch.tensor([0, 1, 2, 3, 4, 1])]
    assert zero_shot_accuracy(audio, prompts, truth) == pytest.approx(5 / 6)
    assert zero_shot_accuracy(audio, prompts, truth, top_k=5) == 1.0


def test_probabilities_sum_to_one_and_sharpen_with_the_scale():
    audio, prompts = embeddings(4, 1), embeddings(6, 2)
    soft, sharp = (zero_shot_probabilities(audio, prompts, scale) for scale in (1.0, 50.0))
    assert torch.allclose(soft.sum(1), torch.ones(4)) and bool((sharp.amax(1) > soft.amax(1)).all())


@quick
@given(classified(), st.integers(1, 40), st.booleans())
def test_tagging_equals_scikit_learns_average_precision(data, cut, ties):
    audio, prompts, _, labels, rng = data
    if ties:
        audio = np.sign(audio)
        prompts = np.sign(prompts)
    truth = rng.random((len(audio), len(labels))) < 0.3
    truth[0, 0] = True
    result = multi_label_average_precision(audio, prompts, truth, labels)
    unit_audio, unit_prompts = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (audio, prompts))
    cosines = (unit_audio @ unit_prompts.T).round(6)
    for index, label in enumerate(labels):
        if truth[:, index].any():
            expected = average_precision_score(truth[:, index], cosines[:, index])
            assert result.average_precisions[label] == pytest.approx(expected, abs=1e-9)
        else:
            assert label in result.left_out
    assert result.mean == pytest.approx(np.mean(list(result.average_precisions.values())))
    one, two = MultiLabelAccumulator(prompts, labels), MultiLabelAccumulator(prompts, labels)
    order = rng.permutation(len(audio))
    one.update(audio[order][:cut], truth[order][:cut])
    if cut < len(audio):
        two.update(audio[order][cut:], truth[order][cut:])
    one.merge(two)
    assert one.compute().average_precisions == pytest.approx(result.average_precisions)


def test_constant_scores_tag_by_chance():
    truth = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 0], [1, 0, 0]])
    result = multi_label_average_precision(np.ones((4, 5)), np.ones((3, 5)), truth, ["dog", "cat", "rain"])
    assert result.average_precisions == {"dog": 0.75, "cat": 0.25} and result.left_out == ["rain"]
    assert result.mean == result.chance == 0.5


def test_errors_name_what_is_wrong():
    audio, prompts = np.eye(4), np.eye(4)
    with pytest.raises(ClapgenError, match="Clip 1 is of class 4, but there are 4 classes"):
        zero_shot(audio, prompts, [0, 4, 1, 2], list("abcd"))
    with pytest.raises(ClapgenError, match="3 labels and 4 prompts"):
        zero_shot(audio, prompts, [0, 1, 2, 3], list("abc"))
    with pytest.raises(ClapgenError, match="must be 4 whole numbers"):
        zero_shot(audio, prompts, [0, 1], list("abcd"))
    with pytest.raises(ClapgenError, match="at least 1 clip"):
        ZeroShotAccumulator(prompts, list("abcd")).compute()
    with pytest.raises(ClapgenError, match="same labels and prompts"):
        ZeroShotAccumulator(prompts, list("abcd")).merge(ZeroShotAccumulator(prompts, list("abce")))
    with pytest.raises(ClapgenError, match="0 or 1 for each of 4 clips and 4 labels"):
        multi_label_average_precision(audio, prompts, np.full((4, 4), 2), list("abcd"))
    with pytest.raises(ClapgenError, match="No clip has any of the labels"):
        multi_label_average_precision(audio, prompts, np.zeros((4, 4)), list("abcd"))
    with pytest.raises(ClapgenError, match="need at least one label and one template"):
        prompt_embeddings(lambda prompts: np.eye(1), [])
