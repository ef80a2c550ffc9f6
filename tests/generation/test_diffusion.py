"""The diffusion transformer and its training: masks, conditions, crops, and overfitting a handful of sounds."""

import dataclasses
import json
from pathlib import Path

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
from clapgen.errors import ClapgenError
from clapgen.model_store import verify_model
from clapgen.testing import randomise, tiny_model
from generation.autoencoder.model import Autoencoder
from generation.diffusion import DiffusionConfig, DiffusionTransformer
from generation.diffusion.context import QUARTERS, Neighbours
from generation.diffusion.samplers import sample_multistep, timesteps
from generation.diffusion.training import latents
from generation.diffusion.training.latents import LatentCache, digest_of_clap, encoder_digest, extend, texts_of
from generation.diffusion.training.neighbours import NeighbourTable
from generation.diffusion.training.recipe import DiffusionRecipe, DiffusionTask
from generation.pipeline import TextToAudio
from generation.prompts import captions_of_model

CONFIG = DiffusionConfig(latent_dim=8, condition_dim=16, width=32, layers=2, heads=2, context_layers=2)


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


def some_neighbours(batch: int = 2, count: int = 3) -> Neighbours:
    generator = torch.Generator().manual_seed(2)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(batch, count, *shape, generator=generator)

    return Neighbours(noise(16), noise(16), noise(QUARTERS, 8), torch.ones(batch, count, dtype=torch.bool))


@pytest.mark.parametrize("part", ["audio", "text", "latents"])
def test_every_part_of_a_neighbour_matters(network, part):
    given, neighbours = inputs(), some_neighbours()
    plain = network(**given, neighbours=neighbours).detach()
    getattr(neighbours, part)[:, 1] += 1
    assert float((network(**given, neighbours=neighbours) - plain).detach().abs().max()) > 1e-4


def test_hidden_neighbours_are_none_at_all(network):
    given, neighbours = inputs(), some_neighbours()
    none = network(**given).detach()
    assert float((network(**given, neighbours=neighbours) - none).detach().abs().max()) > 1e-4
    assert torch.allclose(network(**given, neighbours=neighbours.hidden()), none, atol=1e-5)


def test_a_neighbour_without_text_has_no_text_token(network):
    given, neighbours = inputs(), some_neighbours(count=1)
    neighbours.text.zero_()
    without = network(**given, neighbours=neighbours)
    with torch.no_grad():
        network.neighbour_tokens.kind[1] += 1
    assert torch.equal(network(**given, neighbours=neighbours), without)
    with torch.no_grad():
        network.neighbour_tokens.kind[1] -= 1


def test_untrained_attention_to_neighbours_changes_nothing():
    plain = DiffusionTransformer(dataclasses.replace(CONFIG, context_layers=0))
    randomise(plain, torch.Generator().manual_seed(0))
    attending = DiffusionTransformer(CONFIG)
    attending.load_state_dict(attending.state_dict() | plain.state_dict())
    assert torch.equal(attending(**inputs(), neighbours=some_neighbours()), plain(**inputs()))


def test_a_model_without_context_refuses_neighbours():
    with pytest.raises(ClapgenError, match="was not trained with neighbours"):
        DiffusionTransformer(dataclasses.replace(CONFIG, context_layers=0))(**inputs(), neighbours=some_neighbours())


def test_a_new_network_predicts_zero_velocity():
    assert float(DiffusionTransformer(CONFIG)(**inputs()).detach().abs().max()) == 0.0


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
    generator = torch.Generator().manual_seed(0)
    texts = task._texts(task.training_set, clips, generator)
    condition = task._condition(task.training_set, clips, texts, generator)
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
    assert captions_of_model(tmp_path / "model") == task.captions and len(task.captions) > 1
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


def test_what_decides_latents_and_embeddings_changes_their_digests(latents_of):
    autoencoder, clap = latents_of.autoencoder, latents_of.clap
    encoders, claps = [encoder_digest(autoencoder)], [digest_of_clap(clap)]
    with torch.no_grad():
        next(autoencoder.decoder.parameters()).add_(1)
    assert encoder_digest(autoencoder) == encoders[0]
    with torch.no_grad():
        next(autoencoder.encoder.parameters()).add_(1)
        encoders.append(encoder_digest(autoencoder))
        next(clap.audio_tower.parameters()).add_(1)
        claps.append(digest_of_clap(clap))
    autoencoder.latent_scale.mean += 1
    encoders.append(encoder_digest(autoencoder))
    clap.config.audio.window_seconds += 1
    claps.append(digest_of_clap(clap))
    clap.tokenizer.enable_truncation(5)
    claps.append(digest_of_clap(clap))
    assert len(set(encoders)) == 3 and len(set(claps)) == 4


def test_another_clap_embeds_again_but_encodes_nothing(latents_of, tmp_path):
    clips = [write_noise(tmp_path / f"{number}.wav", number) for number in range(2)]
    before, count = latents_of(clips)
    with torch.no_grad():
        latents_of.clap.audio_projection[0].bias.normal_()
    after, again = latents_of(clips)
    assert (count, again) == (2, 0) and torch.equal(after.latents, before.latents)
    assert not torch.equal(after.audio, before.audio)


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
    kept = sorted(path.name.partition("-")[0] for path in (tmp_path / "latents").glob("[!.]*"))
    assert kept == ["embeddings", "latents"] and not debris.exists()
    for row, clip in enumerate(clips):
        expected = encode(torch.from_numpy(read_audio(clip.path)[0])[None])[0].T
        start, length = int(resumed.starts[row]), int(resumed.lengths[row])
        assert torch.allclose(resumed.latents[start : start + length].float(), expected, atol=1e-2)


def test_times_reach_both_ends(task):
    times = task._times(200_000, torch.Generator().manual_seed(0))
    assert float((times > 0.99).float().mean()) == pytest.approx(0.001, rel=0.3)
    assert float((times < 0.01).float().mean()) == pytest.approx(0.001, rel=0.3)
    assert float(((times > 0.3) & (times < 0.7)).float().mean()) == pytest.approx(0.9 * 0.603 + 0.1 * 0.4, abs=0.01)


def cached(audio, texts_of_clips) -> LatentCache:
    """Clips with these embeddings, and three frames of latents each, which hold the number of the clip."""
    texts = [text for texts in texts_of_clips for text in texts]
    counts = torch.tensor([0, *map(len, texts_of_clips)])
    return LatentCache(
        latents=torch.arange(len(audio)).repeat_interleave(3)[:, None].expand(-1, 8).half(),
        starts=3 * torch.arange(len(audio)),
        lengths=torch.full((len(audio),), 3),
        clip_of=torch.arange(len(audio)),
        audio=F.normalize(torch.tensor(audio), dim=1),
        text=F.normalize(torch.tensor(texts), dim=1) if texts else torch.zeros(0, 2),
        text_starts=counts.cumsum(0),
    )


def clips_of(*recordings: str) -> list[Clip]:
    return [Clip(path=Path(f"{i}.wav"), recording=name) for i, name in enumerate(recordings)]


def test_neighbours_are_the_nearest_other_recordings():
    # clip 1 is nearest to the text of clip 0, then 2; clip 3 is of the same recording
    data = cached([[1.0, 0.0], [0.9, 0.3], [0.5, 0.5], [1.0, 0.1]], [[[1.0, 0.0]], [], [[0.0, 1.0]], [[1.0, 0.0]]])
    clips = clips_of("a", "b", "c", "a")
    table = NeighbourTable.build(data, clips, data, clips)
    assert table.of_texts[0].tolist() == [1, 2, -1, -1]
    assert 3 not in table.of_clips[0].tolist() and 0 not in table.of_clips[0].tolist()
    assert table.text[1].tolist() == [0.0, 0.0] and table.latents[2].unique().tolist() == [2.0]


def test_the_score_of_a_neighbour_is_the_mean_of_sound_and_best_text():
    query = cached([[1.0, 0.0]], [[[1.0, 0.0]]])
    gallery = cached([[0.6, 0.8], [0.8, 0.6]], [[[0.0, 1.0], [1.0, 0.0]], [[0.0, 1.0]]])
    table = NeighbourTable.build(query, clips_of("q"), gallery, clips_of("a", "b"))
    # (0.6 + 1) / 2 = 0.8 against (0.8 + 0) / 2 = 0.4
    assert table.of_texts[0].tolist() == [0, 1]


def test_what_sounds_the_same_is_no_neighbour():
    data = cached([[1.0, 0.0], [1.0, 0.001], [0.7, 0.7]], [[], [], []])
    clips = clips_of("a", "b", "c")
    assert NeighbourTable.build(data, clips, data, clips).of_clips[0].tolist() == [2, -1, -1]


def test_neighbours_are_dropped_as_the_shares_say():
    angles = torch.linspace(0, 1.5, 30)
    data = cached(torch.stack([angles.cos(), angles.sin()], 1).tolist(), [[] for _ in range(30)])
    clips = clips_of(*map(str, range(30)))
    table = NeighbourTable.build(data, clips, data, clips)
    rows, texts = torch.zeros(4000, dtype=torch.long), torch.full((4000,), -1)

    def share_shown(**dropouts: float) -> torch.Tensor:
        drawn = table.draw(rows, texts, 4, torch.Generator().manual_seed(0), **dropouts)
        assert drawn.audio.shape == (4000, 4, 2) and drawn.latents.shape == (4000, 4, QUARTERS, 8)
        return drawn.mask.float().mean(0)

    everything = share_shown(dropout=0.0, each_dropout=0.0)
    assert torch.allclose(everything, torch.tensor([0.8, 0.6, 0.4, 0.2]), atol=0.03)  # 0 to 4 of them, the nearest
    assert torch.allclose(share_shown(dropout=0.5, each_dropout=0.0), everything / 2, atol=0.03)
    assert torch.allclose(share_shown(dropout=0.0, each_dropout=0.3), everything * 0.7, atol=0.03)


def test_a_recipe_with_context_shows_neighbours_in_training(task, tmp_path, recordings, monkeypatch):
    monkeypatch.setattr("generation.diffusion.training.neighbours.TOO_NEAR", 2.0)
    lines = [{"path": str(path), "captions": [path.stem], "recording": path.stem} for path in recordings]
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, lines)))
    recipe = dataclasses.replace(
        task.recipe,
        manifest=str(tmp_path / "m.jsonl"),
        latents=str(tmp_path / "latents"),
        diffusion=dataclasses.replace(task.recipe.diffusion, context_layers=1),
        neighbour_dropout=0.0,
        context_dropout=0.0,
    )
    retrieving = DiffusionTask(recipe)
    batch = retrieving.batch(0, torch.Generator().manual_seed(0))
    assert batch["neighbours"]["mask"].any()
    for parameter in retrieving.network.parameters():  # else the gates of a new network are closed
        parameter.data += 0.02
    loss, _ = retrieving.loss(batch, "model", 0)
    loss.backward()
    [attending] = [block.context for block in retrieving.network.blocks if block.context]
    assert float(attending.out.weight.grad.abs().max()) > 0


def test_a_class_that_is_a_number_is_a_prompt():
    assert texts_of(Clip(path=None, extra={"class": 3}), "class") == ["3", "This is a sound of 3.", "the sound of 3"]


def test_the_shipped_recipe_leaves_out_gpl(task):
    recipe = load_config(DiffusionRecipe, recipe_path("diffusion"), ["manifest=m.jsonl"])
    assert recipe.exclude_copyleft == ["gpl"]
    assert set(task.provenance()) == {"encoder", "CLAP", "training clips"}


def test_copyleft_is_left_out_of_training(task, tmp_path, recordings):
    lines = [{"path": str(path), "copyleft": "gpl" if i else None} for i, path in enumerate(recordings)]
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, lines)))
    recipe = dataclasses.replace(
        task.recipe, manifest=str(tmp_path / "m.jsonl"), exclude_copyleft=["gpl"], latents=str(tmp_path / "latents")
    )
    assert len(DiffusionTask(recipe).training_set.audio) == 1
