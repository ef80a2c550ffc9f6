"""Tables of users: every format gives the same rows, and errors name the file and the line."""

import json
from pathlib import Path

import pytest

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
