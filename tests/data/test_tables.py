"""Tables of users: every format gives the same rows, and errors name the file and the line."""

import json
from pathlib import Path

import pytest

from clapgen.data.csv_cells import as_text_cell, from_text_cell, write_csv_rows
from clapgen.data.tables import TableRow, read_table, table_rows
from clapgen.data.text import parse_labels
from clapgen.errors import ClapgenError

REQUIRED = {"name": ("file_name", "path"), "prompt": ("prompt",)}
ROWS = [("a.wav", "rain, then wind", ["rain", "wind"]), ("b.wav", "bells", [])]


def write(path: Path) -> Path:
    if path.suffix == ".jsonl":
        rows = [json.dumps({"path": name, "prompt": text, "labels": labels}) for name, text, labels in ROWS]
    else:
        tab = "\t" if path.suffix == ".tsv" else ","
        rows = [tab.join(("path", "prompt", "labels"))]
        rows += [tab.join((name, f'"{text}"', "; ".join(labels))) for name, text, labels in ROWS]
    path.write_text("\n\n".join(rows) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl"])
def test_every_format_gives_the_same_rows(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"table{suffix}")
    rows = read_table(path, REQUIRED, lists={"labels": ("labels", "label")})
    first = 1 if suffix == ".jsonl" else 3
    assert rows == [
        TableRow(f"{path}:{first + 2 * index}", {"name": name, "prompt": text}, {"labels": labels})
        for index, (name, text, labels) in enumerate(ROWS)
    ]
    assert [where for where, _ in table_rows(path)] == [row.where for row in rows]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "path,promt\na,b\n", r"a\.csv:1: no column 'prompt'; .*path, promt\. Did you mean 'promt'"),
        ("a.csv", "path,prompt\na\n", r"a\.csv:2: the row has 1 cells, the header 2"),
        ("a.csv", "path,path,prompt\na,b,c\n", r"a\.csv:1: the header has the column 'path' twice"),
        ("a.csv", 'path,prompt\na,"b\n', r"a\.csv:2: invalid CSV"),
        ("a.tsv", "path\tprompt\na\t\n", r"a\.tsv:2: 'prompt' is empty"),
        ("a.jsonl", '{"path": "a", "prompt": "b"}\n{"path": "a"}\n', r"a\.jsonl:2: no column 'prompt'"),
        ("a.jsonl", '{"path": "a", "prompt": ["b"]}\n', r"""a\.jsonl:1: 'prompt' must be text, not \["b"\]"""),
        ("a.csv", 'path,prompt\na,b\n"c,d\ne,f\ng,h\n', r"a\.csv:3: invalid CSV .* double quote left open or stray"),
        ("a.csv", 'path,prompt\na,b\nc,"d\ne,f\ng,h"\n', r"a\.csv:3: a cell that starts here continues over 3 lines"),
        ("a.tsv", 'path\tprompt\nc\t"d\ne\tf\ng\th"\n', r"a\.tsv:2: a cell that starts here"),
        ("a.csv", "path,prompt\n", "has no rows"),
        ("a.xlsx", "", "Unsupported file type"),
    ],
)
def test_a_table_that_cannot_be_used_is_named_by_its_line(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ClapgenError, match=message):
        read_table(tmp_path / name, REQUIRED)


def test_labels_of_an_option_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("rain\n\n church  bells \n")
    assert (
        parse_labels("rain, church bells,") == parse_labels(f"@{tmp_path / 'labels.txt'}") == ["rain", "church bells"]
    )
    with pytest.raises(ClapgenError, match="lists 'rain' more than once"):
        parse_labels("rain,wind,rain")
    with pytest.raises(ClapgenError, match="at least two labels"):
        parse_labels("rain")


def test_a_cell_may_have_line_breaks(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('path,prompt\na.wav,"Rain falls\non a roof,\nloudly"\n')
    assert [row.cells["prompt"] for row in read_table(tmp_path / "a.csv", REQUIRED)] == ["Rain falls on a roof, loudly"]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl"])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_tables_as_windows_programs_write_them(tmp_path: Path, suffix: str, encoding: str) -> None:
    path = write(tmp_path / f"table{suffix}")
    expected = read_table(path, REQUIRED)
    path.write_text(path.read_text(encoding="utf-8"), encoding=encoding, newline="\r\n")
    assert read_table(path, REQUIRED) == expected


def test_a_file_is_found_with_or_without_the_spaces_of_its_cell(tmp_path: Path) -> None:
    (tmp_path / " a.wav").touch()
    (tmp_path / "table.csv").write_text("path,prompt\n a.wav,rain\n b.wav ,wind\n")
    rows = read_table(tmp_path / "table.csv", REQUIRED, files=("name",))
    assert [row.path("name", tmp_path).name for row in rows] == [" a.wav", "b.wav"]


@pytest.mark.parametrize("text", ["=1+1", "+x", "-x", "@x", "\tx", "\rx", "'=x", "''-", "'quoted'", "plain", ""])
def test_text_that_looks_like_a_formula_is_written_as_text_and_read_back(tmp_path: Path, text: str) -> None:
    cell = as_text_cell(text)
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert from_text_cell(cell) == text
    write_csv_rows(tmp_path / "a.csv", ["path", "n"], [[text, -1.5]])
    if text:
        assert [row for _, row in table_rows(tmp_path / "a.csv")] == [{"path": text, "n": "-1.5"}]
