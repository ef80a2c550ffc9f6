"""The package as a whole: one import for the main classes, registries, a tiny model for the tests of others."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import clapgen
from clapgen import Clap, TextToAudio
from clapgen.errors import ClapgenError
from clapgen.registry import Registry
from clapgen.testing import tiny_model

REPOSITORY = Path(__file__).parent.parent


def run_python(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run code with `folder` as the current folder, which Python searches first."""
    path = f"import sys; sys.path[:0] = ['', {str(REPOSITORY)!r}]; "
    return subprocess.run([sys.executable, "-c", path + code], cwd=folder, capture_output=True, text=True, check=False)


def test_import_loads_no_heavy_package(tmp_path: Path) -> None:
    code = "import clapgen; print({'torch', 'numpy', 'soundfile', 'generation'} & set(sys.modules))"
    assert run_python(code, tmp_path).stdout == "set()\n"


def test_every_exported_name_is_there() -> None:
    assert set(clapgen.__all__) <= set(dir(clapgen))
    assert all(callable(getattr(clapgen, name)) for name in clapgen.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'clap_model'"):
        _ = clapgen.clap_model


@pytest.mark.parametrize(
    "code", ["from clapgen import TextToAudio", "from clapgen.cli import run; run(['generate', 'rain'])"]
)
def test_a_file_that_hides_a_package_is_named(tmp_path: Path, code: str) -> None:
    (tmp_path / "generation.py").write_text("")
    done = run_python(code, tmp_path)
    last_line = done.stderr.splitlines()[-1]
    assert str(tmp_path / "generation.py") in last_line and "rename it" in last_line


def test_a_registry_finds_its_parts_and_suggests_the_nearest_name() -> None:
    samplers: Registry[Callable[[], str]] = Registry("sampler")
    samplers.register("euler")(lambda: "first order")
    samplers.register("heun")(lambda: "second order")
    assert samplers.create("heun") == "second order"
    assert samplers.names() == list(samplers) == ["euler", "heun"] and "euler" in samplers
    with pytest.raises(ClapgenError, match=r"unknown sampler 'huen'. Did you mean 'heun'\? Available: euler, heun"):
        samplers.get("huen")
    with pytest.raises(ValueError, match="already a sampler named 'euler'"):
        samplers.register("euler")(lambda: "again")


def test_a_tiny_model_works_like_a_real_one(tmp_path: Path) -> None:
    first, same, other = (tiny_model(tmp_path / name, seed) for name, seed in (("a", 0), ("b", 0), ("c", 1)))
    assert (first / "checksums.json").read_text() == (same / "checksums.json").read_text()
    assert Clap.from_pretrained(first).hash != Clap.from_pretrained(other).hash
    [sound] = TextToAudio.from_pretrained(first).generate(["rain"], seconds=0.5, num_steps=2)
    assert sound.waveform.shape == (sound.sample_rate // 2,) and np.isfinite(sound.waveform).all()
