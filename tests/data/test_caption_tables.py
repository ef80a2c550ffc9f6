"""Tables of captions: all formats give the same rows, and errors name the line."""

import csv
import json

import pytest

from clapgen.data.caption_tables import read_caption_table
from clapgen.data.tables import TableRow
from clapgen.errors import ClapgenError

ROWS = [
    ("a.wav", 'A dog, "Rex", barks', ["A dog barks", "A hound\nbarks"], ["dog", "bark"]),
    ("ünder the sea/b.wav", "", ["Une vague déferle"], ["sea waves"]),
]
GOOD = "file_name,caption_predicted,caption_1\n"


def contents(rows: list[TableRow]) -> list[tuple]:
    return [(*row.cells.values(), row.lists["references"], row.lists["labels"]) for row in rows]


def test_csv_in_the_format_of_aac_metrics(tmp_path):
    path = tmp_path / "a.csv"
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["", "file_name", "caption_2", "caption_predicted", "caption_1", "labels", "caption_10"])
        for number, (name, caption, references, labels) in enumerate(ROWS):
            first, second = [*references, ""][:2]
            writer.writerow([number, name, second, caption, first, " ; ".join(labels), ""])
    assert contents(read_caption_table(path)) == ROWS


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("names", [("file_name", "caption_predicted"), ("path", "caption")])
def test_json_lines(tmp_path, mark, names):
    lines = [
        {names[0]: name, names[1]: caption, "references": references, "labels": labels}
        | {"score": 0.3, "candidates": []}
        for name, caption, references, labels in ROWS
    ]
    path = tmp_path / "a.jsonl"
    path.write_text(mark + "\r\n\n".join(map(json.dumps, lines)), encoding="utf-8")
    assert contents(read_caption_table(path)) == ROWS


def test_byte_order_marks_tabs_and_carriage_returns_are_not_part_of_a_cell(tmp_path):
    path = tmp_path / "a.TSV"
    path.write_bytes(b"\xef\xbb\xbffile_name\tcaption\tcaption_1\r\na.wav\tIt rains, it pours\tRain\r\n\r\n")
    assert contents(read_caption_table(path)) == [("a.wav", "It rains, it pours", ["Rain"], [])]


def test_labels_alone_are_enough(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("path,caption,labels\na.wav,Rain falls,rain\n")
    assert contents(read_caption_table(path)) == [("a.wav", "Rain falls", [], ["rain"])]


def test_cells_are_never_evaluated(tmp_path):
    trap, cell = tmp_path / "trap", f"__import__('pathlib').Path({str(tmp_path / 'trap')!r}).touch()"
    path = tmp_path / "a.tsv"
    path.write_text(f"file_name\tcaption_predicted\tcaption_1\na.wav\t{cell}\t['a', 'b']\n")
    assert contents(read_caption_table(path)) == [("a.wav", cell, ["['a', 'b']"], [])]
    assert not trap.exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no captions"),
        (GOOD, "has no captions"),
        ("caption_predicted,caption_1\nA,B\n", r"a\.csv:1: .*no column 'file_name'"),
        (
            "file_name,caption_predictd,caption_1\na,A,B\n",
            r"a\.csv:1: .*no column 'caption_predicted'.*'caption_predictd'",
        ),
        ("file_name;caption_predicted;caption_1\na;A;B\n", r"a\.csv:1: .*the columns are file_name;caption_predicted"),
        (
            "file_name,caption_predicted,raw\na,A,B\n",
            r"a\.csv:2: 'a' has no references \(caption_1 in CSV.* and no labels",
        ),
        ("file_name,caption,caption,caption_1\na,A,B,C\n", r"a\.csv:1: the header has the column 'caption' twice"),
        (
            "file_name,caption,caption_predicted,caption_1\na,A,B,C\n",
            r"a\.csv:2: 'caption_predicted' and 'caption' diff",
        ),
        (GOOD + '"a\n2",A,B\nb,It rains, it pours,B\n', r"a\.csv:4: the row has 4 cells, the header 3"),
        (GOOD + "a,A\n", r"a\.csv:2: the row has 2 cells"),
        (GOOD + 'a,"A,B\nb,B,C\n', r"a\.csv:2: invalid CSV"),
        (GOOD + "a,A,B\n,A,B\n", r"a\.csv:3: the file name is empty"),
        (GOOD + "a,A,B\nb,A,B\na,B,B\n", r"a\.csv:4: 'a' is already on .*a\.csv:2; .* --window 0 "),
        (
            "file_name,caption,caption_1,labels\na,A,B,x\nb,A, ,x\n",
            r"a\.csv:3: 'b' has no reference, but other clips have",
        ),
        (GOOD + "a,A," + "x" * 200_000 + "\n", r"a\.csv:2: invalid CSV \(field larger"),
    ],
)
def test_a_csv_that_cannot_be_scored_is_named_by_its_line(tmp_path, text, message):
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(ClapgenError, match=message):
        read_caption_table(path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"path": "b", "references": ["B"]}', "no column 'caption_predicted'"),
        ('{"path": "b", "captoin": "B", "references": ["B"]}', "Did you mean 'captoin'"),
        ('{"path": 3, "caption": "B", "references": ["B"]}', "'path' is 3; it must be a string"),
        ('{"path": "b", "caption": ["B"], "references": ["B"]}', r"""'caption' is \["B"\]"""),
        ('{"path": "b", "caption": "B", "references": "B"}', """'references' is "B"; it must be a list"""),
        ('{"path": "b", "caption": "B", "references": [1]}', "'references' is"),
        ('{"path": "b", "caption": "B", "references": [], "labels": ["b"]}', "'b' has no reference"),
        ('{"path": "b", "caption": "B", "labels": []}', "'b' has no references"),
        ('["b", "B"]', "is not a JSON object"),
        ('{"path": "b"', "invalid JSON"),
        ("[" * 100_000, "invalid JSON"),
    ],
)
def test_a_line_of_json_that_cannot_be_scored_is_named(tmp_path, line, message):
    path = tmp_path / "a.jsonl"
    path.write_text('{"path": "a", "caption": "A", "references": ["A"]}\n\n' + line + "\n")
    with pytest.raises(ClapgenError, match=rf"a\.jsonl:3: .*{message}"):
        read_caption_table(path)


def test_another_encoding_is_named_with_its_line_and_byte(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes((GOOD + "a,A,B\nb,café,B\n").encode("latin-1"))
    with pytest.raises(ClapgenError, match=r"a\.csv:3: byte 0xe9 is not UTF-8 text; save the file as UTF-8"):
        read_caption_table(path)


@pytest.mark.parametrize(("name", "message"), [("a.xlsx", "Unsupported file type"), ("none.csv", "cannot read")])
def test_a_file_that_is_not_a_table_is_named(tmp_path, name, message):
    with pytest.raises(ClapgenError, match=message):
        read_caption_table(tmp_path / name)


def test_references_and_labels_may_come_from_a_manifest(tmp_path):
    manifest = tmp_path / "manifest.jsonl"
    clips = [
        {"path": "a/rain.wav", "captions": ["Rain falls"], "labels": ["rain"]},
        {"path": "b/rain.wav", "captions": ["It pours"], "labels": ["rain"]},
        {"path": "b/dog.wav", "captions": ["A dog barks", "A bark"], "labels": ["dog"]},
    ]
    manifest.write_text("\n".join(map(json.dumps, clips)))
    table = tmp_path / "captions.csv"
    table.write_text(f"file_name,caption_predicted\n{tmp_path / 'b' / 'rain.wav'},Rain\ndog.wav,A dog\n")
    first, second = read_caption_table(table, manifest)
    assert first.lists == {"references": ["It pours"], "labels": ["rain"]}
    assert second.lists["references"] == ["A dog barks", "A bark"]
    table.write_text("file_name,caption_predicted\nelsewhere/rain.wav,Rain\n")
    with pytest.raises(ClapgenError, match=r"captions.csv:2: 'elsewhere/rain.wav' is not in .*manifest.jsonl"):
        read_caption_table(table, manifest)
