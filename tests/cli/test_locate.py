"""`clapgen locate`: its outputs, and one clear line for whatever cannot be done."""

import csv
import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from command_line import Command, Result, assert_one_line, environment, names, write_parts, write_tone
from PIL import Image


@pytest.fixture
def locate(clapgen: Command, model: Path) -> Callable[..., Result]:
    """Run `clapgen locate` with the tiny model, whose probabilities mean nothing: everything is above 0."""
    return lambda *arguments: clapgen("locate", *arguments, "--model", model)


@pytest.fixture
def tones(here: Path) -> Path:
    write_parts(here / "tones.wav", (2, 440, 0.5), (2, 1000, 0.0), (3, 2000, 0.5))
    return Path("tones.wav")


def test_a_table_shows_the_segments_and_what_was_not_found(locate: Command, tones: Path) -> None:
    result = locate(tones, "rain", "wind", "-t", 0)
    assert result.code == 0 and "not calibrated" in result.err
    assert [line.split()[:3] for line in result.out.splitlines()[1:]] == [[w, "0:00", "0:07"] for w in ("rain", "wind")]
    result = locate(tones, "rain", "-t", 1)
    assert result.code == 0 and result.out.startswith("rain: not found; highest probability ")


def test_a_sound_that_is_too_short_for_a_segment_is_not_called_absent(locate: Command, tones: Path) -> None:
    result = locate(tones, "rain", "-t", 0.01, "--min-seconds", 5)  # silence divides the file
    assert result.out.startswith("rain: only for less than 5 s; highest probability ")


def test_json_is_one_object_per_query(locate: Command, tones: Path) -> None:
    rows = locate(tones, "rain", "wind", "-t", 0, "--json").json
    assert [row["query"] for row in rows] == ["rain", "wind"]
    for row in rows:
        assert row["path"] == "tones.wav" and row["seconds"] == 7 and row["threshold"] == 0
        [segment] = row["segments"]
        assert (segment["start"], segment["end"]) == (0, 7)
        assert 0 < segment["probability"] < segment["peak"] == row["peak"] <= 1
        assert segment["probability"] == pytest.approx(row["mean"], abs=1e-6)


def test_files_are_written_once(locate: Command, tones: Path, here: Path) -> None:
    files = ("--csv", "a.csv", "--labels", "a.txt", "--plot", "a.png")
    queries = ("rain", "=wind", "-t", 0)
    assert locate(tones, *queries, *files).code == 0
    with open("a.csv", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["file_name", "query", "start", "end", "probability", "peak"]
    assert [row[:4] for row in rows] == [["tones.wav", "rain", "0.0", "7.0"], ["tones.wav", "'=wind", "0.0", "7.0"]]
    assert sorted(Path("a.txt").read_text().splitlines()) == ["0.000000\t7.000000\t=wind", "0.000000\t7.000000\train"]
    with Image.open("a.png") as picture:
        assert picture.format == "PNG"
    before = {name: Path(name).read_bytes() for name in names(here)}
    for option, name in zip(files[::2], files[1::2], strict=True):
        assert_one_line(locate(tones, *queries, option, name), f"{name} already exists", "--force")
    assert {name: Path(name).read_bytes() for name in names(here)} == before
    assert locate(tones, "rain", "-t", 1, *files, "--force").code == 0
    assert len(Path("a.csv").read_text().splitlines()) == 1 and Path("a.txt").read_text() == ""


def test_queries_come_from_a_file_too(locate: Command, tones: Path) -> None:
    Path("sounds.txt").write_text("rain\n\n church bells \r\n", encoding="utf-8-sig")
    rows = locate(tones, "wind", "--queries", "sounds.txt", "--json").json
    assert [row["query"] for row in rows] == ["wind", "rain", "church bells"]
    Path("empty.txt").write_text("\n")
    assert_one_line(locate(tones, "--queries", "empty.txt"), "empty.txt has no queries")
    assert_one_line(locate(tones, "--queries", "none.txt"), "cannot read 'none.txt'")


def test_three_hundred_queries_at_once(locate: Command, tones: Path) -> None:
    Path("many.txt").write_text("".join(f"query number {number}\n" for number in range(300)))
    assert len(locate(tones, "--queries", "many.txt", "--json").json) == 300
    result = locate(tones, "--queries", "many.txt", "-t", 1, "--plot", "many.png")
    assert result.code == 0 and result.out.splitlines()[-1].startswith("and 290 more queries")
    assert Path("many.png").exists()


def test_standard_input_is_as_its_file(locate: Command, tones: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = locate(tones, "rain", "--json").out
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(tones.read_bytes()), encoding="utf-8"))
    assert locate("-", "rain", "--json").out.replace('"-"', '"tones.wav"') == expected


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), ("nothing to look for",)),
        (("",), ("a query is empty",)),
        (("x" * 10_000,), ("10,000 characters",)),
        (("rain", "-t", "1.01"), ("from 0 to 1",)),
        (("rain", "-t", "-0.5"), ("from 0 to 1",)),
        (("rain", "-t", "nan"), ("from 0 to 1",)),
        (("rain", "--min-seconds", "-1"), ("0 or more seconds",)),
        (("rain", "--template", "the sound"), ("{label}",)),
        (("tones.wav", "rain"), ("tones.wav is a file",)),
        (("rain", "--plot", "a.jpg"), (".png",)),
        (("rain", "--csv", "tones.wav", "-f"), ("is the input file",)),
        (("rain", "--csv", "a", "--labels", "a"), ("must name different files",)),
        (("rain", "--device", "tpu"), ("--device",)),
        (("rain", "--max-hours", "0.001"), ("longer than 0.001 h",)),
    ],
)
def test_bad_options_are_one_line(locate: Command, tones: Path, here: Path, arguments: tuple, words: tuple) -> None:
    assert_one_line(locate(tones, *arguments), *words) if "--max-hours" not in arguments else None
    if "--max-hours" in arguments:
        result = locate(tones, *arguments, "--csv", "a.csv")
        assert result.code == 2 and words[0] in result.err.splitlines()[-1]
    assert names(here) == ["tones.wav"]


def test_bad_files_are_one_line(clapgen: Command, model: Path, here: Path) -> None:
    Path("diary.wav").write_text("Dear diary")
    Path("empty.wav").write_text("")
    Path("sounds").mkdir()
    cases = {"none.wav": "does not exist", "diary.wav": "not audio", "empty.wav": "empty file", "sounds": "is a folder"}
    for name, words in cases.items():
        result = clapgen("locate", name, "rain", "--model", model, "--plot", "a.png")
        assert result.code == 2 and words in result.err.splitlines()[-1] and not Path("a.png").exists()


def test_silence_and_a_single_sample_are_named(locate: Command, here: Path) -> None:
    for samples in (1, 20_000):
        soundfile.write("silent.wav", np.zeros(samples), 8000)
        result = locate("silent.wav", "rain", "-t", 0.1, "--plot", f"{samples}.png", "--csv", f"{samples}.csv")
        assert result.code == 0 and "digital silence; nothing can be found in it" in result.err
        assert result.out.startswith("rain: not found; highest probability 0% at 0:00")
        assert "nothing can be found" not in locate("silent.wav", "rain", "-t", 0).err


def test_a_query_given_twice_is_used_once_and_a_long_one_is_cut(locate: Command, tones: Path) -> None:
    result = locate(tones, "rain", "Rain", "word " * 150, "--json")
    assert len(result.json) == 2
    assert "more than once" in result.err and "longer than the 77 tokens" in result.err


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
def test_memory_does_not_grow_with_the_length_of_a_sound(here: Path, model: Path) -> None:
    """20 minutes of stereo at 44.1 kHz are 423 MB as floats."""
    peaks = []
    Path("many.txt").write_text("".join(f"query number {number}\n" for number in range(100)))
    for seconds in (20, 1200):
        stereo = np.zeros((seconds * 44100, 2), dtype=np.int16)
        stereo[:, 0] = 3000 * np.sin(np.arange(len(stereo)) / 20)
        soundfile.write("a.flac", stereo, 44100)
        del stereo
        script = (
            "import re, sys; from clapgen.cli import run; code = run(sys.argv[1:]); "
            "print(re.search(r'VmHWM:\\s*(\\d+) kB', open('/proc/self/status').read())[1], file=sys.stderr); "
            "sys.exit(code)"
        )
        line = ["locate", "a.flac", "--queries", "many.txt", "--plot", "a.png", "-f", "--json", "--model", model]
        command = [sys.executable, "-c", script, *map(str, line)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=True)
        peaks.append(int(done.stderr.split()[-1]))
    assert peaks[1] - peaks[0] < 60_000  # kB


def test_the_picture_shows_when_something_is_found(here: Path) -> None:
    from clapgen.plot import LocationPicture
    from clapgen.plot.localisation import CURVE_COLOURS
    from clapgen.plot.spectrogram import PLOT_AREA

    write_tone(here / "a.wav", 10.0)
    waveform = soundfile.read("a.wav", dtype="float32")[0]
    picture = LocationPicture(8000, ["rain", "wind"])
    for at in range(0, len(waveform), 7000):
        picture.add_audio(waveform[at : at + 7000])
    curves = np.zeros((101, 2), dtype=np.float32)
    curves[50:, 0] = 1.0
    picture.add_curves(curves, 10.0)
    picture.save("a.png", [[(5.0, 10.0)], []], 0.5, "tone")
    with Image.open("a.png") as image:
        area = np.asarray(image.convert("RGB").crop(PLOT_AREA))
    first = (area == CURVE_COLOURS[0]).all(-1)
    high = first[: area.shape[0] // 4].any(0)
    assert not high[: area.shape[1] // 2 - 20].any() and high[area.shape[1] // 2 + 20 :].mean() > 0.95


@pytest.mark.parametrize("points", [5, 41, 400, 3000, 20_000])
def test_curves_are_drawn_at_their_time_linear_and_with_every_peak(points: int) -> None:
    from clapgen.plot.long_sounds import LongCurves

    rising, peak = np.linspace(0, 1, points), np.zeros(points)
    peak[points // 3] = 1.0
    curves = LongCurves(2)
    for block in np.array_split(np.stack([rising, peak], axis=1), 3):
        curves.add(block)
    end = points * 1.25  # the sound goes on for a while after the last point
    drawn = curves.heights(1000, end)
    times = (np.arange(1000) + 0.5) * end / 1000
    width = max(1, points / 1000)
    np.testing.assert_allclose(drawn[0], np.minimum(times / (points - 1), 1), atol=3 * width / points)
    assert drawn[1].max() > 0.7
    assert abs(times[drawn[1].argmax()] - points // 3) <= 6 * width
