"""AudioLDM from its published layout: as diffusers' pipeline computes it, with the authors' attention heads."""

import json
from pathlib import Path

import numpy as np
import pytest
import tiny_public
import torch
from safetensors.torch import load_file, save_file

from clapgen.errors import ClapgenError
from generation.public import load_generator
from generation.public.mel_diffusion import authors_heads

SETTINGS = {"seconds": 0.64, "num_steps": 3, "guidance_scale": 2.5}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_public.audioldm(tmp_path_factory.mktemp("audioldm"))


@pytest.mark.parametrize(("negative", "scale"), [("", 2.5), ("wind", 2.5), ("", 1.0)])
def test_equals_the_pipeline_of_diffusers(folder: Path, negative: str, scale: float) -> None:
    from diffusers import AudioLDMPipeline

    generator = load_generator(folder)
    peer = AudioLDMPipeline.from_pretrained(folder)
    latents = generator.initial_latents([5], 0.64)
    theirs = peer(
        "rain on a roof", audio_length_in_s=0.64, num_inference_steps=3, guidance_scale=scale, latents=latents,
        negative_prompt=negative or None,
    ).audios[0]  # fmt: skip
    condition = generator.encode("rain on a roof", negative)
    ours = generator.sample(condition, [5], {**SETTINGS, "guidance_scale": scale}, None)[0]
    assert theirs.std() > 0.005 and ours.shape == (10240,)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert abs(ours - generator.sample(generator.encode("a dog", negative), [5], SETTINGS, None)[0]).max() > 1e-3


def test_the_embedding_of_a_prompt_is_normalised(folder: Path) -> None:
    generator = load_generator(folder)
    raw = generator.text_encoder(torch.tensor([[0, 4, 2]])).text_embeds
    assert abs(raw.norm().item() - 1) > 0.1
    assert generator.encode("rain", "wind").prompt.norm().item() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    ("widths", "heads"),
    [
        ([128, 256, 384, 640], [4, 8, 12, 20]),
        ([192, 384, 576, 960], [6, 12, 18, 30]),
        ([256, 512, 768, 1280], [4, 8, 12, 20]),
    ],
)
def test_the_number_of_heads_is_that_of_the_authors(widths: list[int], heads: list[int]) -> None:
    assert authors_heads({"block_out_channels": widths, "attention_head_dim": 8}) == {"attention_head_dim": heads}
    assert authors_heads({"block_out_channels": widths, "attention_head_dim": heads}) == {}
    assert authors_heads({"block_out_channels": [16, 32], "attention_head_dim": 8}) == {}


@pytest.mark.slow
def test_a_published_width_gets_the_authors_heads_whatever_its_configuration_says(tmp_path: Path) -> None:
    folder = tiny_public.audioldm(tmp_path, widths=(128, 128), heads=8)
    generator = load_generator(folder)
    right = tiny_public.unet((128, 128), heads=4)
    right.load_state_dict(generator.unet.state_dict())
    wrong = tiny_public.unet((128, 128), heads=8)
    wrong.load_state_dict(generator.unet.state_dict())
    latents, labels = torch.randn(1, 4, 16, 4), torch.randn(1, 24)
    with torch.no_grad():
        ours, expected, not_expected = (
            network.eval()(latents, 10, None, class_labels=labels).sample for network in (generator.unet, right, wrong)
        )
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5)
    assert (ours - not_expected).abs().max() > 1e-4


def test_seeds_candidates_callback_and_defaults(folder: Path) -> None:
    generator = load_generator(folder)
    seen = []
    sounds = generator.generate(
        ["rain", "a dog"], seconds=0.5, num_steps=2, candidates=2, seeds=[3, 2**40], callback=seen.append
    )
    assert [(step["item"], step["i"]) for step in seen] == [(item, i) for item in range(4) for i in range(2)]
    assert all(step["num_items"] == 4 and step["num_steps"] == 2 for step in seen)
    assert sounds[0].seed in (3, 4) and sounds[1].seed in (2**40, 2**40 + 1)
    assert all(sound.score == max(sound.candidate_scores) and len(sound.candidate_scores) == 2 for sound in sounds)
    alone = generator.generate(["rain"], seconds=0.5, num_steps=2, seed=sounds[0].seed)[0]
    assert np.array_equal(alone.waveform, sounds[0].waveform) and len(alone.waveform) == 8000
    assert generator.kind.defaults() == {"seconds": 10.0, "num_steps": 200, "guidance_scale": 2.5}


def test_each_prompt_gets_its_own_best_candidate(folder: Path) -> None:
    generator = load_generator(folder)
    sounds = generator.generate(["rain", "a dog", "wind"], seconds=0.5, num_steps=2, candidates=3, seed=9)
    for sound in sounds:
        singles = [
            generator.generate([sound.prompt], seconds=0.5, num_steps=2, seed=9 + number)[0] for number in range(3)
        ]
        best = max(singles, key=lambda single: single.score)
        assert np.array_equal(sound.waveform, best.waveform)
        assert sound.candidate_scores == pytest.approx([single.score for single in singles], abs=1e-5)


def test_a_guidance_scale_below_one_is_less_guidance_as_everywhere(folder: Path) -> None:
    generator = load_generator(folder)
    settings = {"seconds": 0.5, "num_steps": 2}
    waveforms = [
        generator.sample(generator.encode("rain", negative), [0], {**settings, "guidance_scale": scale}, None)[0]
        for negative, scale in (("wind", 0.0), ("rain", 1.0), ("rain", 0.0))
    ]
    wind = generator.sample(generator.encode("wind", ""), [0], {**settings, "guidance_scale": 1.0}, None)[0]
    np.testing.assert_allclose(waveforms[0], wind, atol=1e-5)
    np.testing.assert_allclose(waveforms[1], waveforms[2], atol=1e-5)


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ({"sampler": "euler"}, "--sampler: it uses the scheduler"),
        ({"time_shift": 2.0}, "--time-shift"),
        ({"neighbour_blend": 0.5}, "--neighbour-blend: neighbours need a clapgen model"),
        ({"num_steps": 0}, "num_steps must be a whole number"),
        ({"rank_by": "nothing"}, "No model called 'nothing'"),
    ],
)
def test_settings_without_meaning_are_refused_by_name(folder: Path, setting: dict, reason: str) -> None:
    with pytest.raises(ClapgenError, match=reason):
        load_generator(folder).generate(["rain"], **{"seconds": 0.5, "num_steps": 1, **setting})


def test_bfloat16_is_for_the_unet_alone(folder: Path) -> None:
    generator = load_generator(folder, dtype="bfloat16")
    assert {part.dtype for part in (generator.unet,)} == {torch.bfloat16}
    assert generator.vae.dtype == generator.vocoder.dtype == torch.float32
    assert generator.generate(["rain"], seconds=0.5, num_steps=1)[0].waveform.any()
    assert generator.describe()["dtype"] == "bfloat16"


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    import shutil

    return Path(shutil.copytree(folder, tmp_path / "copy"))


def edit_json(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_a_truncated_file_is_refused(copy: Path) -> None:
    weights = copy / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(ClapgenError, match=r"unet cannot be loaded: .*download it again"):
        load_generator(copy)


@pytest.mark.parametrize(
    ("file", "tensor"),
    [("vocoder/model.safetensors", "conv_pre.weight"), ("unet/diffusion_pytorch_model.safetensors", "conv_in.weight")],
)
def test_a_missing_tensor_is_refused_and_never_drawn_at_random(copy: Path, file: str, tensor: str) -> None:
    tensors = load_file(copy / file)
    del tensors[tensor]
    save_file(tensors, copy / file, metadata={"format": "pt"})
    with pytest.raises(ClapgenError, match=rf"{Path(file).parent} does not fit .* {tensor}"):
        load_generator(copy)


def test_another_architecture_is_refused(copy: Path) -> None:
    edit_json(copy / "vae" / "config.json", block_out_channels=[8, 8, 32])
    with pytest.raises(ClapgenError, match="vae"):
        load_generator(copy)
    edit_json(copy / "model_index.json", _class_name="ShapEPipeline")
    with pytest.raises(ClapgenError, match="its pipeline is 'ShapEPipeline', not one of AudioLDMPipeline"):
        load_generator(copy)


def test_a_missing_part_and_a_missing_shard_are_named(copy: Path) -> None:
    index = copy / "text_encoder" / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "model-00001-of-00002.safetensors"}}))
    with pytest.raises(ClapgenError, match=r"model-00001-of-00002.safetensors is missing"):
        load_generator(copy)
    index.unlink()
    (copy / "vae").rename(copy / "gone")
    with pytest.raises(ClapgenError, match="has no folder vae/"):
        load_generator(copy)


class Evil:
    def __reduce__(self) -> tuple:
        return (Path("evil").touch, ())


def test_bin_files_are_read_as_weights_only(copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for part, name, other in (
        ("unet", "diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin"),
        ("text_encoder", "model.safetensors", "pytorch_model.bin"),
    ):
        tensors = load_file(copy / part / name)
        (copy / part / name).unlink()
        torch.save(tensors, copy / part / other)
        assert load_generator(copy).generate(["rain"], seconds=0.5, num_steps=1)[0].waveform.any()
        torch.save({**tensors, "more": Evil()}, copy / part / other)
        with pytest.raises(ClapgenError, match="code"):
            load_generator(copy)
        assert not Path("evil").exists()
        torch.save(tensors, copy / part / other)
