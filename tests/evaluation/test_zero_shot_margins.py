"""Clips are ranked by the margin of their own class."""

import json

import numpy as np
import pytest

from clapgen.evaluation.zero_shot import _margins


def test_a_margin_is_the_nearest_own_prompt_minus_the_nearest_other():
    generator = np.random.default_rng(0)
    cosines, own = generator.uniform(-1, 1, (50, 6)), np.arange(6) < generator.integers(1, 6, (50, 1))
    naive = [
        max(c for c, mine in zip(row, mask, strict=True) if mine)
        - max(c for c, mine in zip(row, mask, strict=True) if not mine)
        for row, mask in zip(cosines, own, strict=True)
    ]
    assert _margins(cosines, own) == pytest.approx(naive)
    single = np.arange(6) == cosines.argmax(1)[:, None]
    assert min(_margins(cosines, single)) > 0


@pytest.mark.parametrize("labels", [["dog"], ["dog", "bark"]])
def test_clips_below_zero_are_the_misclassified_ones(labels, recordings, tmp_path):
    from clapgen.clap import Clap
    from clapgen.evaluation.context import EvaluationContext
    from clapgen.evaluation.zero_shot import evaluate_zero_shot
    from clapgen.testing import tiny_model

    lines = [
        {"path": str(path), "labels": labels if index % 2 else ["door"], "captions": ["x"], "split": "val"}
        for index, path in enumerate(recordings)
    ]
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_text("\n".join(json.dumps({**line, "recording": line["path"]}) for line in lines))
    report = evaluate_zero_shot(manifest, EvaluationContext(Clap.from_pretrained(tiny_model(tmp_path / "model"))))
    assert len(report.clips) == len(recordings)
    for row, line in zip(report.clips, lines, strict=True):
        assert (row["margin"] > 0) == (row["predicted"] in line["labels"])
    assert report.ranked_clips("margin")[0]["margin"] == min(row["margin"] for row in report.clips)
