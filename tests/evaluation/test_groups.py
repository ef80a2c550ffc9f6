"""`--by FIELD`: metrics of the clips with each value of a field, against the metrics of the clips themselves."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from clapgen.clap import Clap
from clapgen.data.manifest import Clip
from clapgen.errors import ClapgenError
from clapgen.evaluation.context import EvaluationContext
from clapgen.evaluation.groups import group_metrics, groups_of
from clapgen.evaluation.retrieval import evaluate_retrieval
from clapgen.evaluation.zero_shot import evaluate_zero_shot
from clapgen.metrics.embeddings.multi_label import multi_label_average_precision
from clapgen.testing import SAMPLE_RATE, tiny_model

KINDS = ("bells", "bells", "dogs", "dogs", "dogs", None, "bells", "dogs")


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    lines = []
    for index, kind in enumerate(KINDS):
        rng = np.random.default_rng(index)
        soundfile.write(tmp_path / f"{index}.wav", 0.1 * rng.standard_normal(SAMPLE_RATE // (1 + index)), SAMPLE_RATE)
        labels = [("rain", "wind", "dog")[index % 3], *(["bells"] if index in (2, 5) else [])]
        line = {
            "path": f"{index}.wav",
            "captions": [f"{labels[0]} number {index}"],
            "labels": labels,
            "class": labels[0],
        }
        lines.append(line | ({"kind": kind, "fold": index % 2} if kind else {}))
    path = tmp_path / "manifest.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture
def context(tmp_path: Path) -> EvaluationContext:
    return EvaluationContext(Clap.from_pretrained(tiny_model(tmp_path / "model")))


def test_groups_are_sorted_by_size_and_lists_put_a_clip_into_several() -> None:
    clips = [Clip(Path(f"{i}"), labels=labels) for i, labels in enumerate((["a"], ["b", "a"], [], ["b"], ["b"]))]
    assert groups_of(clips, "labels") == {"b": [1, 3, 4], "a": [0, 1]}
    with pytest.raises(ClapgenError, match="no clip of the manifest has 'kind'"):
        groups_of(clips, "kind")
    many = [Clip(Path(f"{i}"), recording=f"r{i}") for i in range(101)]
    with pytest.raises(ClapgenError, match="makes 101 groups"):
        groups_of(many, "recording")


def test_a_table_puts_clips_into_the_kinds_of_their_labels(tmp_path: Path) -> None:
    table = tmp_path / "kinds.csv"
    table.write_text("label,kind\ndog,animals\nBark,animals\nrain,weather\nrain,water\n")
    clips = [Clip(Path(f"{i}"), labels=labels) for i, labels in enumerate((["dog", "bark"], ["rain"], ["gong"]))]
    assert groups_of(clips, str(table)) == {"animals": [0], "water": [1], "weather": [1]}
    with pytest.raises(ClapgenError, match="no clip has one of the labels"):
        groups_of(clips[2:], str(table))
    [metric] = group_metrics(clips[:1], str(table), {"recall": (np.array([1.0]), [0])}, seed=0)
    assert metric.name == "recall, kind animals"


def test_a_query_counts_for_the_group_of_its_clip() -> None:
    clips = [Clip(Path(f"{i}"), extra={"kind": kind}) for i, kind in enumerate("aab")]
    hits = (np.array([1.0, 0.0, 0.5, 1.0]), [0, 0, 1, 2])  # two queries of the first clip
    found = group_metrics(clips, "kind", {"recall": hits}, seed=0)
    assert [(metric.name, metric.value, metric.n) for metric in found] == [
        ("recall, kind a", 0.5, 3),
        ("recall, kind b", 1.0, 1),
    ]


def test_classification_and_tagging_by_kind(manifest: Path, context: EvaluationContext) -> None:
    for label_field, name in (("class", "accuracy"), ("labels", "accuracy of the first label")):
        report = evaluate_zero_shot(manifest, context, label_field=label_field, by="kind")
        found = {metric.name: metric for metric in report.metrics}
        for kind in ("bells", "dogs"):
            rows = [row for row, of_clip in zip(report.clips, KINDS, strict=True) if of_clip == kind]
            right = [str(row["predicted"]) in str(row.get("class") or row["labels"]).split("; ") for row in rows]
            assert found[f"{name}, kind {kind}"].value == pytest.approx(np.mean(right))
            assert found[f"{name}, kind {kind}"].n == KINDS.count(kind)
    assert "mAP@10 of the labels of a clip, kind dogs" in found
    plain = evaluate_zero_shot(manifest, context).metrics
    assert [metric.name for metric in report.metrics if "kind" not in metric.name] == [m.name for m in plain]


def test_retrieval_by_a_number_of_the_manifest(manifest: Path, context: EvaluationContext) -> None:
    report = evaluate_retrieval(manifest, context, by="fold")
    found = {metric.name: metric for metric in report.metrics if ", fold " in metric.name}
    assert len(found) == 4
    ways = ("text to audio", "audio to text")
    for way in ways:
        parts = [found[f"{way} R@10, identical captions, fold {fold}"] for fold in (0, 1)]
        assert sum(part.n for part in parts) == 7  # one clip has no fold
    with pytest.raises(ClapgenError, match="Did you mean 'fold'"):
        evaluate_retrieval(manifest, context, by="flod")


def test_the_precision_of_a_clips_labels_is_known() -> None:
    prompts = np.eye(4)
    audio = np.array([[4.0, 3, 2, 1], [1, 2, 3, 4], [1, 1, 1, 1]])
    truth = np.array([[1, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0]])
    found = multi_label_average_precision(audio, prompts, truth, list("abcd"))
    np.testing.assert_allclose(found.of_clips, [(1 + 2 / 3) / 2, 1 / 4, 1 / 4])  # equal cosines count against it
    assert found.first_is_right.tolist() == [True, False, False]
    assert found.top1 == pytest.approx(1 / 3)
    assert found.mean_of_clips == pytest.approx(found.of_clips.mean())
    without = multi_label_average_precision(audio[:2], prompts, np.array([[1, 0, 1, 0], [0, 0, 0, 0]]), list("abcd"))
    assert np.isnan(without.of_clips[1])
    assert without.mean_of_clips == pytest.approx(5 / 6)
