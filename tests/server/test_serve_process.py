"""`clapgen serve` in its own process: its start, its end, a taken port, slow clients, and many visitors at once."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from clapgen import read_audio
from clapgen.cli import run

pytestmark = pytest.mark.slow

GENERATE = "/v1/audio/generations"
LONG = {"prompt": "rain", "seconds": 30, "num_steps": 200, "candidates": 64}
QUICK = {"prompt": "rain", "seconds": 0.5, "num_steps": 2}
Start = Callable[..., tuple["subprocess.Popen[str]", str]]


@pytest.fixture
def start(model: Path, tmp_path: Path) -> Iterator[Start]:
    """Start a server on a free port and a data folder; gives the process and its address."""
    started = []

    def server(*options: object) -> tuple["subprocess.Popen[str]", str]:
        command = [sys.executable, "-m", "clapgen.cli", "serve", "--port", "0", "--model", str(model)]
        command += ["--device", "cpu", "--data", str(tmp_path / "data"), *map(str, options)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        return process, process.stdout.readline().split()[0].rstrip("/")

    yield server
    for process in started:
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            stream.close()


def test_a_taken_port(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert run(["serve", "--port", str(port)]) == 2
    assert f"port {port} of 127.0.0.1 is taken; choose another with --port" in capsys.readouterr().err


def test_ctrl_c_ends_it_in_the_middle_of_work(start: Start, tmp_path: Path) -> None:
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        process, address = start()
        job = httpx2.post(address + GENERATE, json=LONG, headers={"Prefer": "respond-async"}, timeout=60)
        assert job.status_code == 202
        process.send_signal(signal_number)
        assert process.wait(20) in (0, 130, 143, -signal_number)
        assert list((tmp_path / "data").iterdir()) == []


def test_a_killed_server_leaves_nothing_that_the_next_one_does_not_delete(start: Start, tmp_path: Path) -> None:
    process, address = start()
    sound = (Path(__file__).parent.parent / "sounds" / "door.opus").read_bytes()
    fields = {"kind": "loop", "num_steps": "200", "candidates": "64"}
    job = httpx2.post(
        address + "/v1/audio/edits",
        files={"file": ("door.opus", sound)},
        data=fields,
        headers={"Prefer": "respond-async"},
        timeout=60,
    ).headers["location"]
    process.kill()
    process.wait()
    [left] = (tmp_path / "data").iterdir()
    _, address = start()
    assert not left.exists()
    answer = httpx2.get(address + job)
    assert answer.status_code == 410 and "the server was started again" in answer.json()["detail"]


def test_a_slow_client_is_sent_away(start: Start) -> None:
    _, address = start("--upload-seconds", 1)
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as slow:
        lines = f"POST {GENERATE} HTTP/1.1", f"Host: {host}", "Content-Type: application/json", "Content-Length: 99"
        slow.sendall("\r\n".join(lines).encode() + b'\r\n\r\n{"prompt"')
        slow.settimeout(20)
        assert b"408" in slow.recv(4096)


def test_beyond_loopback_without_a_token_it_warns(start: Start) -> None:
    process, _ = start("--host", "0.0.0.0")
    process.terminate()
    assert "everyone who reaches 0.0.0.0 can use this server; give --token-file" in process.communicate()[1]


def test_many_visitors_at_once(start: Start) -> None:
    process, address = start("--queue", 16)
    sound = (Path(__file__).parent.parent / "sounds" / "door.opus").read_bytes()
    statuses: list[int] = []
    while not httpx2.get(address + "/healthz").json()["ready"]:
        time.sleep(0.1)
    end = time.monotonic() + 8

    def visitor(number: int) -> None:
        with httpx2.Client(base_url=address, timeout=60) as client:
            while time.monotonic() < end:
                if number % 2:
                    answer = client.post(GENERATE, json={**QUICK, "seed": number})
                else:
                    answer = client.post("/v1/score", files={"file": ("door.opus", sound)}, data={"text": "a door"})
                statuses.append(answer.status_code)
                if answer.status_code == 429:
                    assert int(answer.headers["retry-after"]) >= 1
                    time.sleep(0.2)

    threads = [threading.Thread(target=visitor, args=(number,)) for number in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(statuses) <= {200, 429} and statuses.count(200) >= 32
    before = _memory(process)
    assert httpx2.get(address + "/healthz").json()["waiting"] == 0
    assert before < 2e9


def _memory(process: Any) -> int:
    """Bytes in RAM of a process; 0 where the system does not say."""
    try:
        return int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def test_the_official_client_of_elevenlabs(start: Start) -> None:
    elevenlabs = pytest.importorskip("elevenlabs")
    _, address = start()
    client = elevenlabs.ElevenLabs(api_key="not-needed", base_url=address, timeout=60)
    arguments = {"text": "rain", "duration_seconds": 0.5, "prompt_influence": 0.4, "output_format": "mp3_44100_128"}
    sound = b"".join(client.text_to_sound_effects.convert(**arguments))
    waveform, rate = read_audio(sound)
    assert rate == 44100 and len(waveform) / rate == pytest.approx(0.5, abs=0.1)
