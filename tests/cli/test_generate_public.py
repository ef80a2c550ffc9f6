"""`clapgen generate --model` with a public generator."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile
import tiny_public
from command_line import Result, assert_one_line

from generation.public.checkpoints import is_public


@pytest.fixture(scope="module")
def audioldm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_public.audioldm(tmp_path_factory.mktemp("public") / "audioldm")


@pytest.fixture
def public(clapgen: Callable[..., Result], audioldm: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setenv("CLAPGEN_CACHE", str(Path("cache").resolve()))
    return lambda *arguments: clapgen("generate", "--model", audioldm, "--seconds", 0.5, *arguments)


def test_files_sidecars_licence_and_the_same_sound_again(
    public: Callable[..., Result], clapgen: Callable[..., Result], audioldm: Path
) -> None:
    first = public("rain", "--steps", 2, "-o", "rain.wav")
    assert first.code == 0 and "CC BY-NC-SA 4.0, no commercial use" in first.err
    assert soundfile.info("rain.wav").samplerate == 16000
    sidecar = json.loads(Path("rain.json").read_text())
    assert sidecar["model"]["kind"] == "AudioLDM" and set(sidecar["model"]["hashes"]) >= {"unet", "vae", "vocoder"}
    assert (sidecar["guidance_scale"], sidecar["num_steps"], sidecar["sampler"]) == (2.5, 2, None)
    again = clapgen("generate", "--from", "rain.wav", "-o", "again.wav")
    assert "identical to the original, bit for bit" in again.err and "published under" not in again.err
    other = clapgen("generate", "--from", "rain.json", "-o", "other.wav", "--seed", 3)
    assert other.code == 0 and Path("other.wav").read_bytes() != Path("rain.wav").read_bytes()


def test_finished_sounds_are_skipped_and_rows_have_settings_of_their_own(public: Callable[..., Result]) -> None:
    Path("prompts.jsonl").write_text('{"prompt": "rain", "num_steps": 1}\n{"prompt": "wind", "guidance_scale": 4}\n')
    sounds = public("--prompts", "prompts.jsonl", "--steps", 2, "--json").json
    assert [(sound["num_steps"], sound["guidance_scale"]) for sound in sounds] == [(1, 2.5), (2, 4.0)]
    assert [sound["skipped"] for sound in public("--prompts", "prompts.jsonl", "--steps", 2, "--json").json] == [
        True
    ] * 2


def test_candidates_are_ranked_by_any_clap(
    public: Callable[..., Result], generate: Callable[..., Result], model: Path
) -> None:
    own, ranked = (
        public("rain", "--steps", 1, "--candidates", 2, "-o", name, *options)
        for name, options in (("a.wav", ()), ("b.wav", ("--rank-by", model)))
    )
    assert own.code == ranked.code == 0
    first, second = (json.loads(Path(name).read_text()) for name in ("a.json", "b.json"))
    assert second["rank_by"] == str(model) and first["rank_by"] is None
    assert first["candidate_scores"] != second["candidate_scores"]
    ours = generate("rain", "--candidates", 2, "--rank-by", "default", "--json").json[0]
    assert ours["rank_by"] == "default" and len(ours["candidate_scores"]) == 2


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("rain", "--sampler", "multistep"), "has no --sampler: it uses the scheduler of its checkpoint"),
        (("rain", "--library", "some.library"), "neighbours need a clapgen model"),
        (("rain", "--rank-by", "nothing"), "No model called 'nothing'"),
        (("rain", "--steps", 500), "--num-steps must be a whole number from 1 to 200"),
        (("rain", "--dtype", "float8"), "--dtype must be one of"),
    ],
)
def test_what_it_cannot_do_is_one_line(public: Callable[..., Result], options: tuple, reason: str) -> None:
    public("rain", "--steps", 1)  # the licence has been shown
    result = public(*options) if "--steps" in options else public(*options, "--steps", 1)
    assert_one_line(result)
    assert reason in result.err


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("cvssp/../../etc", "No model called"),
        ("../x/y", "No model called"),
        ("owner/na..me", "neither a folder nor a name"),
        ("owner/no-such-model", "cannot be downloaded"),
    ],
)
def test_names_that_lead_nowhere_are_one_line(
    clapgen: Callable[..., Result], name: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    result = clapgen("generate", "rain", "--model", name)
    assert_one_line(result)
    assert reason in result.err and not list(Path().iterdir())


def test_a_folder_of_ours_is_ours(model: Path, audioldm: Path) -> None:
    assert not is_public(str(model)) and not is_public("default") and not is_public("defualt")
    assert is_public(str(audioldm)) and is_public("cvssp/audioldm-s-full-v2")


def test_the_licence_on_the_card_is_shown(public: Callable[..., Result], audioldm: Path) -> None:
    card = audioldm / "README.md"
    card.write_text("---\nlicense: cc-by-nc-nd-9\ntags: [x]\n---\n# Card\nlicense: other\n")
    try:
        assert "cc-by-nc-nd-9, no commercial use" in public("rain", "--steps", 1).err
    finally:
        card.unlink()
