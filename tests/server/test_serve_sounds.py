"""Sounds over HTTP: the bytes of the command line, in the format that the client accepts."""

import base64
import hashlib
import io
from pathlib import Path

import pytest
import soundfile
from starlette.testclient import TestClient

from clapgen.cli import run

QUICK = {"seconds": 0.5, "num_steps": 2}
ADDRESS = "/v1/audio/generations"


def generated(client: TestClient, accept: str = "*/*", **values: object):  # type: ignore[no-untyped-def]
    return client.post(ADDRESS, json={"prompt": "rain", **QUICK, **values}, headers={"Accept": accept})


@pytest.mark.parametrize("values", [{"seed": 7}, {"format": "flac", "candidates": 2, "negative_prompt": "wind"}])
def test_the_bytes_are_those_of_the_command_line(
    client: TestClient, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, values: dict[str, object]
) -> None:
    answer = generated(client, **values)
    assert answer.status_code == 200, answer.text
    monkeypatch.chdir(model.parent)
    options = [
        text for key, value in {**QUICK, **values}.items() for text in (f"--{key.replace('_', '-')}", str(value))
    ]
    assert run(["generate", "rain", "--model", "tiny", "-o", str(tmp_path), *options]) == 0
    [sound] = [path for path in tmp_path.iterdir() if path.suffix != ".json"]
    assert answer.content == sound.read_bytes()
    assert answer.headers["x-clapgen-sha256"] == hashlib.sha256(sound.read_bytes()).hexdigest()


def test_a_sidecar_from_the_server_makes_the_sound_again(
    client: TestClient, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = generated(client, seed=3)
    (tmp_path / "rain.wav").write_bytes(answer.content)
    monkeypatch.chdir(model.parent)
    assert run(["generate", "--from", str(tmp_path / "rain.wav"), "-o", str(tmp_path / "again.wav")]) == 0
    assert "identical to the original, bit for bit" in capsys.readouterr().err
    assert (tmp_path / "again.wav").read_bytes() == answer.content


def test_json_has_the_sound_and_its_sidecar_and_no_path(client: TestClient, model: Path) -> None:
    answer = generated(client, "application/json", count=2, seed=5)
    first, second = answer.json()["sounds"]
    assert [first["sidecar"]["seed"], second["sidecar"]["seed"]] == [5, 6]
    content = base64.b64decode(second["audio"])
    assert content == generated(client, seed=6).content
    assert hashlib.sha256(content).hexdigest() == second["sidecar"]["sha256"]
    assert second["file"] == "rain_seed6.wav" and second["media_type"] == "audio/wav"
    assert str(model.parent) not in answer.text and first["sidecar"]["model"]["name"] == "tiny"


@pytest.mark.parametrize(
    ("format", "media_type", "found"),
    [("wav", "audio/wav", "WAV"), ("flac", "audio/flac", "FLAC"), ("opus", "audio/ogg", "OGG")],
)
def test_formats(client: TestClient, format: str, media_type: str, found: str) -> None:
    answer = generated(client, format=format)
    assert answer.headers["content-type"] == media_type
    with soundfile.SoundFile(io.BytesIO(answer.content)) as sound:
        assert sound.format == found and sound.frames / sound.samplerate == pytest.approx(0.5, abs=0.01)


def test_the_client_chooses_between_bytes_and_json(client: TestClient) -> None:
    assert generated(client, "application/json;q=0.5, audio/*").headers["content-type"] == "audio/wav"
    assert generated(client, "audio/*;q=0.5, application/json").headers["content-type"] == "application/json"
    assert generated(client, "text/html").status_code == 406
    assert generated(client, "audio/*", count=2).status_code == 406


def test_a_prompt_with_html_stays_text(client: TestClient) -> None:
    prompt = '<img src=x onerror="alert(1)">\u202e'
    answer = generated(client, "application/json", prompt=prompt)
    assert (
        answer.headers["content-type"] == "application/json" and answer.headers["x-content-type-options"] == "nosniff"
    )
    [sound] = answer.json()["sounds"]
    assert sound["sidecar"]["prompt"] == prompt and sound["file"] == "img-src-x-onerror-alert-1_seed0.wav"


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"seconds": 31}, "seconds must be a number from 0.5 to 30, not 31.0."),
        ({"seed": 2**64}, "seed must be a whole number from -1 to"),
        ({"prompt": " "}, "the prompt is empty; describe a sound"),
        ({"prompt": "x" * 1001}, "the prompt has 1,001 characters; the limit is 1,000."),
        ({"prompt": "\0"}, "the prompt has the control character U+0000"),
        ({"sampler": "huen"}, "sampler must be one of euler, heun, multistep"),
        ({"format": "wave"}, "format must be one of wav,"),
        ({"peak": -3, "loudness": -20}, "peak and loudness exclude each other; choose one."),
        ({"sceonds": 3}, "unknown key 'sceonds'. Did you mean 'seconds'?"),
        ({"seconds": "3"}, "'seconds' must be a number, not \"3\"."),
        ({"count": 9}, "'count': input should be less than or equal to 8."),
        ({"mix": [{"text": "/etc/passwd", "path": "/etc/passwd"}]}, "unknown key 'mix.0.path'"),
        ({"neighbours": 3}, "unknown key 'neighbours'."),
    ],
)
def test_wrong_values_are_problems_in_one_sentence(
    client: TestClient, values: dict[str, object], sentence: str
) -> None:
    answer = generated(client, **values)
    assert answer.status_code == 422 and answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == 422 and problem["type"] == "about:blank" and problem["title"]
    assert sentence in problem["detail"] and "--" not in problem["detail"]


def test_unknown_models_and_paths_are_refused(client: TestClient, model: Path) -> None:
    for name in ("tyni", str(model), "../tiny"):
        answer = generated(client, model=name)
        assert answer.status_code == 404 and "This server has: tiny." in answer.json()["detail"]
    assert "Did you mean 'tiny'?" in generated(client, model="tyni").json()["detail"]
    assert generated(client, model="tiny").status_code == 200


def test_wrong_types_and_broken_json(client: TestClient) -> None:
    json = {"Content-Type": "application/json"}
    assert client.post(ADDRESS, content="rain").status_code == 415
    assert client.post(ADDRESS, data={"prompt": "rain"}).status_code == 415
    for body, words in (
        (b'{"prompt": "ra', "invalid JSON"),
        (b"\xff\xfe\x00", "not UTF-"),
        (b"[" * 100_000, "nested too deeply"),
        (b"1" * 5000, "invalid JSON"),
    ):
        answer = client.post(ADDRESS, content=body, headers=json)
        assert answer.status_code == 400 and words in answer.json()["detail"]
    assert client.post(ADDRESS, content=b"[]", headers=json).status_code == 422
    assert client.post(ADDRESS, content=b'{"prompt": "\\ud800"}', headers=json).status_code == 422
    assert client.post(ADDRESS, content=b'{"prompt": "rain", "seconds": NaN}', headers=json).status_code == 422
    assert client.post(ADDRESS, content=b" " * 1_100_000, headers=json).status_code == 413
