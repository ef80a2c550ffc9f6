"""Properties of caption scores for any captions: order, batches and merging do not matter."""

import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clapgen.metrics.captions.scores import (
    BleuAccumulator,
    CiderDAccumulator,
    DiversityAccumulator,
    KeywordAccuracyAccumulator,
    RougeLAccumulator,
    bleu,
    caption_scores,
    cider_d,
    diversity,
    keyword_accuracy,
    rouge_l,
)
from clapgen.metrics.captions.words import bases, inflections, tokenize

WORDS = ["dog", "dogs", "barks", "rain", "falls", "on", "a", "roof", "bell", "rings"]
captions = st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join)
references = st.lists(captions.filter(bool), min_size=1, max_size=3)
clip_sets = st.lists(st.tuples(captions, references), min_size=2, max_size=6)
quick = settings(max_examples=40, deadline=None)


@quick
@given(clip_sets, st.randoms(use_true_random=False))
def test_order_of_clips_does_not_matter(clips, rng):
    order = rng.sample(range(len(clips)), len(clips))
    scores = caption_scores([c for c, _ in clips], [r for _, r in clips])
    shuffled = caption_scores([clips[i][0] for i in order], [clips[i][1] for i in order])
    assert shuffled.corpus == pytest.approx(scores.corpus)
    for name, metrics in scores.clips.items():
        assert shuffled.clips[name] == pytest.approx([metrics[i] for i in order])


@quick
@given(clip_sets, st.integers(0, 6), st.integers(0, 6))
def test_batches_and_merged_processes_score_as_one(clips, first_cut, second_cut):
    candidates, of_clips = [c for c, _ in clips], [r for _, r in clips]
    low, high = sorted((min(first_cut, len(clips)), min(second_cut, len(clips))))
    for measure, make in (
        (bleu, BleuAccumulator),
        (rouge_l, RougeLAccumulator),
        (cider_d, CiderDAccumulator),
        (keyword_accuracy, KeywordAccuracyAccumulator),
    ):
        here, there = make(), make()
        here.update(candidates[:low], of_clips[:low])
        here.update(candidates[low:high], of_clips[low:high])
        there.update(candidates[high:], of_clips[high:])
        here.merge(pickle.loads(pickle.dumps(there)))
        assert here.compute() == measure(candidates, of_clips)
    here, there = DiversityAccumulator(), DiversityAccumulator()
    here.update(candidates[:low])
    there.update(candidates[low:])
    here.merge(there)
    assert here.compute() == diversity(candidates)


@quick
@given(clip_sets)
def test_scores_stay_in_range(clips):
    scores = caption_scores([c for c, _ in clips], [r for _, r in clips])
    for name in ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "CIDEr-D"):
        top = 10 if name == "CIDEr-D" else 1
        assert all(0 <= metric <= top + 1e-9 for metric in [scores.corpus[name], *scores.clips[name]])
    assert 0 < scores.corpus["distinct_captions"] <= 1 and scores.corpus["vocabulary"] <= len(WORDS)


@quick
@given(clip_sets)
def test_a_reference_given_back_scores_highest(clips):
    given_back = caption_scores([of_clip[0] for _, of_clip in clips], [of_clip[:1] for _, of_clip in clips])
    scores = caption_scores([c for c, _ in clips], [of_clip[:1] for _, of_clip in clips])
    assert given_back.clips["ROUGE-L"] == pytest.approx([1] * len(clips))
    assert given_back.corpus["BLEU-1"] == pytest.approx(1)
    for name in ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "CIDEr-D"):
        for best, metric in zip(given_back.clips[name], scores.clips[name], strict=True):
            assert metric <= best + 1e-9


@quick
@given(st.lists(st.permutations(WORDS[2:]), min_size=2, max_size=5, unique_by=tuple))
def test_captions_equal_to_references_that_differ_are_maximal(sentences):
    texts = [f"{' '.join(words)} clip{i} x{i} y{i} z{i}" for i, words in enumerate(sentences)]
    metrics = caption_scores(texts, [[text] for text in texts]).corpus
    assert metrics["CIDEr-D"] == pytest.approx(10)
    assert [metrics[f"BLEU-{n}"] for n in (1, 2, 3, 4)] == pytest.approx([1] * 4)


@quick
@given(st.text(max_size=60))
def test_any_text_is_cut_into_lower_case_words_without_spaces(text):
    words = tokenize(text)
    assert all(word and not any(letter.isspace() for letter in word) for word in words)
    assert tokenize(" " + text + " .") == words


@quick
@given(st.from_regex(r"[a-z]{3,8}", fullmatch=True))
def test_every_regular_form_leads_back_to_its_base(base):
    shared = [base in bases(form) for form in inflections(base)]
    assert all(shared) or not set(base) & set("aeiouy")
