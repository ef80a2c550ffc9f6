"""The tokenizer against Stanford's: the right-hand sides are CoreNLP 3.4.1's, less pycocoevalcap's punctuation."""

import pytest

from clapgen.metrics.captions.words import tokenize


@pytest.mark.parametrize(
    ("caption", "words"),
    [
        ("A dog's bark, and the dogs' barking.", "a dog 's bark and the dogs barking"),
        ("I can't, cannot, won't, don't, it's, we're", "i ca n't can not wo n't do n't it 's we 're"),
        ("they've, he'll, I'd, I’m, o'clock", "they 've he 'll i 'd i 'm o'clock"),
        ("gonna gotta wanna gimme lemme", "gon na got ta wan na gim me lem me"),
        ("\"quoted\" 'single quoted' “curly” ‘curly’", "quoted single quoted curly curly"),
        (
            "high-pitched well - spaced em—dash en–dash double--dash",
            "high-pitched well spaced em dash en dash double dash",
        ),
        ("3.5 seconds, 1,000 dogs; 5:30 pm 50% $5 #1", "3.5 seconds 1,000 dogs 5:30 pm 50 % $ 5 # 1"),
        ("a&b a & b 1/2 and/or man/woman w/ noise", "a&b a & b 1/2 and/or man/woman w / noise"),
        ("Mr. Smith vs. Mrs. Jones and U.S. Army at 5 p.m.", "mr. smith vs. mrs. jones and u.s. army at 5 p.m."),
        ("the '90s 10Hz 44.1kHz -5 dB +3 x*y a_b", "the '90s 10hz 44.1 khz -5 db +3 x * y a_b"),
        ("end.Start no space,comma wait... what…", "end.start no space comma wait what"),
        ("e-mail me@example.com", "e-mail me@example.com"),
        ("Café naïve über", "café naïve über"),
        ("犬が吠える", "犬が吠える"),
        ("", ""),
    ],
)
def test_captions_are_cut_as_by_stanford(caption, words):
    assert tokenize(caption) == words.split()


@pytest.mark.parametrize(
    ("caption", "words"),
    [
        ("a sound (like a bell) [low] {soft}", "a sound like a bell low soft"),  # Java: -lrb- like a bell -rrb- …
        ("what?! yes!! ¡hola!", "what yes hola"),  # Java: what ?! yes !! ¡ hola
        ("🐶 barks", "barks"),
        ("cafe\u0301", "café"),
        ("rock 'n' roll", "rock n roll"),  # Java: rock 'n' roll
        ("John M. Hanert", "john m hanert"),  # Java: john m. hanert
    ],
)
def test_where_it_differs_from_stanford(caption, words):
    assert tokenize(caption) == words.split()


def test_a_long_line_is_cut_at_once():
    assert len(tokenize("a." * 50_000 + "b ")) == 1
    assert len(tokenize("a dog " * 20_000)) == 40_000
