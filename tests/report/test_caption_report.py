"""The table of a caption report says what was written and what should have been, and how sure the means are."""

import numpy as np
import pytest

from clapgen.evaluation.captions import evaluate_captions
from clapgen.evaluation.context import EvaluationContext

TABLE = """file_name,caption_predicted,caption_1,caption_2
a.wav,a dog barks,a dog barks,the dog is barking
b.wav,rain falls on a roof,rain falls,it rains on a roof
c.wav,a bell,church bells ring,a bell rings
"""


def test_rows_have_caption_and_reference_and_means_have_intervals(tmp_path):
    (tmp_path / "captions.csv").write_text(TABLE)
    report = evaluate_captions(tmp_path / "captions.csv", EvaluationContext(seed=1))
    assert [row["reference"] for row in report.clips] == ["a dog barks", "rain falls", "church bells ring"]
    assert [row["words"] for row in report.clips] == [3, 5, 2]
    metrics = {metric.name: metric for metric in report.metrics}
    for name in ("ROUGE-L", "CIDEr-D"):
        low, high = metrics[name].interval
        values = [row[name] for row in report.clips]
        assert metrics[name].value == pytest.approx(np.mean(values))
        assert min(values) <= low <= metrics[name].value <= high <= max(values)
    assert metrics["BLEU-4"].interval is None
    assert metrics["distinct captions"].value == 1
    assert report.ranked_clips("CIDEr-D")[-1]["path"] == "a.wav"
