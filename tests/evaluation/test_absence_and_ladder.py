"""Absence and the ladder, with models that hear everything, or all but one thing: what they miss is what they fail."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from clapgen.errors import ClapgenError
from clapgen.evaluation.composition import evaluate_composition
from clapgen.evaluation.context import EvaluationContext
from clapgen.metrics.embeddings.composition import preferences

RATE = 8000
TONES = {"dog": 300, "rain": 700, "siren": 1500, "bell": 3100}
ORDERED = re.compile("then|before|followed by|prior to")


class Listener:
    """Finds the tones in both halves of a sound; reads labels, their order, and what is denied."""

    name, hash, dim, sample_rate, window_policy = "listener", "", 8, RATE, "whole clips"
    logit_scale = torch.tensor(4.0)

    def __init__(self, deaf_to: str = "") -> None:
        self.deaf_to = deaf_to

    def embed_audio(self, waveforms: Sequence[Any], sample_rate: int) -> torch.Tensor:
        halves = [np.array_split(np.asarray(waveform), 2) for waveform in waveforms]
        return self._embeddings([[self._tones(half) for half in pair] for pair in halves])

    def embed_text(self, texts: Sequence[str]) -> torch.Tensor:
        return self._embeddings([self._halves(text) for text in texts])

    def _tones(self, half: np.ndarray) -> np.ndarray:
        power = np.square(np.abs(np.fft.rfft(half)))
        frequencies = np.fft.rfftfreq(len(half), 1 / RATE)
        found = np.array([power[np.abs(frequencies - hertz) < 30].sum() for hertz in TONES.values()])
        return (found > 0.1 * found.max()).astype(float)

    def _halves(self, text: str) -> list[np.ndarray]:
        labels = re.findall("|".join(TONES), text)
        one_hot = [np.array([float(label == name) for name in TONES]) for label in labels]
        sign = -1.0 if re.search(r"without|\bno\b", text) and self.deaf_to != "absence" else 1.0
        return one_hot if ORDERED.search(text) else [sign * sum(one_hot)] * 2

    def _embeddings(self, halves: Sequence[Sequence[np.ndarray]]) -> torch.Tensor:
        if self.deaf_to == "order":
            halves = [[pair[0] + pair[1]] * 2 for pair in halves]
        return torch.nn.functional.normalize(torch.tensor(np.array([np.concatenate(pair) for pair in halves])), dim=1)


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    lines = ["path,labels"]
    for label, hertz in TONES.items():
        for number in range(2):
            tone = 0.2 * np.sin(2 * np.pi * hertz * np.arange(RATE) / RATE + number)
            soundfile.write(tmp_path / f"{label}{number}.wav", tone, RATE)
            lines.append(f"{label}{number}.wav,{label}")
    (tmp_path / "manifest.csv").write_text("\n".join(lines))
    return tmp_path / "manifest.csv"


def accuracies(manifest: Path, deaf_to: str = "", **options: Any) -> dict[str, float]:
    report = evaluate_composition(EvaluationContext(Listener(deaf_to)), manifest=manifest, items=20, **options)
    return {metric.name.removesuffix(": accuracy"): metric.value for metric in report.metrics}


WRONG, WITHOUT = "absence, one wrong sound in the caption", "absence, without what is not there"


def test_a_model_that_hears_everything_is_always_right(manifest: Path):
    found = accuracies(manifest, ladder=True)
    assert {value for name, value in found.items() if name.startswith(("absence", "ladder"))} == {1.0}
    assert sum(name.startswith("ladder") for name in found) == 5


def test_a_model_that_takes_no_dog_for_a_dog_prefers_what_it_hears(manifest: Path):
    found = accuracies(manifest, "absence")
    assert found[WITHOUT] == 0.0 and found[WRONG] == 1.0
    assert not any(name.startswith("ladder") for name in found)


def test_a_model_without_order_fails_on_the_upper_rungs_alone(manifest: Path):
    found = accuracies(manifest, "order", ladder=True)
    assert found["order"] == 0.0  # ties count as wrong
    rungs = [value for name, value in sorted(found.items()) if name.startswith("ladder")]
    assert rungs == [1.0, 1.0, 1.0, 0.0, 0.0]


def test_the_last_rung_may_be_about_unseen_classes(manifest: Path):
    context = EvaluationContext(Listener())
    report = evaluate_composition(context, manifest=manifest, items=5, ladder=True, unseen=["Siren", "bell", "ghost"])
    [rung] = [metric for metric in report.metrics if metric.name.startswith("ladder 5")]
    assert "of unseen classes" in rung.name and rung.value == 1.0 and rung.n == 20  # two sounds, two wordings
    with pytest.raises(ClapgenError, match="at least two classes"):
        evaluate_composition(context, manifest=manifest, items=5, ladder=True, unseen=["siren", "ghost"])
    with pytest.raises(ClapgenError, match="--unseen needs --ladder"):
        evaluate_composition(context, manifest=manifest, unseen=["siren", "bell"])
    with pytest.raises(ClapgenError, match="needs a manifest"):
        evaluate_composition(context, pairs="pairs.csv", ladder=True)


def test_the_chance_of_each_rung_is_stated(manifest: Path):
    report = evaluate_composition(EvaluationContext(Listener()), manifest=manifest, items=5, ladder=True)
    chances = [metric.note for metric in report.metrics if metric.name.startswith("ladder")]
    assert chances == ["chance 0.250", "chance 0.500", "chance 0.500", "chance 0.500", "chance 0.500"]


def test_random_embeddings_score_their_chance_and_ties_are_wrong():
    audio, right, wrong = np.random.default_rng(0).normal(size=(3, 4000, 8))
    assert preferences(audio, right, wrong).mean() == pytest.approx(0.5, abs=0.03)
    assert not preferences(audio, right, right).any()


def test_clips_that_cannot_be_used_are_named_if_too_few_are_left(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "dog.wav", np.sin(np.arange(RATE)), RATE)
    soundfile.write(tmp_path / "rain.wav", np.zeros(RATE), RATE)
    lines = "".join(f'{{"path": "{name}.wav", "labels": ["{name}"]}}\n' for name in ("dog", "rain"))
    (tmp_path / "manifest.jsonl").write_text(lines)
    with pytest.raises(ClapgenError, match=r"1 of 2 clips can be used, of 1 classes.*rain\.wav: is silent"):
        evaluate_composition(EvaluationContext(Listener()), manifest=tmp_path / "manifest.jsonl")
