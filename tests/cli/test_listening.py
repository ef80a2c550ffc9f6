"""`embed`, `classify` and `score` agree with the Python interface, on one file and on many."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from command_line import Result, assert_one_line, names, write_tone
from tiny_laion import laion

from clapgen.audio import read_audio
from clapgen.clap import Clap
from clapgen.clap.calibrations import CALIBRATIONS
from clapgen.embedders import load_clap
from clapgen.metrics.embeddings.calibration import Calibration
from clapgen.testing import SAMPLE_RATE

Command = Callable[..., Result]


@pytest.fixture
def tones(here: Path) -> list[Path]:
    (here / "tones").mkdir()
    sounds = {"low": (0.3, 110.0), "mid": (2.5, 440.0), "top": (1.0, 1760.0)}
    return [write_tone(Path("tones") / f"{name}.wav", *values) for name, values in sounds.items()]


@pytest.fixture(scope="module")
def clap(model: Path) -> Clap:
    return Clap.from_pretrained(model)


def embedding(clap: Clap, path: Path) -> np.ndarray:
    return clap.embed_audio([read_audio(path, SAMPLE_RATE)[0]], SAMPLE_RATE).numpy()[0]


@pytest.mark.parametrize("batch_size", [1, 2, 16])
def test_embed_writes_what_clap_says(
    clapgen: Command, tones: list[Path], model: Path, clap: Clap, batch_size: int
) -> None:
    options = ("-o", "out/e.npz", "--model", model, "--batch-size", batch_size)
    result = clapgen("embed", "tones", "--text", "rain", "-t", "wind", *options)
    assert result.code == 0, result
    saved = np.load("out/e.npz")  # allow_pickle is off
    assert saved["paths"].tolist() == [str(path) for path in tones]
    assert saved["texts"].tolist() == ["rain", "wind"]
    np.testing.assert_allclose(saved["embeddings"], [embedding(clap, path) for path in tones], atol=1e-5)
    np.testing.assert_allclose(saved["text_embeddings"], clap.embed_text(["rain", "wind"]), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(saved["embeddings"], axis=1), 1, atol=1e-5)
    assert str(saved["model_hash"]) == clap.hash


def test_embed_texts_alone(clapgen: Command, here: Path, model: Path) -> None:
    [summary] = clapgen("embed", "--text", "rain", "--model", model, "--json").json
    assert (summary["path"], summary["sounds"], summary["texts"]) == ("embeddings.npz", 0, 1)
    assert np.load("embeddings.npz")["embeddings"].shape == (0, 16)


def test_a_corrupt_file_is_named_and_left_out(clapgen: Command, tones: list[Path], model: Path) -> None:
    tones[1].write_text("not a sound")
    result = clapgen("embed", "tones", "--model", model)
    assert result.code == 2
    first, last = result.err.splitlines()
    assert "mid.wav" in first
    assert "1 of 3 files were skipped" in last
    assert np.load("embeddings.npz")["paths"].tolist() == [str(tones[0]), str(tones[2])]

    assert_one_line(clapgen("embed", "tones", "--model", model, "-o", "strict.npz", "--strict"), "mid.wav")
    assert not Path("strict.npz").exists()
    result = clapgen("score", "tones", "rain", "--model", model, "--json")
    assert (result.code, len(result.json)) == (2, 2)


def test_parquet(clapgen: Command, tones: list[Path], model: Path, clap: Clap, monkeypatch: pytest.MonkeyPatch) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    assert clapgen("embed", "tones", "--text", "rain", "-o", "e.parquet", "--model", model).code == 0
    table = parquet.read_table("e.parquet")
    assert table["path"].to_pylist() == [*map(str, tones), None]
    assert table["text"].to_pylist() == [None, None, None, "rain"]
    np.testing.assert_allclose(table["embedding"][0].as_py(), embedding(clap, tones[0]), atol=1e-5)
    assert table.schema.metadata[b"model_hash"].decode() == clap.hash


def test_a_file_name_that_is_not_text_is_written_readably(clapgen: Command, tones: list[Path], model: Path) -> None:
    tones[0].rename(Path("tones") / os.fsdecode(b"\xff.wav"))
    for suffix in ("parquet", "npz"):
        assert clapgen("embed", "tones", "-o", f"e.{suffix}", "--model", model).code == 0
    from pyarrow import parquet

    assert "tones/\\udcff.wav" in parquet.read_table("e.parquet")["path"].to_pylist()
    assert os.fsdecode(b"tones/\xff.wav") in np.load("e.npz")["paths"].tolist()


def test_parquet_without_its_extra(clapgen: Command, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert_one_line(clapgen("embed", "-t", "rain", "-o", "e.parquet"), "pip install 'clapgen[parquet]'")
    assert names(here) == []


def test_classify_is_the_softmax_of_scaled_cosines(
    clapgen: Command, tones: list[Path], model: Path, clap: Clap
) -> None:
    labels = ["rain", "wind", "church bells"]
    Path("labels.txt").write_text("\n".join(labels) + "\n\n")
    result = clapgen("classify", tones[0], tones[2], "-l", "@labels.txt", "--model", model, "--json")
    assert result.code == 0, result
    assert (
        result.json == clapgen("classify", tones[0], tones[2], "-l", ",".join(labels), "--model", model, "--json").json
    )
    text = clap.embed_text([f"This is a sound of {label}." for label in labels])
    for path, line in zip((tones[0], tones[2]), result.json, strict=True):
        cosines = text.numpy() @ embedding(clap, path)
        expected = np.exp(clap.logit_scale.item() * cosines)
        expected /= expected.sum()
        assert line["label"] == labels[int(expected.argmax())]
        for row in line["labels"]:
            assert row["probability"] == pytest.approx(expected[labels.index(row["label"])], abs=1e-4)
    table = clapgen("classify", tones[0], "-l", ",".join(labels), "--top", 2, "--model", model).out
    assert table.splitlines()[0] == str(tones[0])
    assert len(table.splitlines()) == 4


def test_template_is_what_is_embedded(clapgen: Command, tones: list[Path], model: Path, clap: Clap) -> None:
    options = ("-l", "rain,wind", "--template", "{label}!", "--model", model, "--json")
    [line] = clapgen("classify", tones[0], *options).json
    cosines = clap.embed_text(["rain!", "wind!"]).numpy() @ embedding(clap, tones[0])
    assert line["labels"][0]["cosine"] == pytest.approx(cosines.max(), abs=1e-5)


def test_score_is_the_cosine(clapgen: Command, tones: list[Path], model: Path, clap: Clap) -> None:
    text = clap.embed_text(["a dog barks"]).numpy()[0]
    lines = clapgen("score", *tones, "a dog barks", "--model", model, "--json").json
    assert [line["path"] for line in lines] == [str(path) for path in tones]
    for path, line in zip(tones, lines, strict=True):
        assert line["score"] == pytest.approx(float(embedding(clap, path) @ text), abs=1e-5)
    assert f"{lines[0]['score']:.3f}" in clapgen("score", tones[0], "a dog barks", "--model", model).out


def test_score_in_the_sidecar_is_the_score_of_the_file(clapgen: Command, here: Path, model: Path) -> None:
    quick = ("--seconds", 1, "--steps", 2, "--format", "wav32", "--model", model)
    [made] = clapgen("generate", "church bells", *quick, "--json").json
    [scored] = clapgen("score", made["path"], "church bells", "--model", model, "--json").json
    assert scored["score"] == pytest.approx(made["score"], abs=1e-4)


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"laion:{laion(tmp_path_factory.mktemp('models') / 'laion')}"


def test_a_public_clap_embeds_scores_and_classifies(clapgen: Command, tones: list[Path], public: str) -> None:
    clap = load_clap(public)
    audio = clap.embed_audio([read_audio(tones[0], clap.sample_rate)[0]], clap.sample_rate)
    text = clap.embed_text(["rain", "wind"])

    assert clapgen("embed", tones[0], "-t", "rain", "-t", "wind", "--model", public).code == 0
    saved = np.load("embeddings.npz")
    np.testing.assert_allclose(saved["embeddings"], audio, atol=1e-5)
    np.testing.assert_allclose(saved["text_embeddings"], text, atol=1e-5)
    assert (str(saved["model"]), str(saved["model_hash"])) == (public, clap.hash)

    [scored] = clapgen("score", tones[0], "rain", "--model", public, "--json").json
    assert scored["score"] == pytest.approx(float(audio[0] @ text[0]), abs=1e-5)
    assert (scored["model"], scored["model_hash"]) == (public, clap.hash)

    options = ("-l", "rain,wind", "--template", "{label}", "--model", public, "--json")
    [classified] = clapgen("classify", tones[0], *options).json
    expected = (clap.logit_scale * (audio @ text.T)[0]).softmax(0)
    found = {row["label"]: row["probability"] for row in classified["labels"]}
    assert [found["rain"], found["wind"]] == pytest.approx(expected.tolist(), abs=1e-4)


@pytest.mark.parametrize("command", [("embed", "-t", "rain"), ("score", "low.wav", "rain"), ("caption", "low.wav")])
def test_a_model_that_does_not_exist_is_named(clapgen: Command, here: Path, command: tuple[str, ...]) -> None:
    write_tone(here / "low.wav")
    assert_one_line(clapgen(*command, "--model", "layon:x"), "layon")
    assert_one_line(clapgen(*command, "--model", "nowhere"), "No model called 'nowhere'")


CALIBRATION = Calibration("This is a sound of {label}.", scale=9.0, bias=-2.0, choice_scale=12.0, none_bias=3.0)


def test_none_of_these_is_an_answer_with_a_calibrated_probability(
    clapgen: Command, tones: list[Path], model: Path, clap: Clap, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(CALIBRATIONS, clap.hash, CALIBRATION)
    labels = ["rain", "church bells"]
    text = clap.embed_text([f"This is a sound of {label}." for label in labels]).numpy()
    cosines = text @ embedding(clap, tones[0])
    options = (tones[0], "-l", "rain,church_bells", "--model", model)
    [line] = clapgen("classify", *options, "--none", "--json").json
    found = {row["label"].replace("_", " "): row for row in line["labels"]}
    expected = CALIBRATION.with_none(cosines[None])[0]
    assert [found[name]["probability"] for name in (*labels, "none of these")] == pytest.approx(expected, abs=1e-4)
    assert found["none of these"]["cosine"] is None
    assert sum(row["probability"] for row in line["labels"]) == pytest.approx(1)
    [line] = clapgen("classify", *options, "--independent", "--json").json
    found = {row["label"].replace("_", " "): row for row in line["labels"]}
    assert [found[name]["probability"] for name in labels] == pytest.approx(
        CALIBRATION.independent(cosines).tolist(), abs=1e-4
    )
    table = clapgen("classify", *options, "--none")
    assert "none of these" in table.out and table.err == ""
    assert "calibrated for the template" in clapgen("classify", *options, "--none", "--template", "{label}").err
    assert_one_line(clapgen("classify", *options, "--none", "--independent"), "--none", "--independent")


def test_a_model_that_was_not_calibrated_has_no_such_probabilities(
    clapgen: Command, tones: list[Path], model: Path
) -> None:
    for option in ("--none", "--independent"):
        assert_one_line(clapgen("classify", tones[0], "-l", "rain,wind", "--model", model, option), "calibration")


LONG = " ".join(["a dog barks and then rain falls on the roof"] * 20)


def test_a_text_that_is_cut_and_words_that_are_not_known_are_announced(
    clapgen: Command, tones: list[Path], model: Path, clap: Clap
) -> None:
    assert clap.count_tokens([LONG])[0] > clap.max_tokens
    result = clapgen("score", tones[0], LONG, "--model", model)
    assert result.code == 0
    assert f"the text is longer than the {clap.max_tokens} tokens" in result.err
    assert clapgen("score", tones[0], "rain", "--model", model).err == ""
    result = clapgen("classify", tones[0], "-l", f"rain,{LONG}", "--model", model)
    assert f"1 of 2 labels are longer than the {clap.max_tokens} tokens" in result.err
    assert "'qwxz'" in clapgen("score", tones[0], "qwxz vbnm", "--model", model).err
