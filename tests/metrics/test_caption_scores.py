"""Caption scores against pycocoevalcap's numbers, the plainest possible implementations and cases done by hand."""

import math
import random
from collections import Counter
from itertools import combinations

import numpy as np
import pytest

from clapgen.errors import ClapgenError
from clapgen.metrics.captions.scores import (
    BleuAccumulator,
    CiderDAccumulator,
    bleu,
    caption_scores,
    cider_d,
    diversity,
    keyword_accuracy,
    rouge_l,
)
from clapgen.metrics.captions.words import bases

CANDIDATES = [
    "a dog barks twice in the distance",
    "rain falls on a metal roof",
    "people talk",
    "",
    "the engine of a car car idles and idles loudly",
    "birds sing while wind blows",
]
REFERENCES = [
    ["a dog barks in the distance", "two dogs bark at a stranger far away", "a dog is barking"],
    ["rain is falling on a tin roof", "rain falls on a metal roof while thunder rumbles"],
    ["a crowd of people talk and laugh", "people are talking"],
    ["a bell rings once", "a church bell rings in the distance"],
    ["a car engine idles", "an engine of a car runs and revs loudly"],
    ["birds sing while wind blows"],
]
# Printed by pycocoevalcap 1.2 on the words above.
COCO_CORPUS = {
    "BLEU-1": 0.7584835431199889,
    "BLEU-2": 0.6718534815565858,
    "BLEU-3": 0.6011764610516451,
    "BLEU-4": 0.516752765887042,
    "ROUGE-L": 0.6411928823532027,
    "CIDEr-D": 3.2964339206511304,
}
COCO_CLIPS = {
    "BLEU-1": [0.8571428570204083, 0.8464817246084536, 0.6065306591061034, 0.0, 0.6999999999300001, 0.9999999996000004],
    "BLEU-4": [8.69441743724e-05, 0.8464817245484947, 0.00060653065918, 0.0, 0.30213753969949836, 0.9999999994791672],
    "ROUGE-L": [0.9360613810741688, 0.7721518987341772, 0.45864661654135336, 0.0, 0.6802973977695167, 1.0],
    "CIDEr-D": [1.978322638298626, 4.333967275514492, 1.4363112425537254, 0.0, 2.030002367539941, 10.0],
}


def test_scores_equal_those_of_pycocoevalcap():
    scores = caption_scores(CANDIDATES, REFERENCES, str.split)
    assert {name: scores.corpus[name] for name in COCO_CORPUS} == pytest.approx(COCO_CORPUS, abs=1e-9)
    for name, expected in COCO_CLIPS.items():
        assert scores.clips[name] == pytest.approx(expected, abs=1e-9)


def sentences(count: int, rng: random.Random) -> list[str]:
    return [" ".join(rng.choices("abc", k=rng.randint(1, 9))) for _ in range(count)]


def random_clips(seed: int) -> tuple[list[str], list[list[str]]]:
    rng = random.Random(seed)
    return sentences(12, rng), [sentences(rng.randint(1, 4), rng) for _ in range(12)]


def grams(sentence: str, n: int) -> list[str]:
    words = sentence.split()
    return [" ".join(words[i : i + n]) for i in range(len(words) - n + 1)]


@pytest.mark.parametrize("seed", range(5))
def test_bleu_equals_counting(seed):
    candidates, references = random_clips(seed)
    length = sum(len(candidate.split()) for candidate in candidates)
    closest = 0
    for candidate, of_clip in zip(candidates, references, strict=True):
        lengths = sorted(len(reference.split()) for reference in of_clip)
        closest += min(lengths, key=lambda other: abs(other - len(candidate.split())))
    product = 1.0
    for n in range(1, 5):
        found = sum(
            min(grams(candidate, n).count(gram), max(grams(reference, n).count(gram) for reference in of_clip))
            for candidate, of_clip in zip(candidates, references, strict=True)
            for gram in set(grams(candidate, n))
        )
        product *= found / sum(len(grams(candidate, n)) for candidate in candidates)
        expected = product ** (1 / n) * (1 if length >= closest else math.exp(1 - closest / length))
        assert bleu(candidates, references, str.split).corpus[f"BLEU-{n}"] == pytest.approx(expected, abs=1e-8)


def subsequences(sentence: str) -> set[tuple[str, ...]]:
    words = sentence.split()
    return {part for length in range(len(words) + 1) for part in combinations(words, length)}


@pytest.mark.parametrize("seed", range(3))
def test_rouge_l_equals_trying_every_subsequence(seed):
    candidates, references = random_clips(seed)
    scores = rouge_l(candidates, references, str.split).clips["ROUGE-L"]
    for candidate, of_clip, score in zip(candidates, references, scores, strict=True):
        common = [max(map(len, subsequences(candidate) & subsequences(reference))) for reference in of_clip]
        precision = max(common) / len(candidate.split())
        recall = max(n / len(reference.split()) for n, reference in zip(common, of_clip, strict=True))
        assert score == pytest.approx(2.44 * precision * recall / (recall + 1.44 * precision) if precision else 0)


@pytest.mark.parametrize("seed", range(5))
def test_cider_d_equals_cosines_of_dense_vectors(seed):
    candidates, references = random_clips(seed)
    expected = np.zeros(len(candidates))
    for n in range(1, 5):
        documents = [{gram for reference in of_clip for gram in grams(reference, n)} for of_clip in references]
        vocabulary = sorted(set().union(*documents, *(grams(candidate, n) for candidate in candidates)))
        frequency = np.array([max(1, sum(gram in document for document in documents)) for gram in vocabulary])
        for i, (candidate, of_clip) in enumerate(zip(candidates, references, strict=True)):
            for reference in of_clip:
                own, other = (
                    np.array([Counter(grams(text, n))[gram] for gram in vocabulary]) * np.log(12 / frequency)
                    for text in (candidate, reference)
                )
                norms = np.linalg.norm(own) * np.linalg.norm(other)
                penalty = np.exp(-((len(grams(candidate, 2)) - len(grams(reference, 2))) ** 2) / 72)
                cosine = np.minimum(own, other) @ other / norms if norms else 0
                expected[i] += 10 / 4 * penalty * cosine / len(of_clip)
    scores = cider_d(candidates, references, str.split)
    assert scores.clips["CIDEr-D"] == pytest.approx(expected, abs=1e-9)
    assert scores.corpus["CIDEr-D"] == pytest.approx(expected.mean(), abs=1e-9)


def test_bleu_clips_repeated_words_as_in_its_paper():
    metrics = bleu(["the the the the the the the"], [["the cat is on the mat", "there is a cat on the mat"]]).corpus
    assert metrics["BLEU-1"] == pytest.approx(2 / 7)


def test_bleu_penalizes_short_captions_by_the_closest_reference_the_shorter_of_two():
    assert bleu(["a b c d"], [["a b c d e"]]).corpus["BLEU-4"] == pytest.approx(math.exp(1 - 5 / 4))
    assert bleu(["a b c d"], [["a b c d e", "x y z"]]).corpus["BLEU-4"] == pytest.approx(1)


def test_rouge_l_by_hand():
    assert rouge_l(["a c"], [["a b c d"]]).corpus["ROUGE-L"] == pytest.approx(2.44 * 0.5 / (0.5 + 1.44))


def test_cider_d_is_the_mean_over_references_and_forgives_length_by_its_width():
    others = ["birds sing in a tree", "rain on a roof at night"]
    half = cider_d(["a dog barks twice", *others], [["a dog barks twice", "u v w x"], *([other] for other in others)])
    assert half.clips["CIDEr-D"] == pytest.approx([5, 10, 10])
    repeated = cider_d(["u v w x y z", "a b c d"], [["u"], ["a b c d"]])  # five bigrams against none, one word of six
    assert repeated.clips["CIDEr-D"][0] == pytest.approx(10 / 4 * math.exp(-25 / 72) / math.sqrt(6))


def test_an_empty_caption_scores_nothing():
    scores = caption_scores(["", "...", "a dog barks twice"], [["a b"], ["c"], ["a dog barks twice"]])
    for name in ("BLEU-1", "BLEU-4", "ROUGE-L", "CIDEr-D"):
        assert scores.clips[name][:2] == [0, 0] and scores.clips[name][2] > 0
    assert bleu([""], [["a"]]).corpus["BLEU-1"] == 0
    assert keyword_accuracy([""], [["dog"]]).corpus == {"keyword_accuracy": 0}
    assert diversity([""]).corpus == {"vocabulary": 0, "distinct_captions": 1, "words": 0}


@pytest.mark.parametrize(
    ("candidates", "references", "message"),
    [
        ([], [], "no captions"),
        (["a", "b"], [["a"]], "2 captions and references of 1 clips"),
        (["a", "b"], [["a"], []], "references of clip 1 are an empty list"),
        (["a", "b"], [["a"], "b"], "references of clip 1 are not a list"),
        (["a"], [[None]], "references of clip 0 are not a list"),
        (["a", None], [["a"], ["b"]], "caption of clip 1 is None"),
        ("a dog", [["a"]], "one string"),
        (["a"], [["a", "?!"]], r"references of clip 0, '\?!' has no words"),
    ],
)
@pytest.mark.parametrize("measure", [bleu, rouge_l, cider_d, caption_scores])
def test_captions_that_cannot_be_scored_are_named(measure, candidates, references, message):
    with pytest.raises(ClapgenError, match=message):
        measure(candidates, references)


def test_cider_d_of_one_clip_is_refused_and_left_out_of_the_set():
    with pytest.raises(ClapgenError, match="2 clips"):
        cider_d(["a dog"], [["a dog"]])
    metrics = caption_scores(["a dog"], [["a dog"]]).corpus
    assert "CIDEr-D" not in metrics and metrics["ROUGE-L"] == 1


def test_a_refused_batch_leaves_no_trace():
    metric = BleuAccumulator()
    metric.update(["a dog barks"], [["a dog barks"]])
    with pytest.raises(ClapgenError):
        metric.update(["a cat", "a bird"], [["a cat"], []])
    assert metric.compute() == bleu(["a dog barks"], [["a dog barks"]])
    with pytest.raises(ClapgenError, match="no captions"):
        CiderDAccumulator().compute()


@pytest.mark.parametrize(
    ("label", "caption", "named"),
    [
        ("dog", "Two dogs bark.", True),
        ("dog", "A hound howls", True),
        ("dog", "A hot day", False),
        ("crying_baby", "A baby cries", True),
        ("crying baby", "An infant is wailing", True),
        ("Crying_Baby", "An infant speaks", False),
        ("church_bells", "The bell of a church is ringing", True),
        ("church_bells", "A bell rings", False),
        ("hen", "Then a hen-house door creaks", False),
        ("rooster", "A rooster", True),
    ],
)
def test_a_caption_names_a_label_by_its_words_or_synonyms(label, caption, named):
    synonyms = {"dog": ["hound", "puppy"], "crying_baby": ["infant wail", "baby sob"], "hen": []}
    assert keyword_accuracy([caption], [[label]], synonyms).clips == {"keyword_accuracy": [named]}


def test_naming_one_of_several_labels_is_enough_and_accuracy_is_the_share():
    captions = ["An animal barks", "A cow moos", "Silence"]
    assert keyword_accuracy(captions, [["dog", "bark"], ["cow"], ["sea"]]).corpus["keyword_accuracy"] == 2 / 3


@pytest.mark.parametrize(
    ("labels", "synonyms", "message"),
    [
        ([[]], {}, "labels of clip 0 are an empty list"),
        (["dog"], {}, "labels of clip 0 are not a list"),
        ([["_"]], {}, "'_' has no words"),
        ([["dog"]], {"dog": "hound"}, "synonyms of 'dog' are one string"),
        ([["dog"]], {"dog": ["!"]}, "label 'dog' and its synonyms, '!' has no words"),
    ],
)
def test_labels_that_nothing_could_name_are_refused(labels, synonyms, message):
    with pytest.raises(ClapgenError, match=message):
        keyword_accuracy(["a dog"], labels, synonyms)


def test_diversity_counts_words_and_different_captions():
    scores = diversity(["A dog barks.", "a dog barks", "Rain", "Rain, rain"])
    assert scores.corpus == {"vocabulary": 4, "distinct_captions": 0.75, "words": 9 / 4}
    assert scores.clips == {"words": [3, 3, 1, 2]}


@pytest.mark.parametrize(
    "words",
    [
        "bark barks barking barked",
        "chime chimes chiming chimed",
        "clap claps clapping clapped",
        "cry cries crying cried",
        "hiss hisses hissing hissed",
        "play plays playing played",
        "saw saws sawing sawed",
        "whisper whispers whispering whispered",
        "church churches",
        "tree trees",
    ],
)
def test_regular_forms_share_a_base(words):
    base, *_ = words.split()
    assert all(base in bases(word) for word in words.split())


@pytest.mark.parametrize(
    "words", ["car caring", "bee being", "his hissing", "rat rating", "hat hated", "sing sting", "glass glas", "bus us"]
)
def test_words_that_only_look_alike_share_no_base(words):
    first, second = words.split()
    assert not bases(first) & bases(second)
