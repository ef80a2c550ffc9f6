"""Who may ask, from where, and how much; what the server says about itself."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest_server import TOKEN, client_of
from starlette.testclient import TestClient

from clapgen.cli import run
from clapgen.errors import ClapgenError
from clapgen.server.settings import Settings, read_tokens


def test_health_metrics_and_models(client: TestClient, model: Path) -> None:
    assert client.get("/healthz").json()["status"] == "ok"
    [found] = client.get("/v1/models").json()["data"]
    assert found["id"] == "tiny" and "generate" in found["can"] and len(found["parts"]["clap"]) == 12
    assert client.get("/nothing").json()["title"] == "Not Found"
    assert client.get("/v1/audio/generations").status_code == 405
    lines = client.get("/metrics").text.splitlines()
    assert 'clapgen_requests_total{method="GET",route="/healthz",status="200"} 1' in lines
    assert "clapgen_queue_waiting 0" in lines and not any("/nothing" in line for line in lines)


def test_tokens(model: Path, tmp_path: Path) -> None:
    with client_of(Settings(models=(str(model),), tokens=(TOKEN, "another-token-as-well"), data=tmp_path)) as client:
        assert client.get("/healthz").status_code == 200
        for headers in ({}, {"Authorization": "Bearer no"}, {"Authorization": f"Basic {TOKEN}"}, {"xi-api-key": "é"}):
            answer = client.get("/v1/models", headers={k: v.encode() for k, v in headers.items()})
            assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
            assert "Bearer TOKEN" in answer.json()["detail"]
        assert client.get("/metrics").status_code == 401
        for headers in ({"Authorization": f"Bearer {TOKEN}"}, {"xi-api-key": "another-token-as-well"}):
            assert client.get("/v1/models", headers=headers).status_code == 200


def test_other_pages_and_other_names_are_refused(client: TestClient) -> None:
    own, other = "http://127.0.0.1:7860", "https://example.org"
    assert client.get("/healthz", headers={"Origin": own}).status_code == 200
    assert client.get("/healthz", headers={"Origin": other}).status_code == 403
    assert client.get("/healthz", headers={"Host": "evil.example"}).status_code == 403
    assert "access-control-allow-origin" not in client.get("/healthz", headers={"Origin": own}).headers


def test_cors_is_on_if_asked_for(model: Path, tmp_path: Path) -> None:
    page = "https://example.org"
    with client_of(Settings(models=(str(model),), origins=(page,), data=tmp_path, tokens=(TOKEN,))) as client:
        asked = {"Origin": page, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x"}
        assert client.options("/v1/models", headers=asked).headers["access-control-allow-origin"] == page
        assert client.get("/healthz", headers={"Origin": "https://other.org"}).status_code == 403


def test_answers_allow_nothing_from_elsewhere(client: TestClient) -> None:
    headers = client.get("/healthz").headers
    assert "default-src 'self'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"


def test_token_files(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text(f"# of the studio\n\n{TOKEN}\n")
    assert read_tokens(file) == (TOKEN,)
    for content, words in (
        ("# none\n", "has no token"),
        ("short\n", "16 characters"),
        ("a token with spaces", "spaces"),
    ):
        file.write_text(content)
        with pytest.raises(ClapgenError, match=words):
            read_tokens(file)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--port", "70000"], "--port must be 0 to 65535"),
        (["--queue", "0"], "--queue must be 1 or more"),
        (["--max-upload", "nan"], "--max-upload must be 1 MB or more"),
        (["--cors", "example.org"], "must be an origin such as https://example.org"),
        (["--token-file", "no-such-file"], "cannot read 'no-such-file'"),
        (["--host", "256.1.1.1"], "--host 256.1.1.1 is no address of this machine"),
        (["--port", "0", "--model", "no-such-model"], "No model called 'no-such-model'"),
    ],
)
def test_wrong_options(capsys: pytest.CaptureFixture[str], options: list[str], words: str) -> None:
    assert run(["serve", *options]) == 2
    printed = capsys.readouterr()
    assert words in printed.err and len(printed.err.splitlines()) == 1 and not printed.out


def test_nothing_of_it_is_imported_by_other_commands(tmp_path: Path) -> None:
    code = (
        "import sys; from clapgen.cli import run; run(['models']); "
        "print({'fastapi', 'uvicorn', 'starlette', 'clapgen.server', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"


def test_the_description_is_openapi_and_names_no_path(client: TestClient, model: Path) -> None:
    described = client.get("/openapi.json")
    paths = json.loads(described.content)["paths"]
    assert described.json()["openapi"].startswith("3.") and "/v1/audio/generations" in paths
    body = paths["/v1/audio/generations"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["properties"]["seconds"]["maximum"] == 30 and body["required"] == ["prompt"]
    assert str(model) not in described.text
