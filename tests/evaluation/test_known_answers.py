"""Evaluations of a model whose embeddings are random but known: every number is computed a second time."""

import csv
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from scipy.special import softmax
from scipy.stats import entropy

from clapgen.audio import read_audio
from clapgen.evaluation.captions import evaluate_captions
from clapgen.evaluation.composition import evaluate_composition
from clapgen.evaluation.context import EvaluationContext
from clapgen.evaluation.generation.evaluate import evaluate_generation
from clapgen.metrics.embeddings.clap_score import clap_score_bounds
from clapgen.metrics.embeddings.entailment import fit_thresholds

RATE, DIM, COUNT = 8000, 6, 8
PROMPTS = ("rain on a tin roof", "a dog barks twice", "wind in the trees", "church bells")


class RandomClap:
    """Embeds each sound and each sentence as a random direction of its own."""

    name, hash, dim, sample_rate, window_policy = "random", "", DIM, RATE, "whole clips"
    logit_scale = torch.tensor(4.0)

    def embed_audio(self, waveforms: Sequence[Any], sample_rate: int) -> torch.Tensor:
        return torch.stack([direction(np.asarray(waveform).tobytes()) for waveform in waveforms])

    def embed_frames(self, waveform: Any, sample_rate: int) -> torch.Tensor:
        return self.embed_audio([waveform], sample_rate)

    def embed_text(self, texts: Sequence[str]) -> torch.Tensor:
        return torch.stack([direction(text.encode()) for text in texts])


def direction(content: bytes) -> torch.Tensor:
    seed = int.from_bytes(hashlib.sha256(content).digest()[:8], "little")
    return torch.nn.functional.normalize(torch.from_numpy(np.random.default_rng(seed).normal(size=DIM)), dim=0).float()


def of_sounds(*paths: Path) -> np.ndarray:
    return RandomClap().embed_audio([read_audio(path)[0] for path in paths], RATE).double().numpy()


def of_texts(*texts: str) -> np.ndarray:
    return RandomClap().embed_text(texts).double().numpy()


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    """Eight generated sounds, and eight references of the same names; each prompt belongs to two sounds."""
    rng = np.random.default_rng(0)
    time = np.arange(RATE // 2) / RATE
    for side in ("made", "real"):
        (tmp_path / side).mkdir()
        for index in range(COUNT):
            tone = 0.3 * np.sin(2 * np.pi * rng.uniform(100, 2000) * time)
            soundfile.write(tmp_path / side / f"{index}.wav", tone, RATE)
    rows = [(f"{index}.wav", PROMPTS[index % 4], ("rain", "dog")[index % 2]) for index in range(COUNT)]
    write(tmp_path / "prompts.csv", ("file_name", "prompt", "label"), rows)
    return tmp_path


def write(path: Path, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    return path


def generation(sounds: Path) -> Any:
    return evaluate_generation(
        sounds / "made", EvaluationContext(RandomClap()), reference=sounds / "real", prompts=sounds / "prompts.csv"
    )


def values(report: Any) -> dict[str, float]:
    return {metric.name: metric.value for metric in report.metrics}


def test_posteriors_and_their_divergences_have_the_temperature_and_direction_they_state(sounds: Path) -> None:
    report = generation(sounds)
    found = values(report)
    prompts = of_texts("This is a sound of dog.", "This is a sound of rain.")
    made, real = (
        softmax(4.0 * of_sounds(*(sounds / side / f"{index}.wav" for index in range(COUNT))) @ prompts.T, axis=1)
        for side in ("made", "real")
    )
    divergences = entropy(real, made, axis=1)
    assert found["KL(ref‖gen)"] == pytest.approx(divergences.mean(), rel=1e-4)
    assert [clip["KL(ref‖gen)"] for clip in report.clips] == pytest.approx(divergences.tolist(), rel=1e-4)
    assert found["KL(ref‖gen) of mean posteriors"] == pytest.approx(entropy(real.mean(0), made.mean(0)), rel=1e-3)
    assert entropy(made, real, axis=1).mean() != pytest.approx(divergences.mean(), rel=1e-2)
    assert entropy(made.mean(0), real.mean(0)) != pytest.approx(entropy(real.mean(0), made.mean(0)), rel=1e-2)
    information = entropy(made, np.tile(made.mean(0), (COUNT, 1)), axis=1).mean()
    assert found["Inception score"] == pytest.approx(np.exp(information), rel=1e-4)


@pytest.mark.parametrize(
    ("name", "side"),
    [("CLAP score, prompts shuffled (floor)", "made"), ("CLAP score of real pairs, shuffled (floor)", "real")],
)
def test_shuffled_floors_pair_no_sound_with_its_own_words_in_another_row(sounds: Path, name: str, side: str) -> None:
    prompts = [PROMPTS[index % 4] for index in range(COUNT)]
    audio, text = of_sounds(*(sounds / side / f"{index}.wav" for index in range(COUNT))), of_texts(*prompts)
    apart, together = (clap_score_bounds(audio, text, groups=groups).floor.mean for groups in (prompts, None))
    assert abs(apart - together) > 1e-2
    assert values(generation(sounds))[name] == pytest.approx(apart, abs=1e-5)


def test_the_floor_of_captions_pairs_no_sound_with_the_same_caption(sounds: Path) -> None:
    captions = [PROMPTS[index % 4] for index in range(COUNT)]
    rows = [(f"{index}.wav", caption, "rain") for index, caption in enumerate(captions)]
    table = write(sounds / "captions.csv", ("file_name", "caption_predicted", "caption_1"), rows)
    found = values(evaluate_captions(table, EvaluationContext(RandomClap()), audio=sounds / "made"))
    audio, text = of_sounds(*(sounds / "made" / f"{index}.wav" for index in range(COUNT))), of_texts(*captions)
    apart, together = (clap_score_bounds(audio, text, groups=groups).floor.mean for groups in (captions, None))
    assert abs(apart - together) > 1e-2
    assert found["CLAP score of shuffled captions (floor)"] == pytest.approx(apart, abs=1e-5)
    assert found["CLAP score of captions"] == pytest.approx((audio * text).sum(1).mean(), abs=1e-5)


def test_entailment_thresholds_are_fitted_on_the_development_table_alone(sounds: Path) -> None:
    labels = [("entailment", "neutral", "contradiction")[index % 3] for index in range(COUNT)]
    fitted = {}
    for side in ("made", "real"):
        rows = [(f"{side}/{index}.wav", PROMPTS[index % 4], label) for index, label in enumerate(labels)]
        write(sounds / f"{side}.csv", ("path", "hypothesis", "label"), rows)
        audio = of_sounds(*(sounds / side / f"{index}.wav" for index in range(COUNT)))
        cosines = (audio * of_texts(*(PROMPTS[index % 4] for index in range(COUNT)))).sum(1)
        fitted[side] = fit_thresholds(cosines, labels)
    report = evaluate_composition(
        EvaluationContext(RandomClap()), entailment=sounds / "made.csv", entailment_dev=sounds / "real.csv"
    )
    low, high = map(float, re.findall(r"(?:below|from) (-?[\d.]+\d)", report.settings["entailment thresholds"]))
    assert (low, high) == (pytest.approx(fitted["real"].low, abs=1e-4), pytest.approx(fitted["real"].high, abs=1e-4))
    assert abs(fitted["real"].low - fitted["made"].low) > 1e-2
