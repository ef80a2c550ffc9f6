"""Edits, and the shape of ElevenLabs' API."""

import base64
import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from starlette.testclient import TestClient

from clapgen.cli import run

QUICK = {"num_steps": "2"}


def noise(seconds: float = 2.0, rate: int = 8000) -> bytes:
    memory = io.BytesIO()
    samples = 0.3 * np.random.default_rng(0).standard_normal(int(seconds * rate)).clip(-3, 3)
    soundfile.write(memory, samples, rate, format="WAV")
    return memory.getvalue()


def edited(client: TestClient, accept: str = "*/*", name: str = "street.wav", **fields: object):  # type: ignore[no-untyped-def]
    return client.post(
        "/v1/audio/edits", files={"file": (name, noise())}, data={**QUICK, **fields}, headers={"Accept": accept}
    )


def test_an_edit_keeps_the_rest_and_can_be_made_again_by_the_command_line(
    client: TestClient,
    model: Path,
    uploads: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    answer = edited(client, kind="fill", prompt="church bells", regions="0.5:1", seed="3", format="wav32")
    assert answer.status_code == 200, answer.text
    made, rate = soundfile.read(io.BytesIO(answer.content), dtype="float32")
    original, _ = soundfile.read(io.BytesIO(noise()), dtype="float32")
    assert rate == 8000 and len(made) == len(original)
    np.testing.assert_array_equal(made[:4000], original[:4000])
    np.testing.assert_array_equal(made[8000:], original[8000:])
    assert not np.allclose(made[4400:7600], original[4400:7600])
    assert str(uploads).encode() not in answer.content
    (tmp_path / "street.wav").write_bytes(noise())
    (tmp_path / "made.wav").write_bytes(answer.content)
    (tmp_path / "tiny").symlink_to(model)
    monkeypatch.chdir(tmp_path)
    assert run(["generate", "--from", "made.wav", "-o", "again.wav"]) == 0, capsys.readouterr().err
    assert (tmp_path / "again.wav").read_bytes() == answer.content


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ({"kind": "restyle", "prompt": "rain", "strength": "0.4"}, 2.0),
        ({"kind": "extend", "after": "1.5"}, 3.5),
        ({"kind": "loop", "joint": "0.5"}, 2.0),
        ({"kind": "upsample", "above": "2000"}, 2.0),
    ],
)
def test_every_kind(client: TestClient, fields: dict[str, str], seconds: float) -> None:
    answer = edited(client, "application/json", **fields)
    assert answer.status_code == 200, answer.text
    [sound] = answer.json()["sounds"]
    content = base64.b64decode(sound["audio"])
    waveform, rate = soundfile.read(io.BytesIO(content))
    assert len(waveform) / rate == pytest.approx(seconds) and sound["file"] == "street-edited.wav"
    assert sound["sidecar"]["edit"]["path"] == "street.wav"
    assert sound["sidecar"]["edit"]["sha256"] == hashlib.sha256(noise()).hexdigest()


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"kind": "paint"}, "the kind must be one of restyle, fill"),
        ({"kind": "restyle"}, "give a prompt to restyle a sound."),
        ({"kind": "fill"}, "give at least one region"),
        ({"kind": "fill", "regions": "1-2"}, "1-2"),
        ({"kind": "fill", "regions": "1:9"}, "the region 1:9 ends after the sound, which lasts 2.00 s."),
        ({"kind": "loop", "after": "2"}, "after is of extend, not of loop."),
        ({"kind": "restyle", "prompt": "rain", "strength": "2"}, "the strength must be 0 to 1, not 2."),
        ({"kind": "extend", "after": "nan"}, "after"),
        ({"kind": "loop", "joint": "1.5"}, "the joint of a loop can be at most half of the sound"),
        ({"kind": "loop", "path": "/etc/passwd"}, "unknown key 'path'"),
    ],
)
def test_wrong_edits(client: TestClient, uploads: Path, fields: dict[str, str], sentence: str) -> None:
    answer = edited(client, **fields)
    assert answer.status_code == 422 and sentence in answer.json()["detail"], answer.text
    assert str(uploads) not in answer.text
    assert not [path for folder in uploads.iterdir() for path in folder.iterdir()]


def test_silence_is_named_by_the_name_of_the_upload(client: TestClient, uploads: Path) -> None:
    file = {"file": ("quiet.wav", noise()[:44] + bytes(32000))}
    answer = client.post("/v1/audio/edits", files=file, data={**QUICK, "kind": "loop"})
    assert answer.json()["detail"] == "quiet.wav: digital silence; there is nothing to edit."


ELEVEN = "/v1/sound-generation"


def eleven(client: TestClient, **body: object):  # type: ignore[no-untyped-def]
    address = f"{ELEVEN}?output_format={body.pop('format')}" if "format" in body else ELEVEN
    return client.post(address, json={"text": "rain", "duration_seconds": 0.5, **body}, headers={"xi-api-key": "x"})


@pytest.mark.parametrize(
    ("format", "media_type", "samples"),
    [("pcm_16000", "audio/pcm", 16000), ("ulaw_8000", "audio/basic", 4000), ("mp3_44100_128", "audio/mpeg", 0)],
)
def test_formats_of_elevenlabs(client: TestClient, format: str, media_type: str, samples: int) -> None:
    answer = eleven(client, format=format, seed=1)
    assert answer.status_code == 200 and answer.headers["content-type"] == media_type, answer.text
    if samples:
        assert len(answer.content) == samples  # 2 bytes each, or 1
    assert answer.content == eleven(client, format=format, seed=1).content


def test_a_client_of_elevenlabs_gets_mp3_and_a_seed_of_its_own(client: TestClient) -> None:
    first, second = (eleven(client, prompt_influence=0.5, model_id="eleven_text_to_sound_v2") for _ in range(2))
    assert first.headers["content-type"] == "audio/mpeg" and first.headers["x-clapgen-seed"] != "0"
    assert first.headers["x-clapgen-seed"] != second.headers["x-clapgen-seed"]
    with soundfile.SoundFile(io.BytesIO(first.content)) as sound:
        assert sound.samplerate == 44100 and sound.format == "MP3"


def test_a_loop_and_the_body_of_localai(client: TestClient) -> None:
    body = {"model_id": "sfx", "text": "rain", "do_sample": True, "think": False, "output_format": "wav_16000"}
    answer = client.post(ELEVEN, json={**body, "duration_seconds": 1, "loop": True, "seed": 2})
    waveform, rate = soundfile.read(io.BytesIO(answer.content))
    assert rate == 16000 and len(waveform) == 16000
    plain = client.post(ELEVEN, json={**body, "duration_seconds": 1, "seed": 2})
    assert plain.content != answer.content and len(soundfile.read(io.BytesIO(plain.content))[0]) == 16000


def test_wrong_bodies_of_elevenlabs(client: TestClient) -> None:
    for body, words in (
        ({"text": ""}, "the prompt is empty"),
        ({"duration_seconds": 40}, "seconds must be a number from 0.5 to 30, not 40"),
        ({"prompt_influence": 2}, "prompt_influence"),
        ({"format": "aiff"}, "output_format must be one of"),
    ):
        answer = eleven(client, **body)
        assert answer.status_code == 422 and words in answer.json()["detail"], answer.text
