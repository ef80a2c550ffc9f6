"""Prompt files as people have them: text, tables, JSON, in the encodings that programs write."""

import io
import json
import logging
from pathlib import Path

import pytest

from clapgen.errors import ClapgenError
from generation.prompt_files import SUFFIXES, requests_from_file
from generation.requests import GenerationRequest

RAIN, WIND = GenerationRequest("rain, heavy", seed=5), GenerationRequest("wind", seed=6)
ROWS = [{"prompt": "rain, heavy", "seed": 5}, {"prompt": "wind", "seed": 6}]
CONTENTS = {
    "a.csv": 'prompt,seed\n"rain, heavy",5\nwind,6\n',
    "caption.csv": 'caption,seed\n"rain, heavy",5\n\nwind,6\n',
    "a.tsv": "text\tseed\nrain, heavy\t5\nwind\t6\n",
    "a.json": json.dumps(ROWS),
    "a.jsonl": "\n".join(map(json.dumps, ROWS)),
    "a.ndjson": "\n".join(json.dumps({"text": row["prompt"], "seed": row["seed"]}) for row in ROWS) + "\n",
    "A.CSV": "prompt,seed\r\n'rain, heavy',5".replace("'", '"') + "\r\nwind,6.0\r\n",
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("name", CONTENTS)
def test_rows_give_their_prompt_and_settings(tmp_path: Path, name: str, encoding: str) -> None:
    (tmp_path / name).write_bytes(CONTENTS[name].encode(encoding))
    assert requests_from_file(tmp_path / name, {}) == [RAIN, WIND]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_lines_of_text_are_prompts(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.txt").write_bytes("Regen auf dem Dach\r\n\r\nwind 風\r\n".encode(encoding))
    assert [request.prompt for request in requests_from_file(tmp_path / "a.txt", {})] == [
        "Regen auf dem Dach",
        "wind 風",
    ]


def test_a_list_of_strings_is_a_list_of_prompts(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('["rain", {"prompt": "wind", "peak": -3}]')
    rain, wind = requests_from_file(tmp_path / "a.json", {"loudness": -20.0})
    assert (rain.loudness, rain.peak) == (-20.0, None)
    assert (wind.loudness, wind.peak) == (None, -3.0)


def test_standard_input_has_a_prompt_on_each_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"rain\nwind\n")))
    assert [request.prompt for request in requests_from_file(Path("-"), {})] == ["rain", "wind"]


def test_cells_are_read_as_their_settings(tmp_path: Path) -> None:
    header = "prompt,seconds,steps,seed,level,name,negative_prompt,guidance_scale"
    (tmp_path / "a.csv").write_text(f"{header}\nrain,2.5,4,18446744073709551615,as-is,007,,1e0\n")
    [request] = requests_from_file(tmp_path / "a.csv", {"negative_prompt": "wind"})
    assert request == GenerationRequest(
        "rain", seconds=2.5, num_steps=4, seed=2**64 - 1, level="as-is", name="007", negative_prompt="wind",
        guidance_scale=1.0,
    )  # fmt: skip


def test_columns_that_are_not_settings_are_announced(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.csv").write_text("id,prompt,caption\n1,rain,x\n2,wind,y\n")
    with caplog.at_level(logging.WARNING):
        assert len(requests_from_file(tmp_path / "a.csv", {})) == 2
    assert caplog.messages == [f"{tmp_path / 'a.csv'}: ignoring the unknown columns: caption, id"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.md", "rain", "unsupported type of prompt file"),
        ("prompts", "rain", "unsupported type of prompt file"),
        ("a.wav", "RIFF", "unsupported type of prompt file"),
        ("a.csv", "rain on a roof\na dog\n", "no column 'prompt'"),
        ("a.csv", "prompt,seed\nrain,soon\n", r"a\.csv:2: 'seed' must be a whole number"),
        ("a.csv", "prompt,seed\nrain,1\n,2\n", r"a\.csv:3: the prompt is empty"),
        ("a.csv", "prompt,seed\n", "no prompt"),
        ("a.json", "[]", "no prompt"),
        ("a.json", '[["rain"]]', "item 1.*neither a prompt"),
        ("a.json", '{"prompts": ["rain"]}', "the prompt must be text, not missing"),
        ("a.json", "[" * 100_000, "nested too deeply"),
        ("a.json", "[", "invalid JSON"),
        ("a.jsonl", '{"prompt": "rain", "caption": "wind"}', "unknown key 'caption'"),
        ("a.json", '{"prompt": "rain", "peak": -3, "loudness": -20}', "exclude each other"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, name: str, content: str, words: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ClapgenError, match=words):
        requests_from_file(tmp_path / name, {})


def test_the_type_of_every_file_is_known(tmp_path: Path) -> None:
    for suffix in SUFFIXES:
        (tmp_path / f"a{suffix}").write_text("")
        with pytest.raises(ClapgenError, match=r"no prompt|invalid JSON"):
            requests_from_file(tmp_path / f"a{suffix}", {})
