"""Parity with pycocoevalcap and aac-metrics where captions are odd: repeated, empty, short, unknown, of any script.

Words are joined by spaces, so that what is compared is the arithmetic and not the tokenizer.
"""

import pytest

from clapgen.metrics.captions.scores import caption_scores

CANDIDATES = [
    "the the the the the the the",
    "a dog barks a dog barks a dog barks a dog barks",
    "",
    "rain",
    "犬 が 吠える",
    "un café bruyant où l' eau coule à flots",
    "a very long caption about a train that passes and passes and whistles while people on the platform talk and laugh",
    "birds sing in the trees at dawn",
    "zyx wvu",
    "a clock ticks",
    "🐶 barks twice",
    "wind blows",
]
REFERENCES = [
    ["the cat is on the mat", "there is a cat on the mat"],
    [
        "a dog barks",
        "a dog barks a dog barks",
        "two dogs bark at one another",
        "barking",
        "a dog barks a dog barks a dog",
    ],
    ["silence", "nothing is heard"],
    ["rain rain rain", "rain"],
    ["犬 が 吠える", "犬 が 二 回 吠える"],
    ["l' eau coule dans un café", "un café où l' eau coule à flots"],
    ["a train passes", "a train whistles"],
    ["birds sing in the trees at dawn"] * 3,
    ["something nobody else says", "something else"],
    ["a clock ticks", "ticks a clock", "clock a ticks"],
    ["🐶 barks", "a dog barks twice"],
    ["wind blows strongly through the leaves of an old tree and howls around the house all night long"],
]

# Printed by pycocoevalcap 1.2 on these words; aac-metrics 0.5.5 prints the same to the fifteenth decimal.
CORPUS = {
    "BLEU-1": 0.5857142857059183,
    "BLEU-2": 0.5177245801695383,
    "BLEU-3": 0.45305417496404216,
    "BLEU-4": 0.4061738410596928,
    "ROUGE-L": 0.6155863407349488,
    "CIDEr-D": 2.6909970758747774,
}
CLIPS = {
    "BLEU-1": [
        0.2857142856326532,
        0.6666666666111113,
        0.0,
        0.999999998000002,
        0.9999999993333338,
        0.8888888887901236,
        0.19047619046712022,
        0.9999999997142859,
        4.999999995000003e-16,
        0.9999999993333338,
        0.999999999666667,
        0.00033546262756705054,
    ],
    "BLEU-2": [
        6.900655591369778e-09,
        0.6513389472221843,
        0.0,
        0.0009999999985000015,
        0.9999999992500005,
        0.8164965808313341,
        0.09759000729009006,
        0.9999999997023811,
        7.071067803026644e-16,
        0.9999999992500005,
        0.9999999995833336,
        0.00033546262748318495,
    ],
    "BLEU-3": [
        2.119679665233836e-11,
        0.6337555593509505,
        0.0,
        9.999999986666685e-05,
        0.9999999990555564,
        0.724920248577021,
        7.943630475591013e-07,
        0.9999999996873018,
        7.937005251904008e-13,
        0.9999999990555564,
        9.999999993888897e-06,
        3.3546262756705064e-06,
    ],
    "BLEU-4": [
        1.2421889947162098e-12,
        0.6132297419994577,
        0.0,
        3.162277656215536e-05,
        0.03162277657664911,
        0.6606328635126455,
        2.297185935726835e-09,
        0.9999999996672622,
        2.659147946145741e-11,
        0.03162277657664911,
        5.623413249326094e-06,
        3.354626276089833e-07,
    ],
    "ROUGE-L": [
        0.31202046035805625,
        0.8299319727891156,
        0.0,
        1.0,
        1.0,
        0.9512670565302144,
        0.2890995260663507,
        1.0,
        0.0,
        1.0,
        0.8299319727891156,
        0.17478510028653294,
    ],
    "CIDEr-D": [
        0.22478933465705003,
        1.602908421507954,
        0.0,
        2.432449336133457,
        5.083980289310528,
        5.069052869250105,
        0.012004485676853863,
        10.0,
        0.0,
        4.583333333333333,
        3.2418063300516007,
        0.04164051057645016,
    ],
}


def test_scores_of_odd_captions_equal_those_of_pycocoevalcap():
    scores = caption_scores(CANDIDATES, REFERENCES, str.split)
    assert {name: scores.corpus[name] for name in CORPUS} == pytest.approx(CORPUS, abs=1e-9)
    for name, expected in CLIPS.items():
        assert scores.clips[name] == pytest.approx(expected, abs=1e-9)
