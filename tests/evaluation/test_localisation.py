"""Localisation evaluated with a CLAP that is always right, and with one that knows nothing."""

import json
from pathlib import Path

import pytest
import soundfile
import torch
from localisation.known_clap import LABELS, RATE, KnownClap, sound

from clapgen.data.events import TimedLabel
from clapgen.errors import ClapgenError
from clapgen.evaluation import Report
from clapgen.evaluation.context import EvaluationContext
from clapgen.evaluation.localisation import LocalisationOptions, evaluate_localisation
from clapgen.evaluation.localised_sounds import KnownSound, asked_queries
from clapgen.localisation.probabilities import CosineProbability

SURE = CosineProbability(scale=12.0, bias=-6.0)
OPTIONS = LocalisationOptions(window=0.2)
SPANS = ([(0, 1.0, 3.0), (1, 5.0, 7.0)], [(1, 0.5, 2.0)], [(2, 2.0, 3.0), (2, 6.0, 8.0)], [(0, 4.0, 9.0)])


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    lines = []
    for index, spans in enumerate(SPANS):
        soundfile.write(tmp_path / f"{index}.wav", sound(10, *spans), RATE)
        events = [{"label": LABELS[tone], "start": start, "end": end} for tone, start, end in spans]
        lines.append(json.dumps({"path": f"{index}.wav", "events": events}) + "\n")
    (tmp_path / "manifest.jsonl").write_text("".join(lines))
    return tmp_path / "manifest.jsonl"


def values(report: Report) -> dict[str, float | None]:
    return {metric.name: metric.value for metric in report.metrics}


def test_a_model_that_is_right_is_perfect(scenes: Path) -> None:
    report = evaluate_localisation(scenes, EvaluationContext(KnownClap()), OPTIONS, probability=SURE)
    found = values(report)
    for name in ("mean of labels", "all frames together"):
        assert found[f"frame AUROC, {name}"] > 0.98
        assert found[f"window cosine: frame AUROC, {name}"] > 0.95
    assert found["segment F1, collar 0.5 s"] == found["segment F1, intersection 0.5"] == 1
    assert found["best segment F1, intersection 0.5"] == 1
    assert found["events found over false alarms (PSDS-like)"] == 1
    assert found["false segments an hour"] == found["absent sounds found"] == 0
    assert found["mean probability of absent sounds"] < 0.01
    assert found["expected calibration error"] < 0.06
    assert len(report.classes) == 3 and sum(row["n"] for row in report.classes) == 6
    assert len(report.clips) == 5 and all(row["found"] == row["events"] for row in report.clips)
    assert [metric.n for metric in report.metrics if metric.name == "absent sounds found"] == [4 * 3 - 5]


def test_a_model_that_is_wrong_or_blind_is_not(scenes: Path) -> None:
    class Wrong(KnownClap):
        def embed_text(self, texts: list[str]) -> torch.Tensor:
            return super().embed_text(texts).roll(1, dims=1)  # each label means another tone

    class Blind(KnownClap):
        def embed_text(self, texts: list[str]) -> torch.Tensor:
            return torch.full((len(texts), 4), 0.5)

    found = values(evaluate_localisation(scenes, EvaluationContext(Wrong()), OPTIONS, probability=SURE))
    assert found["frame AUROC, mean of labels"] < 0.5
    assert found["segment F1, intersection 0.5"] == 0 and found["absent sounds found"] > 0.2
    found = values(evaluate_localisation(scenes, EvaluationContext(Blind()), OPTIONS, probability=SURE))
    assert found["events found over false alarms (PSDS-like)"] < 0.2


def test_an_unreadable_sound_is_skipped_or_strictly_an_error(scenes: Path) -> None:
    scenes.with_name("1.wav").write_text("no sound")
    report = evaluate_localisation(scenes, EvaluationContext(KnownClap()), OPTIONS, probability=SURE)
    [skipped] = report.skipped
    assert skipped.path.endswith("1.wav") and "not audio" in skipped.reason
    with pytest.raises(ClapgenError, match="not audio"):
        evaluate_localisation(scenes, EvaluationContext(KnownClap(), strict=True), OPTIONS, probability=SURE)
    for index in range(4):
        scenes.with_name(f"{index}.wav").unlink()
    with pytest.raises(ClapgenError, match="none of the 4 sounds could be read"):
        evaluate_localisation(scenes, EvaluationContext(KnownClap()), OPTIONS, probability=SURE)


def test_an_event_after_the_end_of_its_sound_is_no_absent_sound(scenes: Path) -> None:
    lines = scenes.read_text().splitlines()
    first = json.loads(lines[0])
    first["events"].append({"label": LABELS[0], "start": 99.0, "end": 100.0})
    scenes.write_text("\n".join([json.dumps(first), *lines[1:]]))
    report = evaluate_localisation(scenes, EvaluationContext(KnownClap()), OPTIONS, probability=SURE)
    [skipped] = report.skipped
    assert "starts at 99 s, but the sound lasts" in skipped.reason


def test_scenes_are_composed_of_labelled_clips(tmp_path: Path) -> None:
    lines = []
    for tone, label in enumerate(LABELS):
        for index in range(2):
            name = f"{tone}{index}.wav"
            soundfile.write(tmp_path / name, sound(1.5 + index, (tone, 0.0, 3.0)), RATE)
            lines.append(json.dumps({"path": name, "kind": label, "labels": [label]}) + "\n")
    (tmp_path / "manifest.jsonl").write_text("".join(lines))

    def measure(seed: int) -> dict[str, float | None]:
        context = EvaluationContext(KnownClap(), seed=seed)
        manifest = tmp_path / "manifest.jsonl"
        report = evaluate_localisation(manifest, context, OPTIONS, compose=12, label_field="kind", probability=SURE)
        assert report.title.startswith("Localisation: 12 sounds")
        return values(report)

    assert measure(0) == measure(0) != measure(1)
    with pytest.raises(ClapgenError, match="has 'class'"):
        evaluate_localisation(
            tmp_path / "manifest.jsonl", EvaluationContext(KnownClap()), OPTIONS, compose=3, label_field="class"
        )


def test_what_may_be_true_in_other_words_is_not_asked() -> None:
    labels = ("dog bark", "dog", "bark", "puppy", "rain", "wind", "rainfall")
    sounds = [KnownSound(label, (TimedLabel(label, 0, 1),), lambda: None) for label in labels]
    asked = dict(zip(labels, asked_queries(sounds, 16, 0), strict=True))
    assert {"rain", "wind", "rainfall"} < set(asked["dog bark"]) and not {"dog", "bark"} & set(asked["dog bark"])
    assert "puppy" not in asked["dog"] and "dog" not in asked["puppy"]
    assert "dog bark" not in asked["dog"] and "dog bark" not in asked["bark"]
    assert asked["wind"][0] == "wind" and len(asked["wind"]) == len(labels)
    assert len(asked_queries(sounds, 2, 0)[5]) == 3
    assert asked_queries(sounds, 2, 0) == asked_queries(sounds, 2, 0) != asked_queries(sounds, 2, 1)
    also = KnownSound("storm", (TimedLabel("wind", 0, 1),), lambda: None, ("rain",))
    assert "rain" not in asked_queries([*sounds, also], 16, 0)[-1]


@pytest.mark.parametrize("options", [{"collar": 0.0}, {"window": -1.0}, {"threshold": 2.0}])
def test_options_out_of_range_are_refused(options: dict) -> None:
    with pytest.raises(ClapgenError):
        LocalisationOptions(**options)
