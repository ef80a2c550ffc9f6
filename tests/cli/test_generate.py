"""`clapgen generate`: the sound, its sidecar, and generating it again."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from command_line import Result, assert_one_line, environment, names

from clapgen.model_store import weights_hash
from clapgen.testing import SAMPLE_RATE
from generation import TextToAudio
from generation.destinations import FORMATS
from generation.diffusion.samplers import SAMPLERS
from generation.requests import DEFAULTS, DTYPES, RANGES, GenerationRequest
from generation.sidecars import PARTS, sha256_of

Generate = Callable[..., Result]
RAIN = "rain-on-a-tin-roof_seed0"


def samples_of(path: str | Path) -> bytes:
    return soundfile.read(path, dtype="float32")[0].tobytes()


def test_one_prompt_gives_a_sound_and_a_sidecar(generate: Generate, here: Path, model: Path) -> None:
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
    assert sidecar["model"]["hashes"] == {part: weights_hash(model, part) for part in PARTS}
    assert -1 <= sidecar["score"] <= 1
    expected = {**DEFAULTS.settings(), "num_steps": 2, "seconds": 0.5}
    assert {key: sidecar[key] for key in expected} == expected
    assert {"clapgen", "torch", "python"} <= sidecar["versions"].keys()
    assert sidecar["threads"] == torch.get_num_threads() and sidecar["cpu"] and sidecar["device"] == "cpu"
    assert sidecar["decoder_peak"] + sidecar["gain"] == pytest.approx(-1)


def test_settings_change_the_sound(generate: Generate, here: Path) -> None:
    variants: dict[str, tuple[object, ...]] = {
        "plain": (),
        "seed": ("--seed", 1),
        "guidance": ("--guidance-scale", 7),
        "steps": ("--num-steps", 3),
        "negative": ("--negative-prompt", "wind in the trees"),
        "sampler": ("--sampler", "heun"),
        "shift": ("--time-shift", 3),
        "loudness": ("--loudness", -40),
        "peak": ("--peak", -6),
        "level": ("--level", "as-is"),
        **{dtype: ("--dtype", dtype) for dtype in DTYPES},
    }
    for name, options in variants.items():
        assert generate("church bells", "-o", f"{name}.wav", *options).code == 0
    assert generate("a dog barks twice", "-o", "prompt.wav").code == 0
    assert len({samples_of(path) for path in here.glob("*.wav")}) == len(variants)  # one of the dtypes is the default


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
def test_destination_and_format(
    generate: Generate, here: Path, options: tuple[str, ...], file: str, subtype: str
) -> None:
    result = generate("church bells", *options)
    assert result.code == 0, result
    assert soundfile.info(here / file).subtype == subtype
    assert (here / file).with_suffix(".json").is_file()


@pytest.mark.parametrize("audio_format", ["wav", "wav32", "flac", "ogg", "opus", "mp3"])
def test_a_sidecar_reproduces_its_file_bit_for_bit(generate: Generate, clapgen: Generate, audio_format: str) -> None:
    options = ("--format", audio_format, "--negative-prompt", "wind", "--candidates", 3, "--seed", 9)
    options += ("--guidance-scale", 2.5, "--sampler", "euler", "--time-shift", 2)
    [made] = generate("rain on a tin roof", "-o", "first", "--json", *options).json
    result = clapgen("generate", "--from", Path(made["path"]).with_suffix(".json"), "-o", "second")
    assert result.code == 0, result
    again = Path("second") / made["file"]
    assert again.read_bytes() == Path(made["path"]).read_bytes()
    assert "bit for bit" in result.err


def test_from_accepts_the_sound_itself_and_other_settings(generate: Generate, clapgen: Generate, here: Path) -> None:
    generate("church bells", "-o", "bells.wav")
    assert_one_line(clapgen("generate", "--from", "bells.wav"), "bells.wav already exists")
    assert clapgen("generate", "--from", "bells.wav", "--seed", "3").code == 0
    sidecar = json.loads((here / "church-bells_seed3.json").read_text())
    assert (sidecar["seed"], sidecar["num_steps"]) == (3, 2)


def test_other_weights_are_refused_unless_forced(
    generate: Generate, clapgen: Generate, model: Path, other_model: Path
) -> None:
    generate("church bells", "-o", "bells.wav")
    again = ("generate", "--from", "bells.json", "--model", other_model, "-o", "again.wav")
    assert_one_line(clapgen(*again), weights_hash(model, "diffusion"), weights_hash(other_model, "diffusion"))
    result = clapgen(*again, "--force")
    assert result.code == 0
    assert "the result will differ" in result.err
    assert Path("again.wav").read_bytes() != Path("bells.wav").read_bytes()


def test_the_best_candidate_is_kept(generate: Generate) -> None:
    [made] = generate("church bells", "--candidates", 3, "--json").json
    assert len(made["candidate_scores"]) == 3
    assert made["score"] == max(made["candidate_scores"])
    seed = made["candidate_seed"]
    assert generate("church bells", "--seed", seed, "-o", "alone.wav").code == 0
    assert samples_of("alone.wav") == samples_of(made["path"])


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


def test_a_prompt_longer_than_the_model_reads_gives_a_warning(generate: Generate) -> None:
    result = generate("rain and wind and " * 50)
    assert result.code == 0
    assert "reads only the first 77" in result.err
    assert generate("rain").err == ""


def test_the_settings_of_a_sidecar_are_arguments_of_the_pipeline(generate: Generate, model: Path) -> None:
    options = ("--negative-prompt", "wind", "--sampler", "heun", "--time-shift", 2, "--candidates", 2, "--seed", 3)
    [made] = generate("rain", *options, "--json").json
    request = GenerationRequest(made["prompt"], **{key: made[key] for key in DEFAULTS.settings()})
    [sound] = TextToAudio.from_pretrained(model).generate([request.prompt], **request.settings())
    assert (sound.score, sound.seed) == (made["score"], made["candidate_seed"])
    assert (sound.decoder_peak, sound.gain) == (made["decoder_peak"], made["gain"])
    sound.save("again.wav")
    assert samples_of("again.wav") == samples_of(made["path"])


def as_written_by_earlier_versions(sidecar: Path) -> None:
    """Rename the settings as they were, and leave out those that did not exist."""
    names = {"num_steps": "steps", "guidance_scale": "guidance", "negative_prompt": "negative"}
    values = json.loads(sidecar.read_text())
    assert (values.pop("sampler"), values.pop("time_shift")) == ("multistep", 1.0)
    sidecar.write_text(json.dumps({names.get(key, key): value for key, value in values.items()}))


def test_sidecars_of_earlier_versions_are_read(generate: Generate, clapgen: Generate, here: Path) -> None:
    run = ("church bells", "--negative-prompt", "wind", "--guidance-scale", 2, "--json")
    generate(*run)
    as_written_by_earlier_versions(here / "church-bells_seed0.json")
    [again] = generate(*run).json
    assert again["skipped"]
    assert (again["num_steps"], again["guidance_scale"], again["negative_prompt"]) == (2, 2.0, "wind")
    assert names(here) == ["church-bells_seed0.json", "church-bells_seed0.wav"]
    result = clapgen("generate", "--from", "church-bells_seed0.json", "-o", "again.wav")
    assert "bit for bit" in result.err
    assert Path("again.wav").read_bytes() == Path("church-bells_seed0.wav").read_bytes()


def test_short_names_of_options_still_work(generate: Generate) -> None:
    [made] = generate("rain", "--steps", 3, "--guidance", 1.5, "--negative", "wind", "--json").json
    assert (made["num_steps"], made["guidance_scale"], made["negative_prompt"]) == (3, 1.5, "wind")


def test_help_shows_defaults_ranges_and_names(clapgen: Generate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    text = " ".join(clapgen("generate", "--help").out.replace("│", " ").split())
    shown = [DEFAULTS.seconds, DEFAULTS.num_steps, DEFAULTS.guidance_scale, DEFAULTS.time_shift]
    for word in [*(f"[default: {default:g}]" for default in shown), *SAMPLERS, *DTYPES, *FORMATS]:
        assert word in text
    assert all(str(allowed) in text for key, allowed in RANGES.items() if key != "seed")
    assert "{" not in text.partition("Examples")[0]


READS_OF_A_COMMAND = """
import hashlib, json, os, sys
read, hashed = [], []
def hook(event, args):
    if event == "open" and not args[2] & (os.O_WRONLY | os.O_RDWR):
        read.append(os.path.basename(str(args[0])))
sys.addaudithook(hook)
sha256 = hashlib.sha256
hashlib.sha256 = lambda content=b"", **options: hashed.append(sha256(content).hexdigest()) or sha256(content, **options)
from clapgen import model_store
from clapgen.cli import run
resolved, resolve = [], model_store.resolve_model
model_store.resolve_model = lambda name: resolved.append(name) or resolve(name)
assert run(sys.argv[1:]) == 0
print(json.dumps({"read": read, "hashed": hashed, "resolved": resolved}))
"""


@pytest.mark.slow
def test_one_command_reads_and_hashes_every_file_once(here: Path, model: Path) -> None:
    options = ("generate", "rain", "--model", model, "--seconds", 0.5, "--num-steps", 1)
    line = [sys.executable, "-c", READS_OF_A_COMMAND, *map(str, options)]
    done = subprocess.run(line, capture_output=True, text=True, env=environment(), check=True)
    reads = json.loads(done.stdout.splitlines()[-1])
    counts = Counter(reads["read"])
    assert (counts["checksums.json"], counts["model.safetensors"]) == (1, len(PARTS))
    assert not any(name.endswith(".wav") for name in counts)
    hashes = Counter(reads["hashed"])
    assert max(hashes.values()) == 1
    assert {sha256_of(file) for file in model.glob("*/*")} | {sha256_of(here / "rain_seed0.wav")} <= hashes.keys()
    assert reads["resolved"] == [str(model)]


def test_help_and_finished_clips_load_no_torch(generate: Generate, model: Path) -> None:
    generate("rain")
    skip = ("rain", "--model", model, "--seconds", 0.5, "--num-steps", 2)
    for arguments in (("--help",), skip):
        line = [sys.executable, "-X", "importtime", "-m", "clapgen.cli", "generate", *map(str, arguments)]
        done = subprocess.run(line, capture_output=True, text=True, env=environment(), check=True)
        imported = {line.split()[-1] for line in done.stderr.splitlines() if line.startswith("import time:")}
        assert "generation.requests" in imported
        assert imported.isdisjoint({"torch", "numpy", "soundfile"})
