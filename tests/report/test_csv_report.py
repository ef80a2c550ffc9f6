"""The CSV of a report holds every clip, exactly, whatever is in its cells."""

import csv
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from report_examples import NASTY, full_report

from clapgen.data.csv_cells import from_text_cell
from clapgen.errors import ClapgenError
from clapgen.evaluation import Report
from clapgen.report.csv import write_csv

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
CELLS = st.one_of(TEXTS, st.integers(), st.floats(allow_nan=False, allow_infinity=False))


def read(path):
    with open(path, encoding="utf-8", newline="") as file:
        return [
            {from_text_cell(name): from_text_cell(cell) for name, cell in row.items()} for row in csv.DictReader(file)
        ]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.fixed_dictionaries({"path": TEXTS, "score": CELLS, 'a "quoted", name': CELLS}), min_size=1))
def test_what_is_written_is_read_back(tmp_path, rows):
    write_csv(Report("generation", "t", [], clips=rows), tmp_path / "clips.csv", force=True)
    back = read(tmp_path / "clips.csv")
    assert len(back) == len(rows)
    for row, written in zip(rows, back, strict=True):
        assert list(written) == list(rows[0])
        for name, value in row.items():
            assert (type(value)(written[name]) if not isinstance(value, str) else written[name]) == value


def test_missing_and_non_finite_values_are_empty_cells(tmp_path):
    clips = [
        {"path": "a.wav", "score": None},
        {"path": "b.wav", "score": math.nan},
        {"path": "c.wav", "more": -math.inf},
    ]
    write_csv(Report("generation", "t", [], clips=clips), tmp_path / "clips.csv")
    assert [list(row.values()) for row in read(tmp_path / "clips.csv")] == [[f"{name}.wav", "", ""] for name in "abc"]
    write_csv(Report("generation", "t", []), tmp_path / "none.csv")
    assert (tmp_path / "none.csv").read_text() == "path\n"


def test_a_file_name_that_is_not_utf8_stays_readable_and_files_are_not_replaced(tmp_path, recordings):
    report = full_report(recordings)
    write_csv(report, tmp_path / "clips.csv")
    rows = read(tmp_path / "clips.csv")
    assert len(rows) == len(recordings) + 1
    assert rows[0]["prompt"] == NASTY.replace("\udcff", "\\udcff")
    with pytest.raises(ClapgenError, match="already exists"):
        write_csv(Report("generation", "t", []), tmp_path / "clips.csv")
    assert read(tmp_path / "clips.csv") == rows
