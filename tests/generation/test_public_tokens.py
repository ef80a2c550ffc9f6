"""MusicGen in the layout of transformers, AudioGen in audiocraft's own files."""

from pathlib import Path

import numpy as np
import pytest
import tiny_public
import torch
import yaml

from clapgen.errors import ClapgenError
from generation.public import load_generator
from generation.public.audiocraft import AudioCraft
from generation.public.tokens import draw_tokens

FIXTURE = Path(__file__).parent / "fixtures" / "audiocraft.npz"


@pytest.fixture(scope="module")
def musicgen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_public.musicgen(tmp_path_factory.mktemp("musicgen"))


@pytest.fixture(scope="module")
def audiogen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_public.audiocraft(tmp_path_factory.mktemp("audiogen"))


@pytest.mark.parametrize("stereo", [False, True])
def test_musicgen_equals_the_generation_of_transformers(tmp_path: Path, stereo: bool) -> None:
    from transformers import AutoTokenizer, MusicgenForConditionalGeneration

    folder = tiny_public.musicgen(tmp_path, stereo)
    generator, peer = load_generator(folder), MusicgenForConditionalGeneration.from_pretrained(folder)
    inputs = AutoTokenizer.from_pretrained(folder)(["rain on a roof"], return_tensors="pt")
    peer.generation_config.update(decoder_start_token_id=16, pad_token_id=16)
    frames = 20
    theirs = peer.generate(**inputs, do_sample=False, guidance_scale=3.0, max_new_tokens=frames + 3)[0].mean(0)
    with torch.no_grad():
        condition = generator.encode("rain on a roof", "")
        tokens = draw_tokens(generator.language_model, *condition, frames, generator.delays, 3.0, [0], top_k=1)
        ours = generator.decode(tokens)[0]
    assert theirs.std() > 0.01 and len(tokens.unique()) > 3
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> tuple[AudioCraft, dict[str, torch.Tensor]]:
    """An AudioGen with the tensors of the fixture, and what audiocraft computes with them."""
    arrays = {key: torch.from_numpy(array) for key, array in np.load(FIXTURE).items()}
    folder = tiny_public.audiocraft(tmp_path_factory.mktemp("original"))
    for file, prefix in (("state_dict.bin", "lm/"), ("compression_state_dict.bin", "codec/")):
        package = torch.load(folder / file, weights_only=True)
        package["best_state"] = {key.removeprefix(prefix): array for key, array in arrays.items() if prefix in key}
        torch.save(package, folder / file)
    return load_generator(folder), arrays


def test_the_language_model_computes_what_audiocraft_does(original: tuple) -> None:
    generator, arrays = original
    with torch.no_grad():
        states = generator.projection(arrays["text"])
        for attended, name in ((states, "logits"), (torch.zeros_like(states), "empty")):
            output = generator.language_model(input_ids=arrays["sequence"][0], encoder_hidden_states=attended)
            torch.testing.assert_close(output.logits[None], arrays[name], atol=1e-4, rtol=1e-4)


def test_the_codec_decodes_what_audiocraft_does(original: tuple) -> None:
    generator, arrays = original
    with torch.no_grad():
        torch.testing.assert_close(generator.decode(arrays["tokens"]), arrays["waveform"][0], atol=1e-4, rtol=1e-4)


def test_a_prompt_sounds_the_same_in_any_company(audiogen: Path) -> None:
    """audiocraft attends to the zeroed padding of shorter prompts in a batch."""
    generator = load_generator(audiogen)
    alone = generator.generate(["rain"], seconds=0.5, seed=1)[0].waveform
    company = generator.generate(["rain", "a dog barks on the tin roof"], seconds=0.5, seed=1)[0].waveform
    assert np.array_equal(alone, company)
    with torch.no_grad():
        short, long = generator.encode("rain", "a dog barks on the tin roof")
        drawn = [
            draw_tokens(generator.language_model, *texts, 10, generator.delays, scale, [0], top_k=1)
            for texts, scale in (((long, short), 0.0), ((short, long), 1.0))
        ]
    assert torch.equal(*drawn)  # guided away from all the way, or the prompt: the short one is padded in the first


def test_the_delay_of_the_codebooks_is_undone(musicgen: Path) -> None:
    generator = load_generator(musicgen)
    with torch.no_grad():
        condition = generator.encode("rain", "")
        seen: list[dict] = []
        tokens = draw_tokens(generator.language_model, *condition, 7, [0, 1, 2, 3], 3.0, [4], callback=seen.append)
    assert tokens.shape == (1, 4, 7) and int(tokens.max()) < 16
    sequence = seen[-1]["x"]
    for book in range(4):
        assert torch.equal(sequence[0, book, 1 + book : 8 + book], tokens[0, book])
        assert (sequence[0, book, : 1 + book] == 16).all() and (sequence[0, book, 8 + book :] == 16).all()
    assert [step["i"] for step in seen] == list(range(10)) and {step["num_steps"] for step in seen} == {10}


@pytest.mark.parametrize("name", ["musicgen", "audiogen"])
def test_seeds_candidates_lengths_and_refusals(name: str, request: pytest.FixtureRequest) -> None:
    generator = load_generator(request.getfixturevalue(name))
    sounds = generator.generate(["rain", "a dog"], seconds=0.5, candidates=2, negative_prompt="wind", seed=2**40)
    assert all(len(sound.waveform) == 800 and len(sound.candidate_scores) == 2 for sound in sounds)
    again = generator.generate(["rain"], seconds=0.5, negative_prompt="wind", seed=sounds[0].seed)[0]
    assert np.array_equal(again.waveform, sounds[0].waveform)
    other = generator.generate(["rain"], seconds=0.5, seed=sounds[0].seed)[0]
    assert not np.array_equal(again.waveform, other.waveform)
    with pytest.raises(ClapgenError, match="has no --num-steps: it draws one token after the other"):
        generator.generate(["rain"], seconds=0.5, num_steps=10)
    assert generator.describe()["num_steps"] is None


def test_defaults_are_those_of_the_authors(musicgen: Path, audiogen: Path) -> None:
    assert load_generator(musicgen).kind.defaults() == {"seconds": 15.0, "guidance_scale": 3.0}
    generator = load_generator(audiogen)
    assert generator.kind.defaults() == {"seconds": 5.0, "guidance_scale": 3.0}
    with pytest.raises(ClapgenError, match="up to 3 s"):
        generator.generate(["rain"], seconds=4)


class Evil:
    def __reduce__(self) -> tuple:
        return (Path("evil").touch, ())


@pytest.fixture
def copy(audiogen: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    import shutil

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return Path(shutil.copytree(audiogen, tmp_path / "copy"))


@pytest.mark.parametrize("file", ["state_dict.bin", "compression_state_dict.bin"])
def test_damaged_files_and_code_are_refused(copy: Path, file: str) -> None:
    whole = (copy / file).read_bytes()
    package = torch.load(copy / file, weights_only=True)
    for content, reason in (
        ({**package, "more": Evil()}, "could run code"),
        ({**package, "xp.cfg": "a: [1"}, "does not fit its own configuration"),
        ({**package, "best_state": {"a": torch.zeros(1)}}, "does not fit its own configuration"),
        ({"other": 1}, "is not a file of audiocraft"),
    ):
        torch.save(content, copy / file)
        with pytest.raises(ClapgenError, match=reason):
            load_generator(copy)
    (copy / file).write_bytes(whole[:-500])
    with pytest.raises(ClapgenError, match=file):
        load_generator(copy)
    assert not Path("evil").exists()


def test_a_missing_t5_is_named(copy: Path) -> None:
    (copy / "t5-large").rename("gone")
    with pytest.raises(ClapgenError, match=r"google-t5/t5-large is not a folder, and cannot be downloaded"):
        load_generator(copy)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"lm_model": "transformer_lm_magnet"}, "of the kind 'transformer_lm_magnet'"),
        ({"conditioners": {"self_wav": {}, "description": {}}}, "follows more than a description"),
        ({"codebooks_pattern": {"modeling": "parallel"}}, "codebooks_pattern = parallel"),
        ({"transformer_lm": {**tiny_public.LM_CONFIG, "positional_embedding": "rope"}}, "positional_embedding = rope"),
        ({"transformer_lm": {**tiny_public.LM_CONFIG, "dim": 32}}, "does not fit its own configuration"),
    ],
)
def test_other_models_of_audiocraft_are_refused(copy: Path, changes: dict, reason: str) -> None:
    package = torch.load(copy / "state_dict.bin", weights_only=True)
    config = {**yaml.safe_load(package["xp.cfg"]), **changes}
    torch.save({**package, "xp.cfg": yaml.safe_dump(config)}, copy / "state_dict.bin")
    with pytest.raises(ClapgenError, match=reason):
        load_generator(copy)
