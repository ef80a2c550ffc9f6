"""Where something is in a file: with a CLAP whose answers are known, and with the default model."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from localisation.known_clap import LABELS, RATE, KnownClap, sound

from clapgen import Clap, read_audio
from clapgen.errors import ClapgenError
from clapgen.localisation.audacity import label_track
from clapgen.localisation.curves import CurveReader
from clapgen.localisation.locating import locate
from clapgen.localisation.probabilities import CosineProbability, HeadProbability, frame_probability
from clapgen.testing import tiny_model

SURE = CosineProbability(scale=12.0, bias=-6.0)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tones.wav"
    soundfile.write(path, sound(14, (0, 1.0, 3.0), (1, 6.0, 7.5), (0, 11.0, 14.0)), RATE)
    return path


def test_sounds_are_found_where_they_are(file: Path) -> None:
    found = locate(KnownClap(), file, LABELS, probability=SURE)
    assert found.seconds == 14 and found.note == ""
    low, middle, high = found.queries
    assert [each.query for each in found.queries] == list(LABELS)
    for segment, (start, end) in zip(low.segments, [(1.0, 3.0), (11.0, 14.0)], strict=True):
        assert segment.start == pytest.approx(start, abs=0.11) and segment.end == pytest.approx(end, abs=0.11)
        assert segment.probability > 0.9 and segment.peak > 0.99
    [segment] = middle.segments
    assert segment.start == pytest.approx(6.0, abs=0.11) and segment.end == pytest.approx(7.5, abs=0.11)
    assert 6.0 <= middle.peak_time <= 7.5
    assert high.segments == [] and high.peak < 0.01
    assert low.mean == pytest.approx(5 / 14, abs=0.03)


def test_the_threshold_is_the_users_if_given(file: Path) -> None:
    assert locate(KnownClap(), file, ["low tone"], 1.0, probability=SURE).queries[0].segments == []
    [everything] = locate(KnownClap(), file, ["low tone"], 0.0, probability=SURE).queries[0].segments
    assert (everything.start, everything.end) == (0.0, 14.0)
    with pytest.raises(ClapgenError, match="from 0 to 1"):
        locate(KnownClap(), file, ["low tone"], 1.5, probability=SURE)


def test_listeners_get_the_whole_sound_and_the_whole_curve(file: Path) -> None:
    pieces: list[np.ndarray] = []
    curves: list[np.ndarray] = []
    locate(
        KnownClap(),
        file,
        LABELS,
        probability=SURE,
        on_audio=pieces.append,
        on_curves=lambda block, rate: curves.append(block),
    )
    np.testing.assert_array_equal(np.concatenate(pieces), read_audio(file)[0])
    reader = CurveReader(KnownClap(), KnownClap().embed_text(LABELS), SURE)
    np.testing.assert_allclose(np.concatenate(curves), reader.read(read_audio(file)[0]), atol=1e-6)


@pytest.mark.parametrize(("samples", "note"), [(1, ""), (1, "digital"), (30_000, "digital")])
def test_one_sample_and_silence_have_nothing_in_them(tmp_path: Path, samples: int, note: str) -> None:
    clap = Clap.from_pretrained(tiny_model(tmp_path / "model"))
    soundfile.write(tmp_path / "a.wav", np.full(samples, 0.0 if note else 0.5), 8000, subtype="FLOAT")
    found = locate(clap, tmp_path / "a.wav", ["rain", "wind"], probability=CosineProbability(0.0, 5.0))
    assert found.seconds == samples / 8000
    assert all(each.segments == [] and each.peak == 0 for each in found.queries)
    assert note in found.note and found.note


def test_queries_are_checked_and_each_used_once(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = locate(KnownClap(), file, ["low tone", " Low  tone", "low_tone", "high beep"], probability=SURE)
    assert [each.query for each in found.queries] == ["low tone", "high beep"]
    assert "more than once" in caplog.text
    for queries, words in (([], "nothing to look for"), ([" \n"], "is empty"), (["x" * 10_000], "10,000 characters")):
        with pytest.raises(ClapgenError, match=words):
            locate(KnownClap(), file, queries, probability=SURE)
    many = locate(KnownClap(), file, [f"query {number}" for number in range(300)], probability=SURE)
    assert len(many.queries) == 300


def test_the_head_is_used_if_there_is_one(tmp_path: Path) -> None:
    class Head(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bias = torch.nn.Parameter(torch.tensor(0.25))

        def probability(self, frames: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
            return (frames @ texts.T).abs() * self.bias

    clap = Clap.from_pretrained(tiny_model(tmp_path))
    assert isinstance(frame_probability(clap), CosineProbability)
    clap.frame_head = Head()
    rule = frame_probability(clap)
    assert isinstance(rule, HeadProbability)
    torch.testing.assert_close(rule(torch.eye(3)[:1], torch.eye(3)), torch.tensor([[0.25, 0.0, 0.0]]))
    assert not rule(torch.eye(3), torch.eye(3)).requires_grad


def test_a_model_that_was_not_calibrated_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clap = Clap.from_pretrained(tiny_model(tmp_path))
    frame_probability(clap)
    assert "not calibrated" in caplog.text


def test_a_broken_model_is_named(file: Path) -> None:
    class Broken(KnownClap):
        def embed_frames(self, waveform: np.ndarray, sample_rate: int) -> torch.Tensor:
            return super().embed_frames(waveform, sample_rate) * float("nan")

    with pytest.raises(ClapgenError, match="gives NaN"):
        locate(Broken(), file, ["low tone"], probability=SURE)


def test_a_label_track_is_in_order_of_time(file: Path) -> None:
    found = locate(KnownClap(), file, LABELS, probability=SURE)
    rows = [line.split("\t") for line in label_track(found.queries).splitlines()]
    assert [row[2] for row in rows] == ["low tone", "middle whistle", "low tone"]
    assert all(float(start) < float(end) for start, end, _ in rows)


@pytest.mark.slow
def test_the_default_model_hears_a_rooster_and_then_glass(tmp_path: Path, recordings: list[Path]) -> None:
    clips = {path.stem: read_audio(path, 32000)[0] for path in recordings}
    pause = np.zeros(32000, dtype=np.float32)
    parts = [pause, clips["rooster"], pause, clips["glass"], pause]
    soundfile.write(tmp_path / "both.wav", np.concatenate(parts), 32000)
    edges = np.cumsum([len(part) for part in parts]) / 32000
    found = locate(Clap.from_pretrained(), tmp_path / "both.wav", ["rooster crowing", "glass breaking"])
    for each, (start, end) in zip(found.queries, [(edges[0], edges[1]), (edges[2], edges[3])], strict=True):
        assert start - 0.2 <= each.peak_time <= end + 0.2
        best = max(each.segments, key=lambda segment: segment.peak)
        assert best.start == pytest.approx(start, abs=0.5) and best.end == pytest.approx(end, abs=0.5)
