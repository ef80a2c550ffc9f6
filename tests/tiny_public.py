"""Tiny public generators with random weights, saved in exactly the layout of the published ones."""

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
