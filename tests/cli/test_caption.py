"""`clapgen caption` agrees with the Python interface: on files, folders, long recordings and silence."""

import csv
import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from command_line import Command, assert_one_line, finish, names, start, write_parts, write_tone

from captioning.captioner import Captioner
from captioning.decoding import Decoding
from clapgen.audio import read_audio
from clapgen.testing import SAMPLE_RATE


def said_by(captioner: Captioner, path: Path, **options: Any) -> Any:
    return captioner.caption([read_audio(path, SAMPLE_RATE)[0]], SAMPLE_RATE, **options)[0]


def test_one_sound_gives_its_caption_and_nothing_else(
    caption: Command, pitches: list[Path], captioner: Captioner
) -> None:
    result = caption(pitches[0])
    assert (result.code, result.out, result.err) == (0, said_by(captioner, pitches[0]).text + "\n", "")


def test_several_give_their_paths_too_in_the_order_given(
    caption: Command, pitches: list[Path], captioner: Captioner
) -> None:
    expected = [f"{path}\t{said_by(captioner, path).text}" for path in pitches]
    assert caption("tones").out.splitlines() == expected
    assert caption(*reversed(pitches)).out.splitlines() == expected[::-1]
    assert len({line.split("\t")[1] for line in expected}) > 1


def test_the_score_is_the_cosine_of_sound_and_caption(
    caption: Command, pitches: list[Path], captioner: Captioner
) -> None:
    for line in caption(*pitches, "--json").json:
        sound = captioner.clap.embed_audio([read_audio(line["path"], SAMPLE_RATE)[0]], SAMPLE_RATE)
        text = captioner.clap.embed_text([line["caption"]])
        assert line["score"] == pytest.approx(float(sound[0] @ text[0]), abs=1e-5)


def test_json_says_all_that_decides(caption: Command, pitches: list[Path], captioner: Captioner) -> None:
    result = caption(*pitches, "--json", "--candidates", 3, "--bridge", "memory")
    assert result.code == 0 and result.err == ""
    memory = Captioner.from_pretrained(captioner.name, bridge="memory")
    for path, line in zip(pitches, result.json, strict=True):
        expected = said_by(memory, path, candidates=3)
        assert (line["path"], line["caption"], line["bridge"]) == (str(path), expected.text, "memory")
        assert (line["start"], line["end"], line["unsure"], line["note"]) == (0, 0.6, False, "")
        assert line["score"] == pytest.approx(expected.score, abs=1e-5)
        assert [each["caption"] for each in line["candidates"]] == [each.text for each in expected.candidates]
        scores = [each["score"] for each in line["candidates"]]
        assert scores == sorted(scores, reverse=True) and scores[0] == line["score"]
        assert line["model"] == {
            "name": captioner.name,
            "hashes": {"clap": captioner.clap.hash, "captioner": captioner.hash},
        }


@pytest.mark.parametrize(
    ("options", "decoding"),
    [
        (["--beams", 3, "--length-penalty", "-2"], Decoding(beams=3, length_penalty=-2.0, max_tokens=8)),
        (["--method", "greedy"], Decoding(method="greedy", beams=2, max_tokens=8)),
        (
            ["--method", "nucleus", "--top-p", "0.8", "--temperature", "1.5", "--seed", 4],
            Decoding("nucleus", 2, top_p=0.8, temperature=1.5, max_tokens=8, seed=4),
        ),
    ],
)
def test_decoding_is_as_asked_for(
    caption: Command, pitches: list[Path], captioner: Captioner, options: list[Any], decoding: Decoding
) -> None:
    expected = [said_by(captioner, path, decoding=decoding).text for path in pitches]
    assert [line["caption"] for line in caption(*pitches, *options, "--json").json] == expected
    assert caption(*pitches, *options).out == caption(*pitches, *options).out


def test_a_long_sound_is_captioned_window_by_window(caption: Command, here: Path, captioner: Captioner) -> None:
    long = write_parts(Path("long.wav"), (2, 110, 0.5), (2, 1000, 0.5), (1.5, 3000, 0.5))
    lines = caption(long, "--window", 2).out.splitlines()
    assert [line.split("\t")[0] for line in lines] == ["0:00–0:02", "0:02–0:04", "0:03.5–0:05.5"]
    rows = caption(long, "--window", 2, "--json").json
    for row, line in zip(rows, lines, strict=True):
        waveform, _ = read_audio(long, SAMPLE_RATE, row["start"], row["end"] - row["start"])
        assert row["caption"] == line.split("\t")[1] == captioner.caption([waveform], SAMPLE_RATE)[0].text
    assert [(row["start"], row["end"]) for row in rows] == [(0, 2), (2, 4), (3.5, 5.5)]
    write_tone(here / "short.wav")
    lines = caption(long, "short.wav", "--window", 3).out.splitlines()
    beginnings = ["long.wav\t0:00–0:03", "long.wav\t0:02.5–0:05.5", "short.wav"]
    assert [line.rpartition("\t")[0] for line in lines] == beginnings


def test_a_little_more_than_a_window_is_no_window_of_its_own(caption: Command, here: Path) -> None:
    write_parts(Path("long.wav"), (2.1, 440, 0.5))
    [row] = caption("long.wav", "--window", 2, "--json").json
    assert (row["start"], row["end"]) == (0, 2.1)
    assert len(caption("long.wav", "--window", 0, "--json").json) == 1
    assert len(caption("long.wav", "--window", 1, "--json").json) == 2


@pytest.mark.parametrize(("peak", "note"), [(0.0, "digital silence"), (0.0005, "silent: peaks at -66 dBFS")])
def test_silence_is_called_silence(caption: Command, here: Path, captioner: Captioner, peak: float, note: str) -> None:
    quiet = write_parts(Path("quiet.wav"), (1, 440, peak))
    result = caption(quiet)
    assert (result.code, result.out, result.err) == (
        0,
        "Silence\n",
        f"clapgen: quiet.wav: {note}; not captioned.\n",
    )
    [row] = caption(quiet, "--json", "--min-score", 1).json
    assert (row["caption"], row["note"], row["candidates"], row["unsure"]) == ("Silence", note, [], False)
    sound = captioner.clap.embed_audio([read_audio(quiet, SAMPLE_RATE)[0]], SAMPLE_RATE)
    assert row["score"] == pytest.approx(float(sound[0] @ captioner.clap.embed_text(["Silence"])[0]), abs=1e-5)


def test_quiet_is_not_silent_and_silent_windows_are_told(caption: Command, here: Path) -> None:
    write_parts(Path("faint.wav"), (1, 440, 0.002))
    assert caption("faint.wav").out != "Silence\n"
    write_parts(Path("half.wav"), (2, 440, 0.5), (2, 440, 0), (2, 440, 0.5))
    result = caption("half.wav", "--window", 2)
    assert [line.split("\t")[1] == "Silence" for line in result.out.splitlines()] == [False, True, False]
    assert result.err == "clapgen: half.wav: 1 of 3 windows are silent.\n"


def test_captions_below_the_lowest_score_are_marked(
    caption: Command, pitches: list[Path], captioner: Captioner
) -> None:
    scores = sorted(said_by(captioner, path).score for path in pitches)
    middle = (scores[1] + scores[2]) / 2
    rows = caption(*pitches, "--min-score", middle, "--json").json
    assert [row["unsure"] for row in rows] == [row["score"] < middle for row in rows]
    result = caption(*pitches, "--min-score", middle)
    for row, line in zip(rows, result.out.splitlines(), strict=True):
        assert line == f"{row['path']}\t" + (f"[{row['caption']}]" if row["unsure"] else row["caption"])
    assert [line.split(":")[1].strip() for line in result.err.splitlines()] == [r["path"] for r in rows if r["unsure"]]
    assert f"the CLAP score {scores[0]:.2f} is below {middle:g}" in result.err


def test_tables_and_sidecars_say_the_same(caption: Command, pitches: list[Path]) -> None:
    write_parts(Path("tones/long.wav"), (2, 440, 0.5), (2, 440, 0.0))
    options = ("--window", 2, "--min-score", 0.99, "--csv", "out/all.csv", "--jsonl", "all.jsonl", "--sidecar")
    rows = caption("tones", *options, "--json").json
    assert [json.loads(line) for line in Path("all.jsonl").read_text().splitlines()] == rows
    with Path("out/all.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [(r["file_name"], r["caption_predicted"], float(r["start"])) for r in table] == [
        (r["path"], r["caption"], r["start"]) for r in rows
    ]
    assert [r["note"] for r in table] == ["unsure"] * 5 + ["digital silence"]
    assert all(abs(float(r["score"]) - row["score"]) < 1e-4 for r, row in zip(table, rows, strict=True))
    sidecar = json.loads(Path("tones/long.wav.caption.json").read_text())
    own = {"start", "end", "caption", "score", "unsure", "note", "candidates"}
    assert sidecar["captions"] == [{key: row[key] for key in own} for row in rows[4:]]
    assert (sidecar["path"], sidecar["model"], sidecar["window"]) == ("long.wav", rows[0]["model"], 2)
    assert sidecar["decoding"]["beams"] == 2 and len(list(Path("tones").glob("*.wav.caption.json"))) == 5
    assert [row["path"] for row in caption("tones", "--window", 0, "--json").json] == sorted({r["path"] for r in rows})


@pytest.mark.parametrize(
    ("name", "options"),
    [("a.csv", ["--csv", "a.csv"]), ("a.jsonl", ["--jsonl", "a.jsonl"]), ("tones/b.wav.caption.json", ["--sidecar"])],
)
def test_files_that_are_there_are_kept_unless_forced(
    caption: Command, pitches: list[Path], name: str, options: list[str]
) -> None:
    Path(name).write_text("mine")
    before = names(Path("tones"))
    assert_one_line(caption("tones", *options), f"{name} already exists", "--force")
    assert Path(name).read_text() == "mine" and names(Path("tones")) == before
    assert caption("tones", *options, "--force").code == 0
    assert Path(name).read_text() != "mine"


@pytest.mark.slow
def test_ctrl_c_writes_what_is_done(pitches: list[Path], captioner_model: Path) -> None:
    for index in range(600):
        shutil.copy(pitches[index % 4], f"tones/many-{index:03d}.wav")
    process = start(
        "caption", "tones", "--model", captioner_model, "--csv", "all.csv", "--candidates", 16, "--sidecar",
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    result = finish(process)
    assert result.code == 130
    done = len(list(Path("tones").glob("*.caption.json")))
    assert 0 < done < 604
    assert result.err == f"clapgen: interrupted; {done} of 604 files were captioned, in all.csv.\n"
    assert len(Path("all.csv").read_text().splitlines()) == 1 + done
    assert not [name for name in names(Path("tones")) if name.startswith(".")]


def test_bridges_compose(caption: Command, pitches: list[Path]) -> None:
    rows = {name: caption(*pitches, "-b", name, "--json").json for name in ("none", "noise+memory", "memory")}
    assert rows["noise+memory"][0]["bridge"] == "noise+memory" and rows["none"][0]["bridge"] == "none"
    texts = {name: [row["caption"] for row in each] for name, each in rows.items()}
    assert texts["noise+memory"] == texts["memory"] != texts["none"]  # noise is for training alone


@pytest.mark.slow
def test_tables_hold_no_formulas_and_any_file_name(captioner_model: Path, pitches: list[Path]) -> None:
    formula, bytes_of_no_text = "=cmd().wav", os.fsdecode(b"\xff.wav")
    pitches[0].rename(formula)
    pitches[1].rename(bytes_of_no_text)
    tables = ("--csv", "all.csv", "--jsonl", "all.jsonl", "--sidecar")
    assert finish(start("caption", formula, bytes_of_no_text, "--model", captioner_model, *tables)).code == 0
    lines = Path("all.csv").read_text(encoding="utf-8").splitlines()
    assert [line.split(",")[0] for line in lines] == ["file_name", "'=cmd().wav", "\\udcff.wav"]
    assert [json.loads(line)["path"] for line in Path("all.jsonl").read_text().splitlines()] == [
        formula,
        bytes_of_no_text,
    ]
