"""The diffusion transformer and its training: masks, conditions, crops, and overfitting a handful of sounds."""

import dataclasses
import json

import numpy as np
import pytest
import soundfile
import torch
from torch.nn import functional as F

from clapgen.audio import read_audio
from clapgen.clap import Clap
from clapgen.configuration import load_config, recipe_path
from clapgen.data.audio_cache import AudioCache
from clapgen.data.manifest import Clip
from clapgen.model_store import verify_model
from clapgen.testing import randomise, tiny_model
from generation.autoencoder.model import Autoencoder
from generation.diffusion import DiffusionConfig, DiffusionTransformer
from generation.diffusion.samplers import sample_multistep, timesteps
from generation.diffusion.training import latents
from generation.diffusion.training.latents import LatentCache, extend, networks_digest, texts_of
from generation.diffusion.training.recipe import DiffusionRecipe, DiffusionTask
from generation.pipeline import TextToAudio

CONFIG = DiffusionConfig(latent_dim=8, condition_dim=16, width=32, layers=2, heads=2, context_dim=16)


@pytest.fixture(scope="module")
def network() -> DiffusionTransformer:
    network = DiffusionTransformer(CONFIG)
    randomise(network, torch.Generator().manual_seed(0))
    return network.eval()


def inputs(batch: int = 2, frames: int = 10) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        "latents": torch.randn(batch, 8, frames, generator=generator),
        "time": torch.rand(batch, generator=generator),
        "condition": F.normalize(torch.randn(batch, 16, generator=generator), dim=-1),
        "seconds": torch.full((batch,), 2.0),
    }


def test_padding_has_no_effect(network):
    short = inputs(frames=6)
    longer = {**short, "latents": F.pad(short["latents"], (0, 4), value=9.0)}
    mask = (torch.arange(10) < 6).expand(2, -1)
    assert torch.allclose(network(**longer, mask=mask)[:, :, :6], network(**short), atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("name", ["time", "condition", "seconds"])
def test_every_input_matters(network, name):
    given = inputs()
    changed = {**given, name: given[name].flip(0) if name == "condition" else given[name] * 0.5}
    assert float((network(**given) - network(**changed)).abs().max()) > 1e-4


def test_context_tokens_are_attended_to_unless_masked(network):
    given, context = inputs(), torch.randn(2, 3, 16, generator=torch.Generator().manual_seed(2))
    plain = network(**given)
    assert float((network(**given, context=context) - plain).abs().max()) > 1e-4
    nothing = torch.zeros(2, 3, dtype=torch.bool)
    assert torch.allclose(network(**given, context=context, context_mask=nothing), plain, atol=1e-4)
    order = network(**given, context=context.flip(1))
    assert torch.allclose(order, network(**given, context=context), atol=1e-4)  # a set, not a sequence


def test_a_new_network_predicts_zero_velocity():
    assert float(DiffusionTransformer(CONFIG)(**inputs()).abs().max()) == 0.0


@pytest.fixture(scope="module")
def task(tmp_path_factory, recordings) -> DiffusionTask:
    folder = tmp_path_factory.mktemp("diffusion")
    model = tiny_model(folder / "model")
    manifest = folder / "manifest.jsonl"
    lines = (f'{{"path": "{p}", "captions": ["{p.stem}"], "labels": ["{p.stem}"], "free": true}}' for p in recordings)
    manifest.write_text("\n".join(lines))
    recipe = DiffusionRecipe(
        manifest=str(manifest),
        cache=str(folder / "cache"),
        latents=str(folder / "latents"),
        autoencoder=str(model),
        clap=str(model),
        crop_seconds=[1.0, 2.0],
        diffusion=DiffusionConfig(width=64, layers=2, heads=2),
    )
    recipe.training.batch_size = 16
    return DiffusionTask(recipe)


def test_batches_hold_crops_conditions_and_durations(task):
    for index in range(4):
        batch = task.batch(index, torch.Generator().manual_seed(index))
        size, channels, frames = batch["latents"].shape
        assert channels == 8 and frames in (25, 50) and size * frames == 16 * 25
        assert torch.equal(batch["seconds"], batch["mask"].sum(1) / 25)
        assert torch.allclose(batch["condition"].norm(dim=1), torch.ones(size), atol=1e-5)
        assert float(batch["latents"].masked_select(~batch["mask"][:, None]).abs().sum()) == 0.0
    again = task.batch(3, torch.Generator().manual_seed(3))
    assert all(torch.equal(again[key], batch[key]) for key in batch)


def test_conditions_are_text_or_audio_as_the_shares_say(task):
    clips = torch.arange(len(task.training_set.audio)).repeat(200)
    recipe = task.recipe
    kept = recipe.noise_scale, recipe.text_share, recipe.blend_share
    recipe.noise_scale, recipe.text_share, recipe.blend_share = 0.0, 0.5, 0.2
    condition = task._condition(task.training_set, clips, torch.Generator().manual_seed(0))
    recipe.noise_scale, recipe.text_share, recipe.blend_share = kept
    is_audio = (condition - task.training_set.audio[clips]).norm(dim=1) < 1e-4
    is_text = ((condition[:, None] - task.training_set.text[None]).norm(dim=2) < 1e-4).any(1)
    assert float(is_audio.float().mean()) == pytest.approx(0.3, abs=0.05)
    assert float(is_text.float().mean()) == pytest.approx(0.5, abs=0.05)


@pytest.mark.slow
def test_it_overfits_a_handful_of_sounds(task):
    torch.manual_seed(0)
    network, data = DiffusionTransformer(task.recipe.diffusion), task.training_set
    first = torch.searchsorted(data.clip_of, torch.arange(4))  # the first sound of four clips
    latents = torch.stack([data.latents[s : s + 8].float().T for s in data.starts[first].tolist()])
    latents = latents - latents.mean(0)
    latents = F.normalize(latents, dim=1) * 8**0.5
    condition, seconds = torch.eye(4, 16), torch.full((4,), 1.0)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    for _ in range(250):
        noise, time = torch.randn(4, *latents.shape), torch.sigmoid(torch.randn(4, 4))
        noisy = torch.lerp(latents.expand_as(noise), noise, time[..., None, None])
        velocity = network(noisy.flatten(0, 1), time.flatten(), condition.repeat(4, 1), seconds.repeat(4))
        loss = (velocity - (noise - latents).flatten(0, 1)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        start = torch.randn(latents.shape, generator=torch.Generator().manual_seed(1))
        made = sample_multistep(lambda x, t: network(x, torch.full((4,), t), condition, seconds), start, timesteps(20))
    distance = (made[:, None] - latents[None]).square().mean((2, 3))
    assert distance.argmin(1).tolist() == [0, 1, 2, 3] and float(distance.diagonal().max()) < 0.5


def test_it_exports_a_whole_model(task, tmp_path):
    task.export(tmp_path / "model")
    model = TextToAudio.from_pretrained(tmp_path / "model")
    [sound] = model.generate(["rain"], seconds=1.0, num_steps=2)
    assert sound.waveform.shape == (model.sample_rate,) and not any(c.problem for c in verify_model(tmp_path / "model"))


def test_short_sounds_are_extended_by_repetition():
    rate = 8000
    steady = np.random.default_rng(0).normal(0, 0.5, rate).astype(np.float32)
    longer = extend(steady, 4 * rate, rate, seed=0)
    assert len(longer) == 4 * rate and np.array_equal(longer[: rate // 2], steady[: rate // 2])
    blocks = np.sqrt((longer.reshape(-1, 400) ** 2).mean(1))
    assert blocks.min() > 0.2  # no pause
    knock = steady * np.exp(-np.arange(rate) / 300).astype(np.float32)
    repeated = extend(knock, 4 * rate, rate, seed=0)
    blocks = np.sqrt((repeated.reshape(-1, 400) ** 2).mean(1))
    assert blocks.min() < 1e-3 and (blocks > 0.1).sum() >= 2  # again, after a pause
    assert np.array_equal(repeated, extend(knock, 4 * rate, rate, seed=0))


def test_the_cache_is_read_back_and_pairs_every_sound_with_its_clip(task, tmp_path, recordings):
    clips = [Clip(path=p, captions=[p.stem]) for p in recordings]
    audio = AudioCache.build(clips, 8000, tmp_path / "cache", progress=False)
    clap, autoencoder = Clap.from_pretrained(task.recipe.clap), Autoencoder.from_pretrained(task.recipe.clap)
    made, read = (LatentCache.build(audio, autoencoder, clap, tmp_path, 2.0) for _ in range(2))
    assert torch.equal(made.latents, read.latents) and len(made.audio) == len(clips)
    for sound, clip in enumerate(made.clip_of.tolist()):
        waveform = audio.waveform(clip)[: 2 * 8000]
        if made.lengths[sound] == autoencoder.frames_for(len(waveform) / 8000) and len(waveform) < 2 * 8000:
            expected = autoencoder.encode(torch.from_numpy(waveform)[None])[0].T
            start = int(made.starts[sound])
            assert torch.allclose(made.latents[start : start + len(expected)].float(), expected, atol=1e-2)
    text = clap.embed_text([recordings[2].stem, "another sentence"])
    assert torch.allclose(made.text[made.text_starts[2]], text[0], atol=1e-4)
    clips[2].captions[0] = "another sentence"  # an edited manifest gets new embeddings
    edited = LatentCache.build(audio, autoencoder, clap, tmp_path, 2.0)
    assert torch.allclose(edited.text[edited.text_starts[2]], text[1], atol=1e-4)


def test_prompts_for_a_clip_are_its_captions_and_names():
    clip = Clip(path=None, captions=["A dog barks"], labels=["dog", "bark"], extra={"esc50_class": "dog"})
    assert texts_of(clip, "esc50_class") == ["A dog barks", "dog", "This is a sound of dog.", "the sound of dog"]
    assert "the sound of bark" in texts_of(clip)


@pytest.fixture
def latents_of(task, tmp_path):
    """Build the latents of some clips in one folder; returns them and the number of sounds that were encoded."""
    autoencoder, clap = Autoencoder.from_pretrained(task.recipe.clap), Clap.from_pretrained(task.recipe.clap)
    encoded = []
    encode = autoencoder.encode
    autoencoder.encode = lambda waveform: encoded.append(0) or encode(waveform)

    def build(clips):
        encoded.clear()
        audio = AudioCache.build(clips, 8000, tmp_path / "cache", progress=False)
        return LatentCache.build(audio, autoencoder, clap, tmp_path / "latents", 2.0), len(encoded)

    build.autoencoder, build.clap = autoencoder, clap
    return build


def write_noise(path, seed):
    soundfile.write(path, np.random.default_rng(seed).normal(0, 0.1, 16_000), 8000)
    return Clip(path, ["noise"])


def test_a_file_that_was_replaced_by_one_as_long_is_encoded_again(latents_of, tmp_path):
    clips = [write_noise(tmp_path / f"{number}.wav", number) for number in range(2)]
    before, count = latents_of(clips)
    assert count == 2 and latents_of(clips)[1] == 0
    write_noise(clips[1].path, 7)
    after, _ = latents_of(clips)
    assert torch.equal(after.lengths, before.lengths)
    assert torch.equal(after.latents[:50], before.latents[:50])
    assert not torch.equal(after.latents[50:], before.latents[50:]) and not torch.equal(after.audio, before.audio)


def test_other_networks_sizes_and_tokenizers_encode_again_but_not_another_decoder(latents_of):
    autoencoder, clap = latents_of.autoencoder, latents_of.clap
    digests = [networks_digest(autoencoder, clap)]
    with torch.no_grad():
        next(autoencoder.decoder.parameters()).add_(1)
    assert networks_digest(autoencoder, clap) == digests[0]
    with torch.no_grad():
        for network in (autoencoder.encoder, clap.audio_tower):
            next(network.parameters()).add_(1)
            digests.append(networks_digest(autoencoder, clap))
    autoencoder.latent_scale.mean += 1
    digests.append(networks_digest(autoencoder, clap))
    clap.config.audio.window_seconds += 1
    digests.append(networks_digest(autoencoder, clap))
    clap.tokenizer.enable_truncation(5)
    digests.append(networks_digest(autoencoder, clap))
    assert len(set(digests)) == 6


def test_a_killed_encoding_continues_after_its_last_part(latents_of, tmp_path, monkeypatch):
    monkeypatch.setattr(latents, "CLIPS_PER_PART", 2)
    clips = [write_noise(tmp_path / f"{number}.wav", number) for number in range(5)]
    encode, save = latents_of.autoencoder.encode, latents.save_file

    def save_until_killed(tensors, path):
        if len(list((tmp_path / "latents").glob("part-*"))) == 2:
            raise KeyboardInterrupt
        save(tensors, path)

    with monkeypatch.context() as killed:
        killed.setattr(latents, "save_file", save_until_killed)
        with pytest.raises(KeyboardInterrupt):
            latents_of(clips)
    debris = tmp_path / "latents" / ".part-0.abcdef.part.safetensors"
    debris.write_bytes(b"half")
    resumed, count = latents_of(clips)
    assert count == 1 and len(resumed.audio) == 5
    assert [path.name[:8] for path in (tmp_path / "latents").glob("[!.]*")] == ["latents-"] and not debris.exists()
    for row, clip in enumerate(clips):
        expected = encode(torch.from_numpy(read_audio(clip.path)[0])[None])[0].T
        start, length = int(resumed.starts[row]), int(resumed.lengths[row])
        assert torch.allclose(resumed.latents[start : start + length].float(), expected, atol=1e-2)


def test_times_reach_both_ends(task):
    times = task._times(200_000, torch.Generator().manual_seed(0))
    assert float((times > 0.99).float().mean()) == pytest.approx(0.001, rel=0.3)
    assert float((times < 0.01).float().mean()) == pytest.approx(0.001, rel=0.3)
    assert float(((times > 0.3) & (times < 0.7)).float().mean()) == pytest.approx(0.9 * 0.603 + 0.1 * 0.4, abs=0.01)


def test_a_class_that_is_a_number_is_a_prompt():
    assert texts_of(Clip(path=None, extra={"class": 3}), "class") == ["3", "This is a sound of 3.", "the sound of 3"]


def test_the_shipped_recipe_leaves_out_gpl(task):
    recipe = load_config(DiffusionRecipe, recipe_path("diffusion"), ["manifest=m.jsonl"])
    assert recipe.exclude_copyleft == ["gpl"]
    assert set(task.provenance()) == {"encoder and CLAP", "training clips"}


def test_copyleft_is_left_out_of_training(task, tmp_path, recordings):
    lines = [{"path": str(path), "copyleft": "gpl" if i else None} for i, path in enumerate(recordings)]
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, lines)))
    recipe = dataclasses.replace(
        task.recipe, manifest=str(tmp_path / "m.jsonl"), exclude_copyleft=["gpl"], latents=str(tmp_path / "latents")
    )
    assert len(DiffusionTask(recipe).training_set.audio) == 1
