"""Embeddings, captions, labels, scores and times over HTTP: the numbers of the command line."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from starlette.testclient import TestClient

from clapgen import Clap, read_audio
from clapgen.cli import run


def tone(seconds: float = 1.5, hertz: float = 440.0, rate: int = 8000) -> bytes:
    memory = io.BytesIO()
    soundfile.write(memory, 0.5 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate), rate, format="WAV")
    return memory.getvalue()


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    path = tmp_path / "tone.wav"
    path.write_bytes(tone())
    return path


@pytest.fixture
def post(client: TestClient, sound: Path, uploads: Path) -> Callable[..., Any]:
    """Post the tone with some fields; afterwards no upload may be left."""

    def send(address: str, content: bytes | None = None, name: str = "tone.wav", **fields: Any) -> Any:
        file = (name, sound.read_bytes() if content is None else content)
        answer = client.post(f"/v1/{address}", files={"file": file}, data=fields)
        assert not [path for folder in uploads.iterdir() for path in folder.iterdir()]
        assert str(uploads) not in answer.text
        return answer

    return send


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str], model: Path) -> Callable[..., list[Any]]:
    """What a command prints with --json on the same model."""

    def command(*arguments: object) -> list[Any]:
        capsys.readouterr()
        assert run([str(each) for each in (*arguments, "--model", model, "--json")]) == 0
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return command


def test_embeddings_of_texts(client: TestClient, model: Path) -> None:
    answer = client.post("/v1/embeddings", json={"input": ["rain", "wind in the trees"], "model": "tiny"}).json()
    expected = Clap.from_pretrained(model).embed_text(["rain", "wind in the trees"])
    np.testing.assert_allclose([each["embedding"] for each in answer["data"]], expected, atol=1e-6)
    assert [each["index"] for each in answer["data"]] == [0, 1] and answer["object"] == "list"
    assert len(client.post("/v1/embeddings", json={"input": "rain"}).json()["data"]) == 1
    for wrong in ([], [""], ["rain"] * 257, 3, [3]):
        assert client.post("/v1/embeddings", json={"input": wrong}).status_code == 422


def test_the_embedding_of_a_sound(post: Callable[..., Any], model: Path, sound: Path) -> None:
    clap = Clap.from_pretrained(model)
    waveform, rate = read_audio(sound, clap.sample_rate)
    answer = post("embeddings").json()
    np.testing.assert_allclose(answer["data"][0]["embedding"], clap.embed_audio([waveform], rate)[0], atol=1e-6)
    assert answer["seconds"] == pytest.approx(1.5) and answer["warnings"] == []
    silent = post("embeddings", tone()[:44] + bytes(24000)).json()
    assert "digital silence" in silent["warnings"][0]


def test_labels_and_scores(post: Callable[..., Any], printed: Callable[..., list[Any]], sound: Path) -> None:
    answer = post("classify", labels="rain,wind,church bells", top="2").json()
    [expected] = printed("classify", sound, "--labels", "rain,wind,church bells", "--top", 2)
    assert answer["labels"] == expected["labels"] and answer["label"] == expected["label"]
    assert answer["file"] == "tone.wav" and answer["model"] == "tiny"
    answer = post("score", text="rain").json()
    [expected] = printed("score", sound, "rain")
    assert (
        answer["score"] == pytest.approx(expected["score"], abs=1e-6) and answer["model_hash"] == expected["model_hash"]
    )


def test_where_a_phrase_is(post: Callable[..., Any], printed: Callable[..., list[Any]], sound: Path) -> None:
    answer = post("locate", queries=["rain", "church bells"], threshold="0.1").json()
    expected = printed("locate", sound, "rain", "church bells", "--threshold", 0.1)
    for own, other in zip(answer["queries"], expected, strict=True):
        assert own["query"] == other["query"] and own["segments"] == other["segments"]
        assert max(own["curve"]) == pytest.approx(other["peak"], abs=1e-4)
    assert answer["seconds"] == 1.5 and answer["rate"] > 0


@pytest.mark.slow  # it trains a tiny captioner
def test_captions(two_models: TestClient, listener: Path, sound: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer = two_models.post(
        "/v1/captions", files={"file": ("tone.wav", sound.read_bytes())}, data={"window": "1", "candidates": "2"}
    ).json()
    assert run(["caption", str(sound), "--model", str(listener), "--window", "1", "--candidates", "2", "--json"]) == 0
    expected = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(answer["captions"]) == 2 and answer["model"] == "listener"
    for own, other in zip(answer["captions"], expected, strict=True):
        assert own == {key: other[key] for key in own}
    wrong = two_models.post(
        "/v1/captions", files={"file": ("x.wav", tone())}, data={"model": "listener", "bridge": "memroy"}
    )
    assert wrong.status_code == 422 and "memroy" in wrong.json()["detail"] and str(listener) not in wrong.text


@pytest.mark.parametrize(
    ("address", "fields", "sentence"),
    [
        ("classify", {"labels": "rain"}, "labels must name at least two labels"),
        ("classify", {"labels": "@/etc/passwd"}, "files are not read"),
        ("classify", {"labels": "a,b", "template": "x"}, "template must contain {label}"),
        ("classify", {"labels": "a,b", "none": "true"}, "none and independent need a calibration"),
        ("classify", {}, "'labels' is missing."),
        ("classify", {"labels": "a,b", "top": "many"}, "'top' must be a whole number"),
        ("score", {"text": ""}, "'text' is missing."),
        ("score", {"text": "rain", "path": "/etc/passwd"}, "unknown key 'path'"),
        ("captions", {"window": "0.1"}, "window must be 0 (the whole file) or at least 0.5 seconds"),
        ("captions", {"model": "tiny"}, "this model has no captioner"),
        ("locate", {}, "'queries' is missing"),
    ],
)
def test_wrong_fields(post: Callable[..., Any], address: str, fields: dict[str, str], sentence: str) -> None:
    answer = post(address, **fields)
    assert answer.status_code == 422 and sentence in answer.json()["detail"], answer.text
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("address", ["embeddings", "classify", "score", "locate"])
def test_uploads_that_are_no_sound(post: Callable[..., Any], address: str) -> None:
    fields = {"classify": {"labels": "a,b"}, "score": {"text": "rain"}, "locate": {"queries": "rain"}}.get(address, {})
    for content, name, sentence in (
        (b"not a sound at all" * 99, "notes.txt", "notes.txt"),
        (b"", "nothing.wav", "nothing.wav is an empty file (0 bytes)."),
        (tone()[:1000], "cut.wav", "cut.wav"),
        (tone(21.0), "long.wav", "long.wav is longer than 20 s, the most that this server takes; cut it."),
        (b"x", "../../etc/pass\r\nwd", "pass"),
    ):
        answer = post(address, content, name, **fields)
        assert answer.status_code == 422 and sentence in answer.json()["detail"], answer.text
        assert ".." not in answer.json()["detail"] and "clapgen-serve" not in answer.text


def test_forms_that_are_none(client: TestClient) -> None:
    assert client.post("/v1/score", json={"text": "rain"}).status_code == 415
    assert client.post("/v1/score", data={"text": "rain"}).status_code == 415
    headers = {"Content-Type": "multipart/form-data"}
    assert client.post("/v1/score", content=b"x", headers=headers).status_code == 400
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    assert client.post("/v1/score", content=b"--x\r\nbroken", headers=headers).status_code in (400, 422)
    answer = client.post("/v1/score", files={"sound": ("a.wav", tone())}, data={"text": "rain"})
    assert answer.status_code == 422 and "a sound in the field 'file'" in answer.json()["detail"]
    answer = client.post("/v1/score", files=[("file", ("a.wav", b"x")), ("file", ("b.wav", b"x"))])
    assert answer.status_code == 400


def test_an_upload_that_is_too_large(client: TestClient, uploads: Path) -> None:
    for options in ({}, {"headers": {"Transfer-Encoding": "chunked"}}):
        answer = client.post("/v1/embeddings", files={"file": ("a.wav", bytes(2_100_000))}, **options)  # type: ignore[arg-type]
        assert answer.status_code == 413 and "larger than 2 MB" in answer.json()["detail"]
    assert not [path for folder in uploads.iterdir() for path in folder.iterdir()]
