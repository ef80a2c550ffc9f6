"""Public checkpoints as embedders, on tiny random networks saved in the published format."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_laion import laion

from clapgen.clap import Clap
from clapgen.embedders import EMBEDDERS, ClapEmbedder, Embedder, load_clap, load_embedder, needs_hub, register_embedder
from clapgen.embedders.cache import embed_files
from clapgen.embedders.text_length import cut_texts, cut_warning
from clapgen.errors import ClapgenError
from clapgen.testing import SAMPLE_RATE, tiny_model


def noise(seconds: float, rate: int = 48_000, seed: int = 0) -> np.ndarray:
    samples = np.random.default_rng(seed).standard_normal(round(seconds * rate))
    return (0.1 * samples).astype(np.float32)


def encodec(folder: Path, stereo: bool = False) -> Path:
    from transformers import EncodecConfig, EncodecFeatureExtractor, EncodecModel

    torch.manual_seed(0)
    config = EncodecConfig(
        sampling_rate=8000,
        audio_channels=2 if stereo else 1,
        normalize=stereo,
        hidden_size=12,
        num_filters=4,
        num_lstm_layers=1,
        upsampling_ratios=[5, 4],
        codebook_size=16,
        target_bandwidths=[6.4],
    )
    EncodecModel(config).eval().save_pretrained(folder)
    EncodecFeatureExtractor(feature_size=config.audio_channels, sampling_rate=8000).save_pretrained(folder)
    return folder


def ast(folder: Path) -> Path:
    from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification

    torch.manual_seed(0)
    config = ASTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_length=128,
        num_mel_bins=32,
        patch_size=16,
        frequency_stride=16,
        time_stride=16,
    )
    ASTForAudioClassification(config).eval().save_pretrained(folder)
    ASTFeatureExtractor(max_length=128, num_mel_bins=32).save_pretrained(folder)
    return folder


def dac(folder: Path) -> Path:
    from transformers import DacConfig, DacModel

    torch.manual_seed(0)
    config = DacConfig(
        encoder_hidden_size=4,
        decoder_hidden_size=32,
        downsampling_ratios=[2, 4],
        n_codebooks=3,
        codebook_size=16,
        sampling_rate=8000,
    )
    network = DacModel(config).eval()
    for parameter in network.parameters():  # untrained, they are so small that nothing is left of a sound
        if parameter.ndim > 1:
            parameter.data *= 5
    network.save_pretrained(folder)
    return folder


BUILDERS = {"laion": laion, "encodec": encodec, "ast": ast, "dac": dac}


@pytest.fixture(scope="module", params=sorted(BUILDERS))
def public(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = BUILDERS[request.param](tmp_path_factory.mktemp("models") / request.param)
    return load_embedder(f"{request.param}:{folder}")


def test_the_same_vector_at_every_call_alone_and_in_company(public: Embedder) -> None:
    clips = [noise(0.4), noise(13.7, seed=1), noise(1.0, seed=2)]
    together = public.embed_audio(clips, 48_000)
    assert together.shape == (3, public.dim)
    assert together.dtype == torch.float32
    np.testing.assert_array_equal(public.embed_audio(clips, 48_000), together)
    alone = torch.cat([public.embed_audio([clip], 48_000) for clip in clips])
    np.testing.assert_allclose(alone, together, atol=1e-5)
    assert public.embed_audio([], 48_000).shape == (0, public.dim)
    assert public.embed_frames(clips[1], 48_000).shape[1] == public.dim


def test_the_mean_of_windows_that_differ_has_length_one_where_embeddings_have(
    public: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    directions = torch.eye(public.dim)
    monkeypatch.setattr(public, "_embed", lambda windows: directions[: len(windows)])
    [length] = public.embed_audio([noise(25.0)], 48_000).norm(dim=-1).tolist()
    assert (length == pytest.approx(1, abs=1e-6)) == isinstance(public, ClapEmbedder)


@pytest.mark.slow
def test_every_part_of_a_long_clip_counts(public: Embedder) -> None:
    clip = noise(25.0)
    before = public.embed_audio([clip], 48_000)
    for start in (0, 12, 24):
        other = clip.copy()
        other[start * 48_000 : (start + 1) * 48_000] = 0
        assert not torch.allclose(public.embed_audio([other], 48_000), before, atol=1e-6)


def test_it_says_what_it_is_and_embeds_files(public: Embedder, recordings: list[Path]) -> None:
    assert len(public.hash) == 12
    assert "windows of" in public.window_policy
    embedded = embed_files(recordings[:2], public)
    assert embedded.embeddings.shape == (2, public.dim)


def test_laion_clap_is_transformers_own_on_clips_of_its_length(tmp_path: Path) -> None:
    from transformers import AutoTokenizer, ClapFeatureExtractor, ClapModel

    folder = laion(tmp_path)
    embedder = load_embedder(f"laion:{folder}")
    assert isinstance(embedder, ClapEmbedder)
    model, extractor = ClapModel.from_pretrained(folder).eval(), ClapFeatureExtractor.from_pretrained(folder)
    clips = [noise(1.0), noise(0.3, seed=1)]
    features = extractor(clips, sampling_rate=48_000, return_tensors="pt")
    tokens = AutoTokenizer.from_pretrained(folder)(["a dog", "rain"], padding=True, return_tensors="pt")
    with torch.no_grad():
        audio = model.get_audio_features(input_features=features["input_features"]).pooler_output
        text = model.get_text_features(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"])
    np.testing.assert_allclose(embedder.embed_audio(clips, 48_000), audio, atol=1e-5)
    expected = torch.nn.functional.normalize(text.pooler_output, dim=-1)
    np.testing.assert_allclose(embedder.embed_text(["a dog", "rain"]), expected, atol=1e-5)
    assert embedder.logit_scale.item() > 1


def test_fusion_is_left_to_no_chance(tmp_path: Path) -> None:
    embedder = load_embedder(f"laion:{laion(tmp_path, fusion=True)}")
    clips = [noise(3.3), noise(0.5, seed=1)]
    first = embedder.embed_audio(clips, 48_000)
    for _ in range(3):
        np.testing.assert_array_equal(embedder.embed_audio(clips, 48_000), first)


@pytest.mark.parametrize("stereo", [False, True])
def test_encodec_latents_are_those_its_codes_are_made_of(tmp_path: Path, stereo: bool) -> None:
    from transformers import EncodecModel

    folder = encodec(tmp_path, stereo)
    embedder, model = load_embedder(f"encodec:{folder}"), EncodecModel.from_pretrained(folder).eval()
    clip = noise(0.5, 8000)
    frames = embedder.embed_frames(clip, 8000)
    np.testing.assert_allclose(embedder.embed_audio([clip], 8000)[0], frames.mean(0), atol=1e-6)
    values = torch.from_numpy(clip).expand(1, 2 if stereo else 1, -1)
    with torch.no_grad():
        encoded = model.encode(values, torch.ones(1, 1, values.shape[-1]).bool(), bandwidth=6.4)
        codes = model.quantizer.encode(frames.T[None], 6.4)
    np.testing.assert_array_equal(encoded.audio_codes[0, 0], codes[:, 0])


def test_ast_is_its_pooled_output(tmp_path: Path) -> None:
    from transformers import ASTFeatureExtractor, AutoModel

    folder = ast(tmp_path)
    embedder = load_embedder(f"ast:{folder}")
    clip = noise(0.9, 16_000)
    features = ASTFeatureExtractor.from_pretrained(folder)(clip, sampling_rate=16_000, return_tensors="pt")
    with torch.no_grad():
        expected = AutoModel.from_pretrained(folder).eval()(**features).pooler_output
    np.testing.assert_allclose(embedder.embed_audio([clip], 16_000), expected, atol=1e-5)


def test_the_hash_is_of_weights_and_configuration(tmp_path: Path) -> None:
    folder = ast(tmp_path)
    first = load_embedder(f"ast:{folder}").hash
    preprocessor = folder / "preprocessor_config.json"
    preprocessor.write_text(json.dumps(json.loads(preprocessor.read_text()) | {"mean": -4.0}))
    assert load_embedder(f"ast:{folder}").hash != first


def test_clapgen_models_by_name_and_folder(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "tiny")
    embedder = load_embedder(str(folder))
    assert isinstance(embedder, Clap)
    assert isinstance(embedder, ClapEmbedder)
    assert embedder.sample_rate == SAMPLE_RATE
    assert "1 s" in embedder.window_policy


class Loudness:
    name, hash, dim, sample_rate, window_policy = "loudness", "1", 1, 8000, "whole clips"

    def embed_audio(self, waveforms: list[np.ndarray], sample_rate: int) -> torch.Tensor:
        assert sample_rate == self.sample_rate
        return torch.tensor([[float(np.abs(waveform).max())] for waveform in waveforms])


def test_others_come_in_by_registration(recordings: list[Path]) -> None:
    asked: list[tuple[str, str]] = []
    register_embedder("loudness", lambda which, device: asked.append((which, device.type)) or Loudness())
    assert "loudness" in EMBEDDERS
    embedder = load_embedder("loudness:peak")
    load_embedder("loudness")
    assert asked == [("peak", "cpu"), ("", "cpu")]
    assert embed_files(recordings[:2], embedder).embeddings.shape == (2, 1)
    assert not isinstance(embedder, ClapEmbedder)
    for taken in ("loudness", "laion", "", "a:b"):
        with pytest.raises(ClapgenError, match="registered"):
            register_embedder(taken, lambda which, device: Loudness())


def test_a_clap_embeds_text_and_audio(tmp_path: Path) -> None:
    assert isinstance(load_clap(f"laion:{laion(tmp_path / 'laion')}"), ClapEmbedder)
    folder = tiny_model(tmp_path / "tiny")
    assert load_clap(folder).name == str(folder)
    with pytest.raises(ClapgenError, match="embeds audio only; choose a CLAP"):
        load_clap(f"encodec:{encodec(tmp_path / 'encodec')}")
    with pytest.raises(ClapgenError, match="No model called 'nowhere'"):
        load_clap("nowhere")


def test_a_folder_with_the_name_of_a_kind_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tiny_model(Path("laion"))
    assert isinstance(load_embedder("laion"), Clap)


def test_the_hub_is_needed_for_names_of_public_checkpoints_only(tmp_path: Path) -> None:
    assert needs_hub("laion:laion/clap-htsat-unfused")
    assert not any(map(needs_hub, ["default", f"laion:{tmp_path}", str(tmp_path), "C:\\models\\mine"]))


@pytest.mark.slow
def test_kinds_are_registered_without_importing_transformers() -> None:
    script = (
        "import sys, clapgen.embedders; assert 'torch' not in sys.modules; "
        "clapgen.embedders.needs_hub('laion:a/b'); print('transformers' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_what_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    with pytest.raises(ClapgenError, match="laion"):
        load_embedder("layon:x")
    with pytest.raises(ClapgenError, match="no folder"):
        load_embedder(f"laion:{tmp_path}/missing")
    with pytest.raises(ClapgenError, match="safetensors"):
        load_embedder(f"ast:{tmp_path}")
    with pytest.raises(ClapgenError, match="lacks a checkpoint"):
        load_embedder("encodec:")
    folder = encodec(tmp_path / "encodec")
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:1000])
    with pytest.raises(ClapgenError, match="cannot be loaded as 'encodec'"):
        load_embedder(f"encodec:{folder}")


def test_public_embedders_do_not_depend_on_what_the_caller_has_set(public: Any) -> None:
    clip = noise(1.3)
    embed = lambda: [  # noqa: E731
        public.embed_audio([clip], 48_000),
        public.embed_frames(clip, 48_000),
        *([public.embed_text(["a dog"])] if isinstance(public, ClapEmbedder) else []),
    ]
    for module in public.network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.5
    expected = embed()
    public.network.train()
    statistics = {name: buffer.clone() for name, buffer in public.network.named_buffers()}
    torch.set_default_dtype(torch.float64)
    try:
        with torch.autocast("cpu", torch.bfloat16):
            found = embed()
    finally:
        torch.set_default_dtype(torch.float32)
    for before, now in zip(expected, found, strict=True):
        assert torch.equal(before, now)
    assert public.network.training
    assert all(torch.equal(statistics[name], buffer) for name, buffer in public.network.named_buffers())
    public.network.eval()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("rain.wav", "list of waveforms"),
        (np.zeros(100, np.float32), "list of waveforms"),
        (["rain.wav"], "not the path rain.wav"),
        ([Path("rain.wav")], "not the path rain.wav"),
        ([np.zeros((2, 100), np.float32)], r"must be mono.*to_mono"),
        ([np.zeros(100, np.int64)], "must hold float"),
        ([np.zeros(0, np.float32)], "not empty"),
        ([np.full(100, np.nan, np.float32)], "NaN"),
        ([np.full(100, 1e30, np.float32)], r"samples of up to 1e\+30"),
    ],
)
def test_what_is_no_list_of_waveforms_is_named(public: Any, wrong: Any, words: str) -> None:
    with pytest.raises(ClapgenError, match=words):
        public.embed_audio(wrong, 48_000)


def test_integer_samples_are_scaled(public: Any) -> None:
    samples = np.round(20_000 * noise(0.4)).astype(np.int16)
    exact = public.embed_audio([samples.astype(np.float32) / 32768], 48_000)
    assert torch.equal(public.embed_audio([samples], 48_000), exact)


@pytest.mark.parametrize("kind", sorted(BUILDERS))
def test_code_in_a_checkpoint_is_never_run_nor_asked_about(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder can name code of its own (auto_map), which transformers runs if it is allowed to, or asks about."""
    folder = BUILDERS[kind](tmp_path / "model")
    (folder / "own.py").write_text(f"open({str(tmp_path / 'has-run')!r}, 'w')\nclass Own: pass\n")
    auto = dict.fromkeys(("AutoConfig", "AutoModel", "AutoFeatureExtractor", "AutoProcessor"), "own.Own")
    for file, names in (
        ("config.json", auto),
        ("preprocessor_config.json", auto),
        ("tokenizer_config.json", {"AutoTokenizer": ["own.Own", "own.Own"]}),
    ):
        if (folder / file).is_file():
            content = json.loads((folder / file).read_text()) | {"auto_map": names}
            (folder / file).write_text(json.dumps(content))
    asked: list[str] = []
    monkeypatch.setattr("builtins.input", lambda question="": asked.append(question) or "y")
    embedder = load_embedder(f"{kind}:{folder}")
    assert embedder.embed_audio([noise(0.4)], 48_000).shape == (1, embedder.dim)
    if isinstance(embedder, ClapEmbedder):
        embedder.embed_text(["a dog"])
        tokenizer = json.loads((folder / "tokenizer_config.json").read_text()) | {"tokenizer_class": "Own"}
        (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
        load_clap(f"{kind}:{folder}").embed_text(["a dog"])
    config = json.loads((folder / "config.json").read_text()) | {"model_type": "own"}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ClapgenError, match="type 'own'"):
        load_embedder(f"{kind}:{folder}")
    assert not asked and not (tmp_path / "has-run").exists()


def test_the_hub_is_not_reached_unless_a_name_needs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a folder nor a model of clapgen's own lifts the ban on network access that the commands set."""
    from clapgen.cli.options import allow_hub_for

    tiny_model(tmp_path / "tiny")
    for name in (f"laion:{laion(tmp_path / 'laion')}", str(tmp_path / "tiny"), "default"):
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        monkeypatch.setenv("TRANSFORMERS_OFFLINE", "1")
        allow_hub_for(name)
        assert {"HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"} <= set(os.environ), name
    allow_hub_for("laion:laion/clap-htsat-unfused")
    assert "HF_HUB_OFFLINE" not in os.environ


def test_a_clap_counts_the_tokens_of_a_text_before_it_cuts_them(tmp_path: Path) -> None:
    public = load_clap(f"laion:{laion(tmp_path)}")
    long = " ".join(["rain"] * 100)
    short, whole = public.count_tokens(["rain", long])
    assert short < public.max_tokens < whole
    np.testing.assert_allclose(public.embed_text([long]), public.embed_text([f"{long} and wind"]), atol=1e-6)
    assert cut_texts(["rain", long], public) == [long]
    assert cut_warning(["rain"], public) == ""
    assert cut_texts(["rain", long], object()) == []
