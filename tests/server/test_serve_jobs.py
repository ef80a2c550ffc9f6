"""Jobs: progress, results, cancelling; the queue; clients that go away."""

import asyncio
import json
import threading
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest
from conftest_server import ADDRESS, client_of
from starlette.testclient import TestClient

from clapgen.server.app import create_app
from clapgen.server.settings import Settings
from clapgen.server.work import Job

GENERATE = "/v1/audio/generations"
QUICK = {"prompt": "rain", "seconds": 0.5, "num_steps": 2}
ASYNC = {"Prefer": "respond-async"}


def started(client: TestClient, **values: object) -> str:
    answer = client.post(GENERATE, json={**QUICK, **values}, headers=ASYNC)
    assert answer.status_code == 202 and answer.headers["location"] == answer.json()["url"], answer.text
    return answer.headers["location"]


def over(client: TestClient, job: str) -> dict[str, Any]:
    for _ in range(400):
        state = client.get(job).json()
        if state["state"] in ("done", "failed", "cancelled"):
            return state
        time.sleep(0.02)
    raise AssertionError(state)


def test_a_job_gives_what_the_request_would_have_given(client: TestClient) -> None:
    job = started(client, seed=4)
    state = over(client, job)
    assert (state["state"], state["done"], state["total"], state["kind"]) == ("done", 2, 2, "generation")
    assert client.get(f"{job}/result").content == client.post(GENERATE, json={**QUICK, "seed": 4}).content
    assert (
        client.get(f"{job}/result", headers={"Accept": "application/json"}).json()["sounds"][0]["sidecar"]["seed"] == 4
    )
    assert client.delete(job).status_code == 200
    assert client.get(job).status_code == 410


def test_events_tell_every_step(client: TestClient) -> None:
    job = started(client, num_steps=6, preview=True)
    lines = client.get(f"{job}/events").text.split("\n\n")
    events = [(block.split("\n")[0][7:], json.loads(block.split("\ndata: ")[1])) for block in lines if block]
    names = [name for name, _ in events]
    assert names[-1] == "done" and set(names) <= {"progress", "preview", "done"}
    done = [state["done"] for name, state in events if name != "preview"]
    assert done == sorted(done) and done[-1] == 6
    assert all(state["spectrogram"].startswith("data:image/png") for name, state in events if name == "preview")
    assert client.get(f"{job}/result").content == client.post(GENERATE, json={**QUICK, "num_steps": 6}).content


def test_jobs_that_are_gone_are_said_to_be_gone(client: TestClient) -> None:
    assert client.get("/v1/jobs/no-such-job").status_code == 404
    answer = client.get(f"/v1/jobs/{'0' * 8}-{'0' * 32}")
    assert answer.status_code == 410 and "started again" in answer.json()["detail"]


def test_old_results_are_forgotten(model: Path, tmp_path: Path) -> None:
    with client_of(Settings(models=(str(model),), data=tmp_path, keep_minutes=1e-9)) as client:
        answer = client.get(started(client))
        while answer.status_code == 200:
            time.sleep(0.02)
            answer = client.get(answer.json()["url"])
        assert answer.status_code == 410 and "kept for a while" in answer.json()["detail"]


def test_a_full_queue_and_cancelling(model: Path, tmp_path: Path) -> None:
    with client_of(Settings(models=(str(model),), data=tmp_path, queue_length=2)) as client:
        queue = client.app.service.queue  # type: ignore[attr-defined]
        held, running = threading.Event(), threading.Event()

        def block(job: Job) -> None:
            running.set()
            held.wait(20)

        client.portal.call(_submit, queue, Job("test", block))  # type: ignore[union-attr]
        assert running.wait(5)
        first, second = started(client), started(client)
        assert (client.get(first).json()["ahead"], client.get(second).json()["ahead"]) == (1, 2)
        assert client.get(f"{first}/result").status_code == 202
        answer = client.post(GENERATE, json=QUICK)
        assert answer.status_code == 429 and int(answer.headers["retry-after"]) >= 1
        assert "the queue is full" in answer.json()["detail"]
        assert client.delete(second).json()["state"] == "cancelled"
        assert client.get(f"{second}/result").status_code == 410
        assert client.post(GENERATE, json=QUICK, headers=ASYNC).status_code == 202
        held.set()
        assert over(client, first)["state"] == "done"


async def _submit(queue: Any, job: Job) -> None:
    queue.submit(job)


def test_a_running_job_stops_at_its_next_step(client: TestClient) -> None:
    job = started(client, num_steps=200, seconds=30, candidates=64)
    while client.get(job).json()["done"] < 2:
        time.sleep(0.01)
    client.delete(job)
    state = over(client, job)
    assert state["state"] == "cancelled" and state["done"] < 200 * 64


def test_work_stops_when_the_client_goes_away(model: Path, tmp_path: Path) -> None:
    app = create_app(Settings(models=(str(model),), data=tmp_path))
    long = {**QUICK, "num_steps": 200, "seconds": 30, "candidates": 64}
    transport = httpx2.ASGITransport(app)

    async def go_away() -> None:
        async with httpx2.AsyncClient(transport=transport, base_url=ADDRESS) as client:
            request = asyncio.create_task(client.post(GENERATE, json=long, timeout=60))
            while not app.service.queue.is_working:
                await asyncio.sleep(0.01)
            request.cancel()
            with pytest.raises(asyncio.CancelledError):
                await request
            for _ in range(500):
                if not app.service.queue.is_working:
                    return
                await asyncio.sleep(0.02)
            raise AssertionError("the work goes on")

    asyncio.run(go_away())
    assert 'kind="generation",state="cancelled"} 1' in app.service.metrics.text([])
    app.service.close()
    assert list(tmp_path.iterdir()) == []


def test_a_disconnect_is_noticed_in_the_middle_of_the_work(model: Path, tmp_path: Path) -> None:
    app = create_app(Settings(models=(str(model),), data=tmp_path))
    body = json.dumps({**QUICK, "num_steps": 200, "seconds": 30, "candidates": 64}).encode()
    headers = [(b"content-type", b"application/json"), (b"host", b"127.0.0.1")]
    scope = {
        "type": "http",
        "method": "POST",
        "path": GENERATE,
        "headers": headers,
        "query_string": b"",
        "root_path": "",
    }
    sent: list[Any] = []

    async def talk() -> None:
        messages = asyncio.Queue[Any]()
        messages.put_nowait({"type": "http.request", "body": body, "more_body": False})

        async def send(message: Any) -> None:
            sent.append(message)

        answering = asyncio.create_task(app(scope, messages.get, send))
        while not app.service.queue.is_working:
            await asyncio.sleep(0.01)
        messages.put_nowait({"type": "http.disconnect"})
        await asyncio.wait_for(answering, 20)

    asyncio.run(talk())
    app.service.close()
    assert 'kind="generation",state="cancelled"} 1' in app.service.metrics.text([])


def test_quick_work_goes_first(model: Path, tmp_path: Path) -> None:
    with client_of(Settings(models=(str(model),), data=tmp_path)) as client:
        queue, order = client.app.service.queue, []  # type: ignore[attr-defined]
        held = threading.Event()
        client.portal.call(_submit, queue, Job("test", lambda job: held.wait(20)))  # type: ignore[union-attr]
        jobs = [Job(str(number), lambda job: order.append(job.what), quick=number > 1) for number in range(12)]
        for job in jobs:
            client.portal.call(_submit, queue, job)  # type: ignore[union-attr]
        held.set()
        while not all(job.is_over for job in jobs):
            time.sleep(0.01)
    assert order == ["2", "3", "4", "5", "6", "7", "8", "9", "0", "10", "11", "1"]
