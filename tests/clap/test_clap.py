"""The CLAP: properties of its embeddings, with a tiny model and real recordings."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from clapgen.audio import read_audio
from clapgen.audio.windows import repeat_pad
from clapgen.clap import Clap, ClapConfig
from clapgen.clap.tokenizer import tokenize
from clapgen.clap.towers import AUDIO_TOWERS, AudioTower
from clapgen.configuration import load_config, to_dict
from clapgen.errors import ClapgenError
from clapgen.testing import CLAP, tiny_model


@pytest.fixture(scope="module")
def clap(tmp_path_factory) -> Clap:
    return Clap.from_pretrained(tiny_model(tmp_path_factory.mktemp("tiny")))


@pytest.fixture(scope="module")
def sounds(recordings) -> list[np.ndarray]:
    return [read_audio(path, CLAP.audio.sample_rate)[0] for path in recordings]


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    samples = round(seconds * CLAP.audio.sample_rate)
    return np.random.default_rng(seed).normal(0, 0.1, samples).astype(np.float32)


def tone(seconds: float) -> np.ndarray:
    return np.sin(np.arange(round(seconds * CLAP.audio.sample_rate)) * 0.8).astype(np.float32)


def test_embeddings_have_length_one_and_the_width_of_the_space(clap, sounds):
    audio, text = clap.embed_audio(sounds, CLAP.audio.sample_rate), clap.embed_text(["rain", "a dog barks"])
    assert audio.shape == (len(sounds), clap.dim) and text.shape == (2, clap.dim)
    assert audio.dtype == text.dtype == torch.float32
    for embedded in (audio, text):
        assert torch.allclose(embedded.norm(dim=1), torch.ones(len(embedded)), atol=1e-5)
    assert clap.similarity(audio, text).shape == (len(sounds), 2)


def test_nothing_in_gives_nothing_out(clap):
    assert clap.embed_audio([], 8000).shape == clap.embed_text([]).shape == (0, clap.dim)


@pytest.mark.parametrize("seconds", [0.05, 0.3, 1.0, 1.01, 2.7, 40.0])
def test_any_length_gives_the_same_vector_at_every_call_whatever_else_is_in_the_batch(clap, seconds):
    sound = noise(seconds)
    (alone,) = clap.embed_audio([sound], 8000)
    crowd = clap.embed_audio([tone(1.3), sound, noise(0.2, 2)], 8000)
    assert torch.equal(alone, clap.embed_audio([sound], 8000)[0])
    assert torch.allclose(alone, crowd[1], atol=1e-5)
    assert float((crowd[0] - crowd[1]).norm()) > 1e-3


def test_texts_do_not_depend_on_their_batch(clap):
    long = "a very long sentence about many birds that sing in the trees " * 3
    assert torch.allclose(clap.embed_text(["rain"])[0], clap.embed_text(["rain", long])[0], atol=1e-5)


def test_a_long_sound_is_the_mean_of_half_overlapping_windows(clap):
    sound = noise(2.2)
    window = clap.window
    starts = [0, window // 2, window, len(sound) - window]
    windows = clap.embed_audio([sound[s : s + window] for s in starts], 8000)
    expected = torch.nn.functional.normalize(windows.mean(0), dim=0)
    assert torch.allclose(clap.embed_audio([sound], 8000)[0], expected, atol=1e-5)


def test_the_mean_of_windows_that_differ_has_length_one(clap, monkeypatch):
    directions = torch.eye(clap.dim)
    monkeypatch.setattr(clap, "embed_windows", lambda windows: directions[: len(windows)])
    assert float(clap.embed_audio([noise(2.2)], 8000).norm()) == pytest.approx(1, abs=1e-6)


def test_another_sample_rate_is_resampled(clap, recordings):
    own, _ = read_audio(recordings[0], 8000)
    original, rate = read_audio(recordings[0])
    assert rate != 8000
    a, b = clap.embed_audio([own], 8000), clap.embed_audio([original], rate)
    assert float((a * b).sum()) > 0.999


def test_tensors_and_arrays_are_alike(clap):
    sound = noise(0.7)
    assert torch.equal(clap.embed_audio([sound], 8000), clap.embed_audio(torch.from_numpy(sound)[None], 8000))


@pytest.mark.parametrize(
    ("waveform", "problem"),
    [
        (np.zeros(0, np.float32), "not empty"),
        (np.zeros((2, 100), np.float32), "mono"),
        (np.full(100, np.nan, np.float32), "NaN"),
    ],
)
def test_what_is_not_a_mono_sound_is_refused(clap, waveform, problem):
    with pytest.raises(ClapgenError, match=problem):
        clap.embed_audio([waveform], 8000)


def test_silence_has_an_embedding(clap):
    assert bool(clap.embed_audio([np.zeros(4000, np.float32)], 8000).isfinite().all())


def test_frames_follow_the_sound(clap):
    frames = clap.embed_frames(np.concatenate([noise(2.0), np.zeros(16000, np.float32)]), 8000)
    assert frames.shape[0] == pytest.approx(4.0 * clap.audio_tower.frame_rate, abs=2)
    half = len(frames) // 2
    first, second = frames[2 : half - 2].double(), frames[half + 2 : -2].double()
    within, across = ((1 - second @ other.T).abs().mean() for other in (second, first))
    assert across > 10 * within


def test_every_weight_has_a_gradient(clap):
    model = Clap(CLAP, clap.tokenizer)
    model.load_state_dict(clap.state_dict())
    log_mel = model.audio_tower.log_mel(torch.from_numpy(np.stack([noise(1.0, s) for s in range(4)])))
    text = model.project_text(*tokenize(model.tokenizer, ["rain", "a dog", "wind", "bells"], 16))
    (model.logit_scale * (model.project_audio(log_mel) * text).sum()).backward()
    unused = {"text_tower.position_embedding"}
    missing = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert set(missing) <= unused


def test_towers_are_found_by_name_and_a_config_without_names_has_the_default_ones(clap, tmp_path, monkeypatch):
    class Loudness(AudioTower):
        """Mean power of each half of a window: two features."""

        width, frame_rate = 2, 2.0

        def __init__(self, config):
            super().__init__()

        @property
        def front_end(self):
            return torch.nn.Unflatten(1, (2, -1))

        def frames(self, inputs):
            return inputs.square().mean(2)[..., None].expand(-1, -1, 2)

        def pool(self, frames):
            return frames.mean(1)

    monkeypatch.setitem(AUDIO_TOWERS._parts, "loudness", Loudness)
    config = dataclasses.replace(CLAP, audio=dataclasses.replace(CLAP.audio, tower="loudness"))
    Clap(config, clap.tokenizer).save_pretrained(tmp_path)
    other = Clap.from_pretrained(tmp_path)
    assert isinstance(other.audio_tower, Loudness)
    assert other.embed_audio([noise(1.0)], 8000).shape == (1, clap.dim)
    assert other.embed_frames(noise(1.0), 8000).shape == (2, clap.dim)
    old = to_dict(CLAP)
    del old["audio"]["tower"], old["text"]["tower"]
    assert load_config(ClapConfig, old) == CLAP
    with pytest.raises(ClapgenError, match=r"unknown audio tower 'residul'\. Did you mean 'residual'"):
        Clap(dataclasses.replace(CLAP, audio=dataclasses.replace(CLAP.audio, tower="residul")), clap.tokenizer)


def test_saved_and_loaded_it_embeds_the_same_within_half_precision(clap, tmp_path, sounds):
    clap.save_pretrained(tmp_path / "copy")
    copy = Clap.from_pretrained(tmp_path / "copy")
    assert copy.hash and torch.allclose(copy.embed_text(["rain"]), clap.embed_text(["rain"]), atol=1e-5)
    assert torch.allclose(copy.embed_audio(sounds, 8000), clap.embed_audio(sounds, 8000), atol=1e-5)
    assert dataclasses.asdict(copy.config) == dataclasses.asdict(clap.config)


def test_a_damaged_tokenizer_is_named(clap, tmp_path):
    clap.save_pretrained(tmp_path / "copy")
    (tmp_path / "copy" / "clap" / "tokenizer.json").write_text(json.dumps({"model": "?"}))
    with pytest.raises(ClapgenError, match=r"tokenizer\.json"):
        Clap.from_pretrained(tmp_path / "copy")


def test_any_string_has_tokens_within_the_limit(clap):
    tokens, mask = tokenize(clap.tokenizer, ["", "🌧️ rain\x00", "x" * 5000], 77)
    assert tokens.shape == mask.shape == (3, 77) and bool((mask.sum(1) >= 1).all())
    assert bool(clap.embed_text(["", "🌧️"]).isfinite().all())


def test_repeat_pad_tiles_whole_copies_then_zeros():
    assert repeat_pad(torch.tensor([1.0, 2.0]), 7).tolist() == [1, 2, 1, 2, 1, 2, 0]
    assert repeat_pad(torch.tensor([1.0, 2.0, 3.0]), 5).tolist() == [1, 2, 3, 0, 0]
