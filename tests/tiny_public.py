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
