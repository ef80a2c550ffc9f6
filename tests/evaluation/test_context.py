"""What evaluations share: metrics that cannot be measured become notes, broken inputs stay errors."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from clapgen.errors import ClapgenError
from clapgen.evaluation.context import EvaluationContext, try_metric
from clapgen.metrics.embeddings.prdc import diversity


def test_too_few_items_become_a_note() -> None:
    metric = try_metric("Diversity", 1, lambda: diversity(np.ones((1, 4))), scale="0 to 2", note="of all pairs")
    assert (metric.value, metric.n, metric.scale) == (None, 1, "0 to 2")
    assert "needs at least 2" in metric.note


def test_broken_embeddings_are_an_error() -> None:
    with pytest.raises(ClapgenError, match="contain NaN"):
        try_metric("Diversity", 4, lambda: diversity(np.full((4, 4), np.nan)))


def test_strict_turns_warnings_into_errors() -> None:
    assert EvaluationContext().warn_or_raise("Rates differ.", "Resample.") == "Rates differ."
    with pytest.raises(ClapgenError, match=r"Rates differ\. Resample\. \(--strict"):
        EvaluationContext(strict=True).warn_or_raise("Rates differ.", "Resample.")


def test_an_evaluation_without_a_model_is_refused() -> None:
    with pytest.raises(ClapgenError, match="needs a CLAP model"):
        EvaluationContext().embed_texts(["rain"])


def test_files_that_cannot_be_opened_are_not_identified(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(100), 8000)
    paths = [tmp_path / "a.wav", tmp_path / "missing.wav"]
    assert [file.path.name for file in EvaluationContext().identify(paths)] == ["a.wav"]
    with pytest.raises(ClapgenError, match=r"missing\.wav"):
        EvaluationContext(strict=True).identify(paths)
