"""The HTML report is self-contained, runs no scripts, and escapes all text."""

import base64
import dataclasses
import io
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image
from report_examples import full_report

from clapgen.errors import ClapgenError
from clapgen.evaluation import Confusion, Report
from clapgen.report.charts import bar, heat_map, histogram
from clapgen.report.clip_cards import ends
from clapgen.report.html import write_html
from clapgen.report.markup import element

VOID = {"img", "meta"}
WORDS = """clapgen evaluation: generation|0.312|0.290 to 0.334|value is nan|needs 2 clips|2 warnings
the clips are silent|1 file skipped|2025-11-21T10:00:00+00:00|7 clips|took 12.3 s|dog|9 of 10|3 of 3|model|default
mean 0.312|1 of 7 clips have no value""".replace("\n", "|").split("|")


class Page(HTMLParser):
    """What a browser sees: tags that must all be closed, their attributes, the text between them."""

    def __init__(self, path):
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.open, self.elements, self.text = [], [], ""
        self.feed(self.source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        assert len(dict(attributes)) == len(attributes)
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data if "style" not in self.open else ""

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def page(recordings, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_html(full_report(recordings), path)
    return Page(path)


def test_everything_of_the_report_is_in_it(page):
    shown = "".join(page.text.split())
    for words in WORDS:
        assert "".join(words.split()) in shown, words
    assert page.text.count("<script>alert(1)</script>") > 20


def test_no_text_becomes_markup_and_nothing_is_loaded_or_run(page):
    tags = {tag for tag, _ in page.elements}
    assert tags.isdisjoint({"script", "iframe", "object", "embed", "link", "form", "base", "use", "foreignobject"})
    for _, attributes in page.elements:
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href", "srcset", "poster", "xlink:href", "action", "data"):
            assert attributes.get(name, "#").startswith(("#", "data:image/png;", "data:audio/ogg;"))
    assert not re.search(r"https?:|url\(|@import|//[a-z]", re.sub(r"base64,[^\"]*", "", page.source))
    assert "<script" not in page.source
    assert not re.search(r"[\x00\ud800-\udfff]", page.source)
    assert any("default-src 'none'" in attributes.get("content", "") for attributes in page.all("meta"))


def test_clips_have_players_and_spectrograms(page, recordings):
    players, pictures = page.all("audio"), page.all("img")
    assert len(players) == len(pictures) == len(recordings)
    lengths = []
    for player, picture in zip(players, pictures, strict=True):
        waveform, rate = soundfile.read(io.BytesIO(base64.b64decode(player["src"].partition(",")[2])))
        lengths.append(len(waveform) / rate)
        assert np.abs(waveform).max() > 0.01
        with Image.open(io.BytesIO(base64.b64decode(picture["src"].partition(",")[2]))) as image:
            assert image.format == "PNG"
        assert picture["alt"].startswith("Spectrogram: ")
    originals = [soundfile.info(path).duration for path in recordings]
    worst_then_best = [*originals[:3], *reversed(originals[3:])]
    assert lengths == pytest.approx([min(length, 10.0) for length in worst_then_best], abs=0.02)


def test_the_worst_and_the_best_lead_and_none_is_in_both():
    rows = [{"path": str(index), "score": index} for index in range(40)]
    for count in range(41):
        worst, best = ends(rows[:count])
        assert [row["score"] for row in worst] == list(range(min(5, (count + 1) // 2)))
        assert [row["score"] for row in best] == [count - 1 - index for index in range(min(5, count // 2))]


def test_rank_by_chooses_the_column_and_its_good_end(recordings, tmp_path):
    report = full_report(recordings, text="plain")
    write_html(report, tmp_path / "rank.html", rank_by="rank", audio=False)
    page = Page(tmp_path / "rank.html")
    assert "Worst and best clips by rank" in page.text
    assert page.text.index(recordings[-1].name) < page.text.index(recordings[0].name)
    assert page.all("audio") == page.all("img") == []
    with pytest.raises(ClapgenError, match="cannot rank clips by 'ran'"):
        write_html(report, tmp_path / "other.html", rank_by="ran")
    assert not (tmp_path / "other.html").exists()


@pytest.mark.slow
def test_the_same_report_gives_the_same_bytes_and_a_page_is_not_replaced(recordings, tmp_path):
    report = full_report(recordings)
    write_html(report, tmp_path / "one.html")
    write_html(report, tmp_path / "two.html")
    written = (tmp_path / "one.html").read_bytes()
    assert written == (tmp_path / "two.html").read_bytes()
    with pytest.raises(ClapgenError, match="already exists"):
        write_html(Report("captions", "t", []), tmp_path / "one.html")
    assert (tmp_path / "one.html").read_bytes() == written
    write_html(Report("captions", "t", []), tmp_path / "one.html", force=True)
    assert Page(tmp_path / "one.html").all("title")


def test_a_damaged_or_missing_clip_is_reported_and_not_fatal(recordings, tmp_path):
    damaged = tmp_path / "damaged.opus"
    damaged.write_bytes(recordings[0].read_bytes()[:1000])
    shutil.copy(recordings[1], tmp_path / "whole.opus")
    clips = [{"path": str(tmp_path / name), "score": 0.1} for name in ("damaged.opus", "missing.wav", "whole.opus")]
    sounds = [clip["path"] for clip in clips]
    write_html(Report("generation", "t", [], clips=clips, sounds=sounds), tmp_path / "report.html")
    page = Page(tmp_path / "report.html")
    assert page.text.count("Cannot be played: ") == 1
    assert len(page.all("audio")) == 1


def test_the_sounds_a_clip_is_compared_with_have_players_too(recordings, tmp_path):
    made, real, near, other = map(str, recordings[:4])
    row = {"path": made, "score": 0.1, "reference": real, "nearest": real, "copied": near, "prompt": "rain.wav"}
    rows = [row, {"path": "x" * 5000, "score": 0.2, "reference": f"{'y' * 5000}.wav", "nearest": f"{other}\0"}]
    report = Report("generation", "t", [], clips=[*rows, {**row, "score": 0.3, "reference": other}])
    report.sounds = {made, real, near, other, f"{other}\0"}
    assert write_html(report, tmp_path / "report.html") == []
    page = Page(tmp_path / "report.html")
    heard = [player["aria-label"].removeprefix("Play ") for player in page.all("audio")]
    first, second, third, fourth = (path.name for path in recordings[:4])
    assert heard == [first, second, third, first, fourth, second]
    assert len(page.all("img")) == 2


def test_only_the_sounds_given_as_input_are_on_the_page(recordings, tmp_path):
    given, private = map(str, recordings[:2])
    clips = [{"path": given, "score": 0.1, "prompt": private}, {"path": private, "score": 0.2, "prompt": "rain"}]
    report = Report("generation", "t", [], clips=clips, sounds=[given])
    assert write_html(report, tmp_path / "report.html") == [private]
    page = Page(tmp_path / "report.html")
    assert [player["aria-label"] for player in page.all("audio")] == [f"Play {Path(given).name}"]
    assert len(page.all("img")) == 1
    assert "1 sound named in the cells of a table cannot be played here" in page.text
    assert "sounds" not in report.to_dict()


@pytest.mark.slow
def test_long_noise_and_many_classes_stay_small(tmp_path):
    generator = np.random.default_rng(0)
    soundfile.write(tmp_path / "noise.wav", generator.uniform(-1, 1, 44100 * 12), 44100)
    clips = [{"path": str(tmp_path / "noise.wav"), "score": float(score)} for score in generator.normal(size=3)]
    labels = [f"class {index}" for index in range(150)]
    report = Report("zero-shot", "t", [], clips=clips, classes=[{"class": name, "accuracy": 0.5} for name in labels])
    report.sounds = [str(tmp_path / "noise.wav")]
    report.confusion = Confusion(labels, generator.poisson(0.2, (150, 150)).tolist())
    write_html(report, tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_size < 1_000_000  # with 3 of at most 10 players: 5 MB are never reached
    page = Page(tmp_path / "report.html")
    assert len(page.all("audio")) == 3
    assert page.text.count("the first 10 s of 12.0 s") == 3


def test_nearly_empty_reports_are_valid_pages(tmp_path):
    one = Report("generation", "one clip", [], clips=[{"path": "a.wav", "score": 0.5}])
    unnumbered = Report("captions", "no numbers", [], clips=[{"path": "a.wav", "caption": "rain"}])
    for index, report in enumerate((Report("captions", "nothing", []), one, unnumbered)):
        write_html(report, tmp_path / f"{index}.html")
        assert report.title in Page(tmp_path / f"{index}.html").text
    classes = dataclasses.replace(one, classes=[{"class": "a", "n": 3}], confusion=Confusion([], []))
    write_html(classes, tmp_path / "classes.html")


def test_classes_are_listed_worst_first_each_with_a_bar(recordings, tmp_path):
    write_html(full_report(recordings, text="plain"), tmp_path / "report.html", audio=False)
    table = re.search(r'<table class="classes.*?</table>', (tmp_path / "report.html").read_text(), re.DOTALL)[0]
    rows = [re.sub(r"(<[^>]*>)+", "|", row).split("|")[1:-1] for row in re.findall(r"<tr>.*?</tr>", table)]
    assert rows[0] == ["Class", "accuracy", "n", "taken for"]
    assert rows[1:] == [["plain", "0.200", "8"], ["dog", "0.900", "8", "plain"], ["silent", "-", "0"]]
    assert re.findall(r'x="([\d.]+)" width="([\d.]+)"', table) == [("0.00", "20.00"), ("0.00", "90.00")]


def test_a_histogram_counts_every_value():
    values = [0.0, 0.0, 0.0, 1.0]
    heights = [float(found) for found in re.findall(r'<rect [^>]*height="([\d.]+)"', histogram(values, "x"))]
    assert sorted(heights) == pytest.approx([max(heights) / 3, max(heights)], abs=0.1)
    assert histogram([0.5] * 3, "same").count("<rect") == 1
    assert histogram(list(range(1, 8)), "ranks").count("<rect") == 7


def test_ranks_have_a_logarithmic_axis():
    ranks = [1] * 8 + [2, 3, 3] + [4, 5, 6, 7] + [70]
    drawn = re.findall(r'<rect x="([\d.]+)"[^>]*height="([\d.]+)"', histogram(ranks, "rank"))
    places, heights = np.array(drawn, dtype=float).T
    assert np.round((places - 0.5) / 300 * 7).tolist() == [0, 1, 2, 6]
    assert heights / heights[0] == pytest.approx([1, 3 / 8, 4 / 8, 1 / 8], abs=0.01)
    assert "twice as wide" in histogram(ranks, "rank")
    assert "twice as wide" not in histogram([1.5, *ranks], "score")


def test_a_bar_reaches_from_zero_to_its_value():
    def drawn(*arguments):
        return [float(found) for found in re.search(r'x="([\d.]+)" width="([\d.]+)"', bar(*arguments)).groups()]

    assert drawn(0.25, 0.0, 1.0) == [0.0, 25.0]
    assert drawn(-0.5, -1.0, 1.0) == [25.0, 25.0]


def test_a_heat_map_has_a_cell_for_each_pair_that_occurred():
    drawn = heat_map(Confusion(["a", "b", "c"], [[4, 0, 0], [1, 3, 0], [0, 0, 0]]))
    assert re.findall(r"<title>([^<]*)", drawn) == [
        "a correct: 4 of 4", "b predicted as a: 1 of 4", "b correct: 3 of 4",
    ]  # fmt: skip


def test_elements_escape_text_and_attributes_alike():
    made = element("a", "<b>", element("i", "&"), None, 5, title='"><script>', class_="x", hidden=True, id=None)
    assert made == '<a title="&quot;&gt;&lt;script&gt;" class="x" hidden>&lt;b&gt;<i>&amp;</i>5</a>'
