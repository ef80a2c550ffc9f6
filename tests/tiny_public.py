"""Tiny public generators with random weights, saved in exactly the layout of the published ones."""

import json
from pathlib import Path
from typing import Any

import torch

WORDS = ["<s>", "<pad>", "</s>", "<unk>", "rain", "wind", "a", "dog", "barks", "bell", "on", "roof", "tin", "the"]


def roberta(limit: int = 77) -> Any:
    """Words to ids, of the class that the published AudioLDM checkpoints name."""
    from transformers import RobertaTokenizer

    vocabulary = {word: number for number, word in enumerate(WORDS)}
    vocabulary |= {f"Ġ{word}": len(vocabulary) + number for number, word in enumerate(WORDS[4:])}
    letters = sorted({letter for word in WORDS[4:] for letter in word} | {"Ġ"})
    vocabulary |= {
        letter: len(vocabulary) + number for number, letter in enumerate(letters) if letter not in vocabulary
    }
    return RobertaTokenizer(vocab=vocabulary, merges=[], model_max_length=limit)


def clap_text() -> dict[str, Any]:
    return {
        "vocab_size": 64, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 16, "pad_token_id": 1, "max_position_embeddings": 90, "projection_dim": 24,
        "initializer_factor": 20.0,
    }  # fmt: skip


def vae() -> Any:
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        in_channels=1, out_channels=1, down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3, block_out_channels=(8, 8, 16), layers_per_block=1, latent_channels=4,
        norm_num_groups=4, scaling_factor=0.9,
    )  # fmt: skip


def vocoder() -> Any:
    from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

    return SpeechT5HifiGan(
        SpeechT5HifiGanConfig(
            model_in_dim=16, sampling_rate=16_000, upsample_initial_channel=32, upsample_rates=[5, 4, 2, 2, 2],
            upsample_kernel_sizes=[16, 16, 8, 4, 4], resblock_kernel_sizes=[3], resblock_dilation_sizes=[[1]],
            normalize_before=False, initializer_range=0.3,
        )
    )  # fmt: skip


def unet(widths: tuple[int, ...] = (16, 32), heads: Any = 2, **more: Any) -> Any:
    from diffusers import UNet2DConditionModel

    deeper = len(widths) - 1
    return UNet2DConditionModel(
        sample_size=32, in_channels=4, out_channels=4,
        down_block_types=("DownBlock2D", *["CrossAttnDownBlock2D"] * deeper),
        up_block_types=(*["CrossAttnUpBlock2D"] * deeper, "UpBlock2D"), block_out_channels=widths,
        cross_attention_dim=widths, layers_per_block=1, norm_num_groups=8, attention_head_dim=heads,
        class_embed_type="simple_projection", projection_class_embeddings_input_dim=24, class_embeddings_concat=True,
        **more,
    )  # fmt: skip


def ddim() -> Any:
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        beta_start=0.0015, beta_end=0.0195, beta_schedule="scaled_linear", steps_offset=1, clip_sample=False,
        set_alpha_to_one=False,
    )  # fmt: skip


def save(pipeline: Any, folder: Path) -> Path:
    """Save a pipeline of diffusers as it is published; without safetensors where `folder` says so."""
    for part in pipeline.components.values():
        if isinstance(part, torch.nn.Module):
            part.eval()
    pipeline.save_pretrained(folder)
    return folder


def audioldm_pipeline(**of_unet: Any) -> Any:
    from diffusers import AudioLDMPipeline
    from transformers import ClapTextConfig, ClapTextModelWithProjection

    torch.manual_seed(0)
    return AudioLDMPipeline(
        vae=vae(), text_encoder=ClapTextModelWithProjection(ClapTextConfig(**clap_text())), tokenizer=roberta(),
        unet=unet(**of_unet), scheduler=ddim(), vocoder=vocoder(),
    )  # fmt: skip


def audioldm(folder: Path, **of_unet: Any) -> Path:
    """A tiny AudioLDM in the layout of cvssp/audioldm-s-full-v2."""
    return save(audioldm_pipeline(**of_unet), folder)


def t5_tokenizer(limit: int = 16) -> Any:
    from transformers import T5Tokenizer

    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), *((f"▁{word}", -3.0) for word in WORDS[4:])]
    return T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=limit)


def t5(width: int = 12) -> Any:
    from transformers import T5Config, T5EncoderModel

    return T5EncoderModel(
        T5Config(vocab_size=32, d_model=width, d_kv=4, d_ff=16, num_layers=1, num_heads=2, initializer_factor=3.0)
    )


def clap() -> Any:
    from transformers import ClapConfig, ClapModel

    audio = {
        "patch_embeds_hidden_size": 16, "hidden_size": 32, "depths": [1, 1], "num_attention_heads": [2, 2],
        "num_hidden_layers": 2, "num_mel_bins": 64, "spec_size": 256, "window_size": 4, "initializer_factor": 20.0,
    }  # fmt: skip
    return ClapModel(ClapConfig(text_config=clap_text(), audio_config=audio, projection_dim=24))


def extractor() -> Any:
    from transformers import ClapFeatureExtractor

    return ClapFeatureExtractor(max_length_s=1, truncation="rand_trunc", padding="repeatpad", frequency_min=50)


def musicldm_pipeline() -> Any:
    from diffusers import MusicLDMPipeline

    torch.manual_seed(0)
    return MusicLDMPipeline(
        vae=vae(), text_encoder=clap(), tokenizer=roberta(), feature_extractor=extractor(), unet=unet(),
        scheduler=ddim(), vocoder=vocoder(),
    )  # fmt: skip


def musicldm(folder: Path) -> Path:
    """A tiny MusicLDM in the layout of ucsd-reach/musicldm."""
    return save(musicldm_pipeline(), folder)


def audioldm2_pipeline() -> Any:
    from diffusers import AudioLDM2Pipeline, AudioLDM2ProjectionModel, AudioLDM2UNet2DConditionModel
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    network = AudioLDM2UNet2DConditionModel(
        sample_size=32, in_channels=4, out_channels=4, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), block_out_channels=(16, 32), layers_per_block=1,
        norm_num_groups=8, attention_head_dim=2, cross_attention_dim=([None, 20, 12], [None, 20, 12]),
    )  # fmt: skip
    language = GPT2LMHeadModel(GPT2Config(vocab_size=8, n_positions=64, n_embd=20, n_layer=2, n_head=2))
    language.config.max_new_tokens = 8
    projection = AudioLDM2ProjectionModel(text_encoder_dim=24, text_encoder_1_dim=12, langauge_model_dim=20)
    for embedding in (projection.sos_embed, projection.eos_embed, projection.sos_embed_1, projection.eos_embed_1):
        torch.nn.init.normal_(embedding)
    return AudioLDM2Pipeline(
        vae=vae(), text_encoder=clap(), text_encoder_2=t5(), projection_model=projection, language_model=language,
        tokenizer=roberta(), tokenizer_2=t5_tokenizer(), feature_extractor=extractor(), unet=network, scheduler=ddim(),
        vocoder=vocoder(),
    )  # fmt: skip


def audioldm2(folder: Path) -> Path:
    """A tiny AudioLDM 2 in the layout of cvssp/audioldm2, with a GPT2LMHeadModel."""
    return save(audioldm2_pipeline(), folder)


def stable_audio_pipeline(scheduler: Any = None) -> Any:
    from diffusers import (
        AutoencoderOobleck,
        EDMDPMSolverMultistepScheduler,
        StableAudioDiTModel,
        StableAudioPipeline,
        StableAudioProjectionModel,
    )

    torch.manual_seed(0)
    decoder = AutoencoderOobleck(
        encoder_hidden_size=4, downsampling_ratios=[4, 8], channel_multiples=[1, 2], decoder_channels=4,
        decoder_input_channels=4, audio_channels=2, sampling_rate=4000,
    )  # fmt: skip
    transformer = StableAudioDiTModel(
        sample_size=250, in_channels=4, num_layers=1, attention_head_dim=8, num_attention_heads=2,
        num_key_value_attention_heads=2, out_channels=4, cross_attention_dim=12, time_proj_dim=8,
        global_states_input_dim=24, cross_attention_input_dim=12,
    )  # fmt: skip
    return StableAudioPipeline(
        vae=decoder, text_encoder=t5(), tokenizer=t5_tokenizer(), transformer=transformer,
        projection_model=StableAudioProjectionModel(12, 12, min_value=0, max_value=3),
        scheduler=scheduler or EDMDPMSolverMultistepScheduler(sigma_min=0.3, sigma_max=500.0),
    )  # fmt: skip


def stable_audio(folder: Path) -> Path:
    """A tiny Stable Audio Open in the layout of stabilityai/stable-audio-open-1.0, with its scheduler."""
    save(stable_audio_pipeline(), folder)
    config = {
        "_class_name": "CosineDPMSolverMultistepScheduler", "sigma_min": 0.3, "sigma_max": 500, "sigma_data": 1.0,
        "sigma_schedule": "exponential", "num_train_timesteps": 1000, "solver_order": 2, "solver_type": "midpoint",
        "prediction_type": "v_prediction", "lower_order_final": True, "euler_at_final": False,
        "final_sigmas_type": "zero",
    }  # fmt: skip
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(config))
    index = json.loads((folder / "model_index.json").read_text())
    index["scheduler"] = ["diffusers", "CosineDPMSolverMultistepScheduler"]
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def encodec_config() -> Any:
    from transformers import EncodecConfig

    return EncodecConfig(
        target_bandwidths=[1.6], sampling_rate=1600, hidden_size=8, codebook_dim=8, codebook_size=16, num_filters=4,
        upsampling_ratios=[4, 4], num_lstm_layers=1, norm_type="weight_norm", normalize=False, use_causal_conv=False,
        num_residual_layers=1, use_conv_shortcut=False,
    )  # fmt: skip


def random_codebooks(codec: Any) -> Any:
    """Codebooks are zeros until they are trained."""
    for layer in codec.quantizer.layers:
        layer.codebook.embed.normal_()
    return codec


def musicgen(folder: Path, stereo: bool = False) -> Path:
    """A tiny MusicGen in the layout of facebook/musicgen-small (or -stereo-small)."""
    from transformers import (
        EncodecFeatureExtractor,
        EncodecModel,
        MusicgenDecoderConfig,
        MusicgenForCausalLM,
        MusicgenForConditionalGeneration,
        MusicgenProcessor,
    )

    torch.manual_seed(0)
    decoder = MusicgenDecoderConfig(
        vocab_size=16, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, ffn_dim=32, dropout=0.0,
        num_codebooks=8 if stereo else 4, audio_channels=2 if stereo else 1, max_position_embeddings=128,
        pad_token_id=16, bos_token_id=16, initializer_factor=0.3,
    )  # fmt: skip
    whole = MusicgenForConditionalGeneration(
        text_encoder=t5(), audio_encoder=random_codebooks(EncodecModel(encodec_config())),
        decoder=MusicgenForCausalLM(decoder),
    )  # fmt: skip
    whole.eval().save_pretrained(folder)
    feature_extractor = EncodecFeatureExtractor(feature_size=2 if stereo else 1, sampling_rate=1600)
    MusicgenProcessor(feature_extractor=feature_extractor, tokenizer=t5_tokenizer()).save_pretrained(folder)
    return folder


LM_CONFIG = {
    "n_q": 4, "card": 16, "dim": 16, "num_heads": 2, "num_layers": 2, "hidden_scale": 4, "norm_first": True,
    "bias_proj": False, "bias_ff": False, "bias_attn": False, "positional_embedding": "sin", "causal": True,
    "qk_layer_norm": False, "kv_repeat": 1, "activation": "gelu",
}  # fmt: skip
CODEC_CONFIG = {
    "sample_rate": 1600, "channels": 1, "encodec": {"causal": False, "renormalize": False, "channels": "${channels}"},
    "seanet": {
        "dimension": 8, "channels": "${channels}", "causal": "${encodec.causal}", "n_filters": 4,
        "n_residual_layers": 1,
        "ratios": [4, 4], "norm": "weight_norm", "kernel_size": 7, "residual_kernel_size": 3, "last_kernel_size": 7,
        "dilation_base": 2, "pad_mode": "constant", "true_skip": True, "compress": 2, "lstm": 1,
        "decoder": {"trim_right_ratio": 1.0},
    },
    "rvq": {"n_q": 4, "bins": 16},
}  # fmt: skip


def audiocraft(folder: Path, **changes: Any) -> Path:
    """A tiny AudioGen in the two files of facebook/audiogen-medium, and the T5 that audiocraft takes from the hub."""
    import yaml

    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    config = {
        "lm_model": "transformer_lm", "transformer_lm": LM_CONFIG, "dataset": {"segment_duration": 3},
        "codebooks_pattern": {"modeling": "delay", "delay": {"delays": [0, 1, 2, 3]}},
        "conditioners": {"description": {"model": "t5", "t5": {"name": "t5-large", "finetune": False}}},
        "sample_rate": 1600, "channels": 1, **changes,
    }  # fmt: skip
    package = {"best_state": lm_state(), "xp.cfg": yaml.safe_dump(config), "version": "1.3.0", "exported": True}
    torch.save(package, folder / "state_dict.bin")
    package = {
        "best_state": codec_state(),
        "xp.cfg": yaml.safe_dump(CODEC_CONFIG),
        "version": "1.3.0",
        "exported": True,
    }
    torch.save(package, folder / "compression_state_dict.bin")
    t5().eval().save_pretrained(folder / "t5-large")
    t5_tokenizer().save_pretrained(folder / "t5-large")
    return folder


def lm_state() -> dict[str, torch.Tensor]:
    """Random tensors with the names and shapes of audiocraft's language model, half precision as published."""
    width, card, text = 16, 16, 12
    shapes: dict[str, tuple[int, ...]] = {}
    for book in range(4):
        shapes[f"emb.{book}.weight"], shapes[f"linears.{book}.weight"] = (card + 1, width), (card, width)
    for layer in range(2):
        at = f"transformer.layers.{layer}."
        for attention in ("self_attn", "cross_attention"):
            shapes[f"{at}{attention}.in_proj_weight"] = (3 * width, width)
            shapes[f"{at}{attention}.out_proj.weight"] = (width, width)
        shapes[f"{at}linear1.weight"], shapes[f"{at}linear2.weight"] = (4 * width, width), (width, 4 * width)
        for norm in ("norm1", "norm2", "norm_cross"):
            shapes[f"{at}{norm}.weight"] = shapes[f"{at}{norm}.bias"] = (width,)
    shapes["out_norm.weight"] = shapes["out_norm.bias"] = (width,)
    projection = "condition_provider.conditioners.description.output_proj"
    shapes[f"{projection}.weight"], shapes[f"{projection}.bias"] = (width, text), (width,)
    return {key: (0.4 * torch.randn(shape)).half() for key, shape in shapes.items()}


def codec_state() -> dict[str, torch.Tensor]:
    """A codec of transformers under the names of audiocraft's."""
    from transformers import EncodecModel

    config = encodec_config()
    config.pad_mode = "constant"
    codec = random_codebooks(EncodecModel(config))
    transposed = {name for name, module in codec.named_modules() if type(module).__name__ == "EncodecConvTranspose1d"}
    renamed = {}
    for key, value in codec.state_dict().items():
        within = "convtr.convtr" if key.partition(".conv.")[0] in transposed else "conv.conv"
        for ours, theirs in (
            (".conv.", f".{within}."), ("parametrizations.weight.original0", "weight_g"),
            ("parametrizations.weight.original1", "weight_v"), ("coder.layers.", "coder.model."),
            ("quantizer.layers.", "quantizer.vq.layers."), (".codebook.", "._codebook."),
        ):  # fmt: skip
            key = key.replace(ours, theirs)
        renamed[key] = value
    return renamed
