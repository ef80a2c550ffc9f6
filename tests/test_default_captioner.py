"""The shipped captioner: names sounds in whole English sentences, and belongs to the shipped CLAP."""

import re
from pathlib import Path

import numpy as np
import pytest

from captioning.captioner import Captioner
from captioning.decoding import Decoding
from clapgen.audio import read_audio
from clapgen.metrics.captions.scores import keyword_accuracy
from clapgen.metrics.captions.synonyms import load_synonyms

LABELS = {
    "cymbal": ["cymbal"],
    "door": ["door_wood_knock", "door"],
    "glass": ["glass_breaking"],
    "handclap": ["clapping"],
    "piano": ["piano"],
    "rooster": ["rooster"],
}


@pytest.fixture(scope="module")
def captioner() -> Captioner:
    return Captioner.from_pretrained()


def test_recordings_are_called_by_their_names(captioner: Captioner, recordings: list[Path]):
    sounds = [read_audio(path, captioner.clap.sample_rate)[0] for path in recordings]
    captions = captioner.caption(sounds, captioner.clap.sample_rate)
    labels = [LABELS[path.stem] for path in recordings]
    named = keyword_accuracy([caption.text for caption in captions], labels, load_synonyms())
    assert named.corpus["keyword_accuracy"] >= 0.8
    assert all(caption.score > 0.4 for caption in captions)


def test_captions_are_whole_words_whatever_is_heard(captioner: Captioner):
    chance = np.random.default_rng(0)
    rate = captioner.clap.sample_rate
    sounds = [chance.standard_normal(rate * 2).astype(np.float32) * level for level in (0.001, 0.05, 0.9)]
    sounds += [np.sin(np.arange(rate) * f).astype(np.float32) for f in (0.001, 0.05, 1.0)]
    for decoding in (Decoding(), Decoding(method="greedy"), Decoding(method="nucleus", seed=3)):
        for caption in captioner.caption(sounds, rate, decoding):
            assert re.fullmatch(r"[A-Z][A-Za-z0-9 ,.'’\-]*[A-Za-z0-9.]", caption.text), caption.text
            assert len(caption.text.split()) >= 2


@pytest.mark.slow
def test_company_does_not_change_a_caption(captioner: Captioner, recordings: list[Path]):
    sounds = [read_audio(path, captioner.clap.sample_rate)[0] for path in recordings]
    together = captioner.caption(sounds, captioner.clap.sample_rate)
    alone = [captioner.caption([sound], captioner.clap.sample_rate)[0] for sound in sounds]
    assert [caption.text for caption in together] == [caption.text for caption in alone]


def test_the_nearest_of_several_candidates_is_taken(captioner: Captioner, recordings: list[Path]):
    waveform, rate = read_audio(recordings[0])
    [one] = captioner.caption([waveform], rate)
    [several] = captioner.caption([waveform], rate, candidates=6)
    assert several.score >= one.score
    assert several.score == max(candidate.score for candidate in several.candidates)


def test_silence_is_called_so(captioner: Captioner):
    [caption] = captioner.caption([np.zeros(32_000, np.float32)], 32_000)
    assert caption.text == "Silence" and caption.note
