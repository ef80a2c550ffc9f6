"""A report as valid JSON and as a table on the terminal."""

import json
import math

import numpy as np
import pytest
from report_examples import full_report

from clapgen.cli.report import print_report
from clapgen.errors import ClapgenError
from clapgen.evaluation import Metric, Report, Skipped
from clapgen.report.format import number, setting
from clapgen.report.model import json_safe, numeric_columns


def test_json_has_all_fields_and_no_nan(recordings):
    report = full_report(recordings)
    read = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert read == report.to_dict()
    assert set(read) == set(vars(report)) - {"sounds"}
    assert read["metrics"][0]["interval"] == [0.29, 0.334]
    assert read["clips"][0] == report.clips[0]
    assert read["clips"][-1]["score"] is None
    assert read["confusion"]["counts"] == [[9, 1], [3, 0]]
    assert read["skipped"][0]["reason"] == report.skipped[0].reason


def test_a_metric_that_is_not_finite_becomes_null_with_a_note():
    nan, inf = (Metric("FAD", value, 3, (0.0, value), note="symmetric") for value in (math.nan, -math.inf))
    for metric, word in ((nan, "nan"), (inf, "-inf")):
        [written] = Report("generation", "t", [metric]).to_dict()["metrics"]
        assert written["value"] is None
        assert written["interval"] is None
        assert written["note"].startswith("symmetric; ")
        assert f"the value is {word}" in written["note"]
    assert math.isnan(nan.value)  # the report itself is not touched


def test_json_accepts_numpy_and_torch_values():
    torch = pytest.importorskip("torch")
    value = {1: np.float32(0.5), "b": np.arange(3), "c": torch.tensor([1.0, math.nan]), "d": {"y", "x"}, "e": np.nan}
    assert json_safe(value) == {"1": 0.5, "b": [0, 1, 2], "c": [1.0, None], "d": ["x", "y"], "e": None}


def test_clips_are_ranked_worst_first_by_any_numeric_column(recordings):
    report = full_report(recordings)
    assert numeric_columns(report.clips) == ["score", "rank"]
    assert [row["score"] for row in report.ranked_clips()] == [index / 8 for index in range(len(recordings))]
    assert [row["rank"] for row in report.ranked_clips("rank")] == list(range(len(recordings), 0, -1))
    assert Report("captions", "no clips", []).ranked_clips() == []
    with pytest.raises(ClapgenError, match=r"by 'scor'; numeric columns: score, rank. Did you mean 'score'"):
        report.ranked_clips("scor")
    with pytest.raises(ClapgenError, match="prompt"):
        report.ranked_clips("prompt")


def test_classes_are_ranked_by_their_metric_and_none_is_lost(recordings):
    report = full_report(recordings)
    assert [row["accuracy"] for row in report.ranked_classes()] == [0.2, 0.9, None]
    report.classes = [{"class": "a", "n": 1}, {"class": "b", "n": 0}]
    assert report.ranked_classes() == report.classes


@pytest.mark.parametrize(
    ("value", "written"),
    [
        *[(0.31234, "0.312"), (-0.5, "-0.500"), (12.345, "12.35"), (123.456, "123.5"), (12345.6, "12346")],
        *[
            (0.00012, "0.00012"),
            (3e-9, "3e-09"),
            (-2e-16, "0.000"),
            (109.0, "109"),
            (1.0, "1.000"),
            (None, "-"),
            (math.nan, "-"),
            (math.inf, "-"),
            ("x", "x"),
        ],
        *[(np.float32(0.25), "0.250"), (np.int64(1234567), "1234567"), (0, "0"), (True, "True")],
    ],
)
def test_numbers_are_written_to_the_precision_that_is_read(value, written):
    assert number(value) == written


def test_settings_are_one_line():
    assert setting({"a": [1, 2.5, None], "b": {"c": False}}) == "a: 1, 2.5, none, b: c: no"


def test_the_terminal_shows_metrics_warnings_skipped_files_and_settings(capsys, recordings):
    report = full_report(recordings, text="plain [bold] text")
    report.skipped[:0] = [Skipped("a.wav", "a.wav is not audio.")]
    report.skipped += [Skipped(f"{index}.wav", "is empty") for index in range(40)]
    print_report(report)
    out, err = capsys.readouterr()
    assert err == ""
    lines = [line.rstrip() for line in out.splitlines()]
    assert lines[0] == "Title plain [bold] text"
    score = next(line for line in lines if line.startswith("CLAP score ↑"))
    assert score.split() == ["CLAP", "score", "↑", "0.312", "0.290", "to", "0.334", "200", "−1", "to", "1", "plain",
                             "[bold]", "text"]  # fmt: skip
    assert any(line.startswith("FAD ↓") and "the value is nan" in line for line in lines)
    assert "Warning: the clips are silent" in lines
    assert "model: default" in lines
    assert "42 files skipped:" in lines
    assert "  a.wav: is not audio." in lines
    assert "  plain [bold] text: plain [bold] text" in lines
    assert lines[-1] == "  and 22 more (all: --json, --html)"
    assert "7 clips; 12.3 s; clapgen 0.1" in out


def test_a_file_name_cannot_command_the_terminal_or_write_lines_of_its_own(capsys):
    name = "a\x1b]0;title\x07\nmetric 1.000\u202e.wav"
    report = Report("generation", name, [Metric(name, 0.5, 1, note=name)], clips=[{"path": name}], command=name)
    report.warnings, report.skipped, report.settings = [name], [Skipped(name, name)], {name: name}
    print_report(report)
    out = capsys.readouterr().out
    assert not set(out) & {"\x1b", "\x07", "\u202e"}
    assert "\\x1b" in out
    outside_the_table = out[: out.index("\n")] + out[out.index("Warning") :]
    assert "\nmetric 1.000" not in outside_the_table
