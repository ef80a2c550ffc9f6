"""Retrieval metrics against a loop over queries, and what must hold for any clips and captions."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clapgen.errors import ClapgenError
from clapgen.metrics.embeddings import base as embeddings
from clapgen.metrics.embeddings.retrieval import (
    DirectionScores,
    Retrieval,
    RetrievalAccumulator,
    recall_by_chance,
    retrieval,
)

quick = settings(max_examples=25, deadline=None, derandomize=True)


@st.composite
def corpora(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str], np.random.Generator]:
    """Clips with one or more captions of few different words, so that some are equal, with their embeddings."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    clips, extra = draw(st.integers(1, 20)), draw(st.integers(0, 30))
    owners = rng.permutation(np.concatenate([np.arange(clips), rng.integers(clips, size=extra)]))
    words = rng.integers(draw(st.integers(1, 60)), size=len(owners))
    of_word = rng.normal(size=(60, 5))
    return rng.normal(size=(clips, 5)), of_word[words], owners, [f"Sound {word}" for word in words], rng


def naive(queries: np.ndarray, gallery: np.ndarray, right: list[set[int]]) -> dict[str, float]:
    """Sort by cosine, wrong answers first among equals, and read the ranks off."""
    ranks, precisions = [], []
    for query, answers in zip(queries, right, strict=True):
        cosines = [round(float(query @ item / np.linalg.norm(query) / np.linalg.norm(item)), 9) for item in gallery]
        order = sorted(range(len(gallery)), key=lambda i: (-cosines[i], i in answers))
        places = [place for place, i in enumerate(order, 1) if i in answers]
        ranks.append(places[0])
        hits = [(number + 1) / place for number, place in enumerate(places) if place <= 10]
        precisions.append(sum(hits) / min(10, len(places)))
    return {
        **{f"R@{k}": float(np.mean([rank <= k for rank in ranks])) for k in (1, 5, 10)},
        "median_rank": float(np.median(ranks)),
        "mean_rank": float(np.mean(ranks)),
        "mAP@10": float(np.mean(precisions)),
    }


def flat(metrics: DirectionScores) -> dict[str, float]:
    recalls = {f"R@{k}": recall for k, recall in metrics.recalls.items()}
    rest = {"median_rank": metrics.median_rank, "mean_rank": metrics.mean_rank}
    return {**recalls, **rest, "mAP@10": metrics.mean_average_precision}


def equal(one: Retrieval, two: Retrieval) -> bool:
    return one.as_dict() == pytest.approx(two.as_dict(), abs=1e-12) and one.protocol == two.protocol


@quick
@given(corpora(), st.booleans())
def test_equals_a_loop_over_queries(corpus, identical):
    audio, text, owners, captions, _ = corpus
    result = retrieval(audio, text, owners, captions=captions if identical else None)
    key = captions if identical else list(range(len(captions)))
    clips = [{clip for clip, other in zip(owners, key, strict=True) if other == caption} for caption in key]
    texts = [{i for i, of in enumerate(clips) if clip in of} for clip in range(len(audio))]
    assert flat(result.text_to_audio) == pytest.approx(naive(text, audio, clips))
    assert flat(result.audio_to_text) == pytest.approx(naive(audio, text, texts))
    assert (result.text_to_audio.queries, result.text_to_audio.gallery) == (len(text), len(audio))
    assert (result.audio_to_text.queries, result.audio_to_text.gallery) == (len(audio), len(text))


@quick
@given(corpora(), st.booleans())
def test_order_does_not_matter(corpus, identical):
    audio, text, owners, captions, rng = corpus
    clips, sentences = rng.permutation(len(audio)), rng.permutation(len(text))
    moved = np.argsort(clips)[owners[sentences]]
    texts = [captions[i] for i in sentences] if identical else None
    one = retrieval(audio, text, owners, captions=captions if identical else None)
    assert equal(retrieval(audio[clips], text[sentences], moved, captions=texts), one)


@quick
@given(corpora(), st.booleans(), st.lists(st.integers(1, 20), max_size=4))
def test_batches_and_merging_are_the_joint_set(corpus, identical, cuts):
    audio, text, owners, captions, _ = corpus
    parts = [RetrievalAccumulator(), RetrievalAccumulator()]
    edges = [0, *sorted({cut for cut in cuts if cut < len(audio)}), len(audio)]
    for number, (start, end) in enumerate(zip(edges, edges[1:], strict=False)):
        mine = np.flatnonzero((owners >= start) & (owners < end))
        texts = [captions[i] for i in mine] if identical else None
        parts[number % 2].update(audio[start:end], text[mine], owners[mine] - start, texts)
    parts[0].merge(parts[1])
    assert equal(parts[0].compute(), retrieval(audio, text, owners, captions=captions if identical else None))


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch):
    rng = np.random.default_rng(0)
    audio, text, owners = rng.normal(size=(12, 5)), rng.normal(size=(40, 5)), rng.integers(12, size=40)
    whole = retrieval(audio, text, owners)
    monkeypatch.setattr(embeddings, "BLOCK_VALUES", 50)
    assert equal(retrieval(audio, text, owners), whole)


@pytest.mark.parametrize("noise", [0.0, 1e-8])
def test_constant_embeddings_score_zero(noise: float):
    rng = np.random.default_rng(1)
    audio, text = (np.ones((20, 8)) + noise * rng.normal(size=(20, 8)) for _ in range(2))
    result = retrieval(audio, text, np.arange(20))
    for metrics in (result.text_to_audio, result.audio_to_text):
        assert metrics.recalls == {1: 0, 5: 0, 10: 0} and metrics.median_rank == 20
        assert metrics.mean_average_precision == 0


def test_equal_captions_are_wrong_answers_only_by_the_strict_protocol():
    audio = np.eye(4)
    strict = retrieval(audio, audio[[0, 0, 2, 3]], [0, 1, 2, 3])
    assert strict.text_to_audio.recalls[1] == 0.75 and strict.audio_to_text.ranks.tolist() == [2, 4, 1, 1]
    captions = ["A dog barks", " a dog  BARKS", "rain", "wind"]
    shared = retrieval(audio, audio[[0, 0, 2, 3]], [0, 1, 2, 3], captions=captions)
    assert shared.text_to_audio.recalls[1] == 1 and shared.audio_to_text.ranks.tolist() == [1, 3, 1, 1]
    assert (strict.protocol, shared.protocol) == ("own captions", "identical captions")


def test_a_clip_without_captions_is_retrieved_but_is_no_query():
    audio = np.eye(8)
    result = retrieval(audio, audio[[1, 3]], [1, 3])
    assert result.query_clips.tolist() == [1, 3] and result.audio_to_text.queries == 2
    assert result.text_to_audio.gallery == 8 and result.audio_to_text.recalls[1] == 1
    parts = RetrievalAccumulator()
    parts.update(audio[:1], np.zeros((0, 8)), np.zeros(0, dtype=int))
    parts.update(audio[1:], audio[[1, 3]], [0, 2])
    assert equal(parts.compute(), result)


def test_tensors_of_perfect_pairs_score_one():
    audio = torch.randn(8, 16, generator=torch.Generator().manual_seed(6))
    metrics = retrieval(audio, 3 * audio, torch.arange(8)).as_dict()
    assert len(metrics) == 12 and all(value == 1.0 for value in metrics.values())


def test_errors_name_what_is_wrong():
    good = np.eye(4)
    with pytest.raises(ClapgenError, match="Caption 2 belongs to clip 4, but there are 4 clips"):
        retrieval(good, good, [0, 1, 4, 2])
    with pytest.raises(ClapgenError, match="must be 4 whole numbers"):
        retrieval(good, good, [0, 1, 2])
    with pytest.raises(ClapgenError, match="3 captions and 4 text embeddings do not pair"):
        retrieval(good, good, [0, 1, 2, 3], captions=["a", "b", "c"])
    with pytest.raises(ClapgenError, match="1 of 4 audio embeddings contain NaN"):
        retrieval(np.where(good[0][:, None] == 1, np.nan, good), good, [0, 1, 2, 3])
    with pytest.raises(ClapgenError, match="at least 1 clip"):
        retrieval(good, good[:0], np.zeros(0, dtype=int))
    one, two = RetrievalAccumulator(), RetrievalAccumulator()
    one.update(good, good, [0, 1, 2, 3], list("abcd"))
    two.update(good, good, [0, 1, 2, 3])
    one.merge(two)
    with pytest.raises(ClapgenError, match="Some batches came with their captions"):
        one.compute()


@pytest.mark.parametrize("captions_per_clip", [1, 5])
def test_chance_is_the_mean_recall_of_random_embeddings(captions_per_clip: int) -> None:
    rng = np.random.default_rng(0)
    clips, runs = 12, 400
    owners = np.repeat(np.arange(clips), captions_per_clip)
    found = [retrieval(rng.normal(size=(clips, 8)), rng.normal(size=(len(owners), 8)), owners) for _ in range(runs)]
    for way in ("text_to_audio", "audio_to_text"):
        for k in (1, 5, 10):
            mean = np.mean([getattr(each, way).recalls[k] for each in found])
            assert getattr(found[0], way).chance[k] == pytest.approx(mean, abs=0.03), (way, k)


def test_chance_counts_every_correct_answer() -> None:
    assert recall_by_chance([1], 50, 5) == pytest.approx(0.1)
    assert recall_by_chance([5], 1000, 1) == pytest.approx(0.005)
    assert recall_by_chance([2], 4, 2) == pytest.approx(5 / 6)
    assert recall_by_chance([1, 3], 4, 2) == pytest.approx((1 / 2 + 1) / 2)
    assert recall_by_chance([2], 3, 10) == 1.0
