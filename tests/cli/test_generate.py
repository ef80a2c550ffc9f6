"""`clapgen generate`: the sound, its sidecar, and the same sound again."""

import inspect
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from command_line import Result, assert_one_line, names

from clapgen.cli.clips import sha256_of
from clapgen.cli.generate import DTYPES, GENERATION_PARTS
from clapgen.cli.prompts import DEFAULTS, RANGES
from clapgen.model_store import weights_hash
from clapgen.testing import SAMPLE_RATE

Generate = Callable[..., Result]
RAIN = "rain-on-a-tin-roof_seed0"


def test_one_prompt_makes_a_sound_and_a_sidecar(generate: Generate, here: Path, model: Path) -> None:
    result = generate("rain on a tin roof")
    assert result.code == 0, result
    assert result.out.startswith(f"{RAIN}.wav")
    assert names(here) == [f"{RAIN}.json", f"{RAIN}.wav"]
    waveform, sample_rate = soundfile.read(f"{RAIN}.wav")
    assert (len(waveform), sample_rate) == (SAMPLE_RATE // 2, SAMPLE_RATE)
    assert 20 * np.log10(np.abs(waveform).max()) == pytest.approx(-1, abs=0.01)
    sidecar = json.loads(Path(f"{RAIN}.json").read_text())
    assert sidecar["prompt"] == "rain on a tin roof"
    assert sidecar["sha256"] == sha256_of(Path(f"{RAIN}.wav"))
    assert sidecar["model"]["hashes"] == {part: weights_hash(model, part) for part in GENERATION_PARTS}
    assert -1 <= sidecar["score"] <= 1
    expected = {"seed": 0, "steps": 2, "seconds": 0.5, "guidance": DEFAULTS.guidance, "candidates": 1, "negative": None}
    assert {key: sidecar[key] for key in expected} == expected
    assert {"clapgen", "torch", "python"} <= sidecar["versions"].keys()


def test_settings_change_the_sound(generate: Generate, here: Path) -> None:
    variants: dict[str, tuple[object, ...]] = {
        "plain": (),
        "seed": ("--seed", 1),
        "guidance": ("--guidance", 7),
        "steps": ("--steps", 3),
        "negative": ("--negative", "wind in the trees"),
        "dtype": ("--dtype", "float32"),
    }
    for name, options in variants.items():
        assert generate("church bells", "-o", f"{name}.wav", *options).code == 0
    assert generate("a dog barks twice", "-o", "prompt.wav").code == 0
    assert len({sha256_of(path) for path in here.glob("*.wav")}) == len(variants) + 1


@pytest.mark.parametrize(
    ("options", "file", "subtype"),
    [
        (("-o", "bells.flac"), "bells.flac", "PCM_16"),
        (("-o", "bells.OGG"), "bells.OGG", "VORBIS"),
        (("-o", "new/folder/bells.wav", "--format", "wav24"), "new/folder/bells.wav", "PCM_24"),
        (("-o", "folder"), "folder/church-bells_seed0.wav", "PCM_16"),
        (("--format", "wav32"), "church-bells_seed0.wav", "FLOAT"),
        (("--format", "opus"), "church-bells_seed0.opus", "OPUS"),
        (("--seed", "5"), "church-bells_seed5.wav", "PCM_16"),
    ],
)
def test_where_and_as_what_it_is_written(
    generate: Generate, here: Path, options: tuple[str, ...], file: str, subtype: str
) -> None:
    result = generate("church bells", *options)
    assert result.code == 0, result
    assert soundfile.info(here / file).subtype == subtype
    assert (here / file).with_suffix(".json").is_file()


@pytest.mark.parametrize("audio_format", ["wav", "wav32", "flac", "ogg", "opus"])
def test_a_sidecar_makes_its_file_again_bit_for_bit(generate: Generate, clapgen: Generate, audio_format: str) -> None:
    options = ("--format", audio_format, "--negative", "wind", "--candidates", 3, "--seed", 9, "--guidance", 2.5)
    [made] = generate("rain on a tin roof", "-o", "first", "--json", *options).json
    result = clapgen("generate", "--from", Path(made["path"]).with_suffix(".json"), "-o", "second")
    assert result.code == 0, result
    again = Path("second") / made["file"]
    assert again.read_bytes() == Path(made["path"]).read_bytes()
    assert "bit for bit" in result.err


def test_from_takes_the_sound_itself_and_other_settings(generate: Generate, clapgen: Generate, here: Path) -> None:
    generate("church bells", "-o", "bells.wav")
    assert_one_line(clapgen("generate", "--from", "bells.wav"), "bells.wav already exists")
    assert clapgen("generate", "--from", "bells.wav", "--seed", "3").code == 0
    sidecar = json.loads((here / "church-bells_seed3.json").read_text())
    assert (sidecar["seed"], sidecar["steps"]) == (3, 2)


def test_other_weights_are_not_passed_off_as_the_same_sound(
    generate: Generate, clapgen: Generate, model: Path, other_model: Path
) -> None:
    generate("church bells", "-o", "bells.wav")
    again = ("generate", "--from", "bells.json", "--model", other_model, "-o", "again.wav")
    assert_one_line(clapgen(*again), weights_hash(model, "diffusion"), weights_hash(other_model, "diffusion"))
    result = clapgen(*again, "--force")
    assert result.code == 0
    assert "the sound will be another" in result.err
    assert Path("again.wav").read_bytes() != Path("bells.wav").read_bytes()


def test_the_best_candidate_is_kept(generate: Generate) -> None:
    [made] = generate("church bells", "--candidates", 3, "--json").json
    assert len(made["candidate_scores"]) == 3
    assert made["score"] == max(made["candidate_scores"])
    seed = made["candidate_seed"]
    [alone] = generate("church bells", "--seed", seed, "-o", "alone.wav", "--json").json
    assert alone["sha256"] == made["sha256"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_batch_changes_no_bit(generate: Generate, here: Path, dtype: str) -> None:
    prompts = ("rain", "wind in the trees that goes on and on all night long", "church bells")
    for size in (1, 3):
        assert generate(*prompts, "-o", f"by{size}", "--batch-size", size, "--dtype", dtype).code == 0
    assert len(names(here / "by1")) == 6
    for path in (here / "by1").iterdir():
        assert path.read_bytes() == (here / "by3" / path.name).read_bytes()


@pytest.mark.slow
def test_plot_and_json(generate: Generate, here: Path) -> None:
    result = generate("church bells", "wind", "--plot", "--json")
    assert [line["path"] for line in result.json] == ["church-bells_seed0.wav", "wind_seed0.wav"]
    assert result.err == ""
    assert (here / "wind_seed0.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "prompt", ["regen auf dem blechdach 🌧️", "🌧️", "雨の音", "rain\non a\n\nroof", "../../etc/passwd"]
)
def test_unusual_prompts_get_safe_names(generate: Generate, here: Path, prompt: str) -> None:
    result = generate(prompt, "--json")
    assert result.code == 0, result
    [made] = result.json
    assert made["prompt"] == " ".join(prompt.split())
    assert len(names(here)) == 2
    assert "/" not in made["path"]
    assert "\n" not in made["path"]


def test_a_prompt_longer_than_the_model_reads_is_said_so(generate: Generate) -> None:
    result = generate("rain and wind and " * 50)
    assert result.code == 0
    assert "reads the first 77" in result.err
    assert generate("rain").err == ""


def test_defaults_and_ranges_are_those_of_the_pipeline(model: Path) -> None:
    from generation import pipeline

    parameters = inspect.signature(pipeline.TextToAudio.generate).parameters
    assert DEFAULTS.seconds == parameters["seconds"].default
    assert DEFAULTS.steps == parameters["num_steps"].default
    assert DEFAULTS.guidance == parameters["guidance_scale"].default
    assert RANGES["seconds"] == (pipeline.SHORTEST_SECONDS, pipeline.LONGEST_SECONDS)
    assert set(GENERATION_PARTS) == set(pipeline.PARTS)
    assert set(DTYPES) == set(pipeline.DTYPES)
    assert DTYPES[0] == pipeline.TextToAudio.from_pretrained(model).describe()["dtype"]
