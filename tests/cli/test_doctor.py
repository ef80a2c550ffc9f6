"""`clapgen doctor` names what is broken, what else fails because of it, and the fix."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from clapgen.cli.diagnosis import REQUIRED, check_package, diagnose

DIAGNOSE = "import json; from clapgen.cli.diagnosis import diagnose; print(json.dumps(diagnose().to_dict()))"


def put_broken_package(folder: Path, name: str, statement: str, version: str = "2.11.0") -> None:
    (folder / name).mkdir()
    (folder / name / "__init__.py").write_text(statement)
    information = folder / f"{name}-{version}.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


@pytest.mark.slow
def test_torchaudio_that_does_not_load(tmp_path: Path) -> None:
    put_broken_package(
        tmp_path, "torchaudio", "raise OSError('libc10_cuda.so: cannot open shared object file:\\nno such file')"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, sys.path)])}
    result = subprocess.run(
        [sys.executable, "-c", DIAGNOSE], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    report = json.loads(result.stdout.splitlines()[-1])
    assert not report["healthy"]
    states = {package["name"]: package["state"] for package in report["packages"]}
    assert states["torchaudio"] == "broken"
    assert states["transformers"] == "broken"  # it imports torchaudio if it is installed
    assert states["torch"] == states["soundfile"] == "ok"
    problems = [problem for problem in report["problems"] if "torchaudio" in problem]
    assert any("libc10_cuda.so" in problem and "pip uninstall torchaudio" in problem for problem in problems)
    assert not any("\n" in problem for problem in report["problems"])


@pytest.mark.parametrize("error", ["ImportError", "OSError", "RuntimeError", "AttributeError"])
def test_every_kind_of_broken_package_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: str) -> None:
    name = f"broken_by_{error.lower()}"
    put_broken_package(tmp_path, name, f"raise {error}('this will not do')", version="1.2.3")
    monkeypatch.syspath_prepend(tmp_path)
    package = check_package(name, required=False)
    assert (package.state, package.version) == ("broken", "1.2.3")
    assert package.is_problem
    assert package.note == f"{error}: this will not do"
    assert f"{name}==1.2.3" in package.fix()


def test_this_environment() -> None:
    diagnosis = diagnose()
    assert {package.name for package in diagnosis.packages if package.state == "ok"} >= set(REQUIRED)
    assert diagnosis.devices[0].startswith("cpu")
    assert int(diagnosis.threads["usable cores"]) >= 1
    text = diagnosis.text()
    for package in diagnosis.packages:
        assert package.name in text
        assert package.version in text
    assert json.loads(json.dumps(diagnosis.to_dict()))["system"]["Python"] in text
    assert all(problem in text for problem in diagnosis.problems)


def test_a_missing_package_is_a_problem_only_if_it_is_required() -> None:
    required = check_package("not_a_package", required=True)
    optional = check_package("not_a_package", required=False, purpose="for fun")
    assert required.is_problem
    assert not optional.is_problem
    assert optional.note == "for fun"
    assert "pip install not_a_package" in required.fix()
