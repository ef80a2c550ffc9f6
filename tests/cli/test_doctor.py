"""The doctor names what is broken, what it breaks, and the cure."""

import json
import os
import subprocess
import sys

import pytest

from clapgen.cli import diagnosis as doctor

DIAGNOSE = "import json; from clapgen.cli.diagnosis import diagnose; print(json.dumps(diagnose().to_dict()))"


def put_broken_package(folder, name: str, statement: str, version: str = "2.11.0") -> None:
    (folder / name).mkdir()
    (folder / name / "__init__.py").write_text(statement)
    information = folder / f"{name}-{version}.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


@pytest.mark.slow
def test_torchaudio_that_does_not_load(tmp_path):
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
    assert states["transformers"] == "broken"  # it imports torchaudio because it is there
    assert states["torch"] == states["soundfile"] == "ok"
    problems = [problem for problem in report["problems"] if "torchaudio" in problem]
    assert any("libc10_cuda.so" in problem and "pip uninstall torchaudio" in problem for problem in problems)
    assert not any("\n" in problem for problem in report["problems"])


@pytest.mark.parametrize("error", ["ImportError", "OSError", "RuntimeError", "AttributeError"])
def test_every_kind_of_broken_package_is_reported(tmp_path, monkeypatch, error):
    name = f"broken_by_{error.lower()}"
    put_broken_package(tmp_path, name, f"raise {error}('this will not do')", version="1.2.3")
    monkeypatch.syspath_prepend(tmp_path)
    package = doctor._inspect(name, required=False)
    assert (package.state, package.version) == ("broken", "1.2.3")
    assert package.note == f"{error}: this will not do"
    assert f"{name}==1.2.3" in doctor._problem(package, [package])


def test_this_environment():
    report = doctor.diagnose()
    assert {package.name for package in report.packages if package.state == "ok"} >= set(doctor.REQUIRED)
    assert report.devices[0].startswith("cpu")
    assert int(report.threads["usable cores"]) >= 1
    text = report.text()
    for package in report.packages:
        assert package.name in text
        assert package.version in text
    assert json.loads(json.dumps(report.to_dict()))["system"]["Python"] in text
    assert all(problem in text for problem in report.problems)


def test_a_missing_required_package_is_a_problem_and_a_missing_optional_one_is_not():
    needed, wanted = doctor._inspect("not_a_package", True), doctor._inspect("not_a_package", False, "for fun")
    assert doctor._needs_mending(needed)
    assert not doctor._needs_mending(wanted)
    assert wanted.note == "for fun"
    assert "pip install not_a_package" in doctor._problem(needed, [])
