"""Public generators at their published sizes with random weights, saved in their published layouts.

Sizes are from the published configurations and from the conversion scripts of diffusers and transformers. Tokenizers
are tiny: speed depends on the number of tokens, not on which they are.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from peers import _text_tower, _unet, _vae, _vocoder
from torch import nn

T5_BASE = {"d_model": 768, "d_kv": 64, "d_ff": 3072, "num_layers": 12, "num_heads": 12}
T5_LARGE = {"d_model": 1024, "d_kv": 64, "d_ff": 4096, "num_layers": 24, "num_heads": 16}
FLAN_T5_LARGE = {**T5_LARGE, "d_ff": 2816, "feed_forward_proj": "gated-gelu"}
WORDS = ("rain", "on", "a", "tin", "roof")


def audioldm(folder: Path) -> None:
    """cvssp/audioldm-s-full-v2."""
    from diffusers import AudioLDMPipeline

    _save(
        AudioLDMPipeline(
            vae=_vae(), text_encoder=_text_tower(), tokenizer=_roberta(), unet=_unet(), scheduler=_ddim(),
            vocoder=_vocoder(),
        ),
        folder,
    )  # fmt: skip


def musicldm(folder: Path) -> None:
    """ucsd-reach/musicldm."""
    from diffusers import MusicLDMPipeline

    _save(
        MusicLDMPipeline(
            vae=_vae(), text_encoder=_clap(), tokenizer=_roberta(), feature_extractor=_extractor(), unet=_unet(),
            scheduler=_ddim(), vocoder=_vocoder(),
        ),
        folder,
    )  # fmt: skip


def audioldm2(folder: Path) -> None:
    """cvssp/audioldm2."""
    from diffusers import AudioLDM2Pipeline, AudioLDM2ProjectionModel, AudioLDM2UNet2DConditionModel
    from transformers import GPT2Config, GPT2LMHeadModel

    unet = AudioLDM2UNet2DConditionModel(
        sample_size=128, in_channels=8, out_channels=8, layers_per_block=2,
        down_block_types=("DownBlock2D", *["CrossAttnDownBlock2D"] * 3),
        up_block_types=(*["CrossAttnUpBlock2D"] * 3, "UpBlock2D"), block_out_channels=(128, 256, 384, 640),
        cross_attention_dim=([None, 768, 1024],) * 4,
    )  # fmt: skip
    language = GPT2LMHeadModel(GPT2Config())
    language.config.max_new_tokens = 8
    _save(
        AudioLDM2Pipeline(
            vae=_vae(), text_encoder=_clap(), text_encoder_2=_t5(FLAN_T5_LARGE), language_model=language,
            projection_model=AudioLDM2ProjectionModel(512, 1024, 768), tokenizer=_roberta(),
            tokenizer_2=_t5_tokenizer(), feature_extractor=_extractor(), unet=unet, scheduler=_ddim(),
            vocoder=_vocoder(),
        ),
        folder,
    )  # fmt: skip


def stable_audio(folder: Path) -> None:
    """stabilityai/stable-audio-open-1.0."""
    from diffusers import (
        AutoencoderOobleck,
        EDMDPMSolverMultistepScheduler,
        StableAudioDiTModel,
        StableAudioPipeline,
        StableAudioProjectionModel,
    )

    _save(
        StableAudioPipeline(
            vae=AutoencoderOobleck(), text_encoder=_t5(T5_BASE), tokenizer=_t5_tokenizer(128),
            projection_model=StableAudioProjectionModel(768, 768, 0, 512), transformer=StableAudioDiTModel(),
            scheduler=EDMDPMSolverMultistepScheduler(sigma_min=0.3, sigma_max=500.0),
        ),
        folder,
    )  # fmt: skip


def musicgen(folder: Path) -> None:
    """facebook/musicgen-small."""
    from transformers import MusicgenDecoderConfig, MusicgenForCausalLM, MusicgenForConditionalGeneration

    MusicgenForConditionalGeneration(
        text_encoder=_t5(T5_BASE),
        audio_encoder=_codec(32_000, [8, 5, 4, 4]),
        decoder=MusicgenForCausalLM(MusicgenDecoderConfig()),
    ).eval().save_pretrained(folder)
    _t5_tokenizer().save_pretrained(folder)


def audiogen(folder: Path) -> None:
    """facebook/audiogen-medium, with its T5, in the layout of transformers' MusicGen, whose networks it has."""
    from transformers import MusicgenDecoderConfig, MusicgenForCausalLM, MusicgenForConditionalGeneration

    decoder = MusicgenDecoderConfig(hidden_size=1536, num_hidden_layers=48, num_attention_heads=24, ffn_dim=6144)
    MusicgenForConditionalGeneration(
        text_encoder=_t5(T5_LARGE),
        audio_encoder=_codec(16_000, [8, 5, 4, 2]),
        decoder=MusicgenForCausalLM(decoder),
    ).eval().save_pretrained(folder)
    _t5_tokenizer().save_pretrained(folder)


PUBLISHED: dict[str, Callable[[Path], None]] = {
    "audioldm": audioldm,
    "audioldm2": audioldm2,
    "musicldm": musicldm,
    "stable-audio": stable_audio,
    "musicgen": musicgen,
    "audiogen": audiogen,
}


def _save(pipeline: Any, folder: Path) -> None:
    for part in pipeline.components.values():
        if isinstance(part, nn.Module):
            part.eval()
    pipeline.save_pretrained(folder)


def _ddim() -> Any:
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        beta_start=0.0015, beta_end=0.0195, beta_schedule="scaled_linear", steps_offset=1, clip_sample=False,
        set_alpha_to_one=False,
    )  # fmt: skip


def _clap() -> Any:
    from transformers import ClapConfig, ClapModel

    base = {"patch_embeds_hidden_size": 128, "hidden_size": 1024, "depths": [2, 2, 12, 2]}  # HTSAT-base
    return ClapModel(ClapConfig(audio_config=base))


def _extractor() -> Any:
    from transformers import ClapFeatureExtractor

    return ClapFeatureExtractor(truncation="rand_trunc", padding="repeatpad", frequency_min=50)


def _codec(sample_rate: int, ratios: list[int]) -> Any:
    from transformers import EncodecConfig, EncodecModel

    bandwidth = 4 * 11 * sample_rate / torch.tensor(ratios).prod().item() / 1000  # four codebooks of 2^11
    config = EncodecConfig(
        sampling_rate=sample_rate, upsampling_ratios=ratios, target_bandwidths=[bandwidth], num_filters=64,
        codebook_size=2048, codebook_dim=128, normalize=False, use_causal_conv=False, use_conv_shortcut=False,
    )  # fmt: skip
    return EncodecModel(config)


def _t5(size: dict[str, Any]) -> Any:
    from transformers import T5Config, T5EncoderModel

    return T5EncoderModel(T5Config(**size))


def _t5_tokenizer(limit: int = 512) -> Any:
    from transformers import T5Tokenizer

    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), *((f"▁{word}", -3.0) for word in WORDS)]
    return T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=limit)


def _roberta() -> Any:
    from transformers import RobertaTokenizer

    vocabulary = {piece: number for number, piece in enumerate(["<s>", "<pad>", "</s>", "<unk>", *"Ġrainotf"])}
    return RobertaTokenizer(vocab=vocabulary, merges=[], model_max_length=512)
