"""Models that we compare with, at their published sizes with random weights, on which speed does not depend.

CLAP is laion/clap-htsat-unfused in transformers, AudioLDM is audioldm-s-full-v2 in diffusers (sizes from the published
configurations and from diffusers' conversion script).
"""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

CLAP_SAMPLE_RATE = 48_000
TOKENS_PER_SENTENCE = 16


class PeerClap:
    """transformers' ClapModel with its feature extractor, called as users call them."""

    def __init__(self, dtype: torch.dtype, device: torch.device | None = None) -> None:
        from transformers import ClapConfig, ClapFeatureExtractor, ClapModel

        torch.manual_seed(0)
        self.dtype, self.device = dtype, device or torch.device("cpu")
        self.model = ClapModel(ClapConfig()).eval()  # the defaults are HTSAT-tiny + RoBERTa, as published
        self.model.to(self.device, dtype)
        self.extractor = ClapFeatureExtractor(
            frequency_min=50, frequency_max=14_000, truncation="rand_trunc", padding="repeatpad"
        )

    def save(self, folder: Path) -> None:
        """Write it as it is published, without a tokenizer."""
        self.model.save_pretrained(folder)
        self.extractor.save_pretrained(folder)

    @torch.no_grad()
    def embed_audio(self, waveforms: list[np.ndarray]) -> Tensor:
        features = self.extractor(waveforms, sampling_rate=CLAP_SAMPLE_RATE, return_tensors="pt")
        inputs = features["input_features"].to(self.device, self.dtype)
        return self.model.get_audio_features(inputs, features["is_longer"].to(self.device)).pooler_output.float().cpu()

    @torch.no_grad()
    def embed_text(self, count: int) -> None:
        """Embed sentences of 16 tokens. The cost of its tokenizer is not counted, in its favour."""
        tokens = torch.randint(10, 50_000, (count, TOKENS_PER_SENTENCE), device=self.device)
        self.model.get_text_features(input_ids=tokens, attention_mask=torch.ones_like(tokens))


@dataclass
class AudioLdmSeconds:
    """Time of one clip in seconds: `step` is one guided step, `fixed` everything but the steps."""

    text: float
    step: float
    decode: float

    @property
    def fixed(self) -> float:
        return self.text + self.decode

    def clip(self, steps: int) -> float:
        return self.fixed + steps * self.step


class PeerAudioLdm:
    """AudioLDM-S: CLAP text tower, U-Net with classifier-free guidance, VAE decoder and HiFi-GAN, 16 kHz."""

    sample_rate = 16_000

    def __init__(self, dtype: torch.dtype) -> None:
        from diffusers.utils.logging import set_verbosity_error

        set_verbosity_error()  # it warns about casting to bf16, which works for these parts
        torch.manual_seed(0)
        self.dtype = dtype
        self.text, self.unet, self.vae, self.vocoder = (
            part.eval().to(dtype) for part in (_text_tower(), _unet(), _vae(), _vocoder())
        )

    @torch.no_grad()
    def generate(self, seconds: float, steps: int) -> tuple[Tensor, AudioLdmSeconds]:
        """Generate one clip; returns its waveform `(1, samples)` and its time."""
        from diffusers import DDIMScheduler

        scheduler = DDIMScheduler(
            beta_start=0.0015,
            beta_end=0.0195,
            beta_schedule="scaled_linear",
            steps_offset=1,
            clip_sample=False,
            set_alpha_to_one=False,
        )
        scheduler.set_timesteps(steps)
        began = time.perf_counter()
        condition = self._prompt_and_empty()
        described = time.perf_counter()
        frames = -(-round(seconds * 100) // 4)  # mel frames of 10 ms; one latent per four frames
        latents = torch.randn(1, 8, frames, 16, dtype=self.dtype)
        for timestep in scheduler.timesteps:
            both = self.unet(torch.cat([latents, latents]), timestep, None, class_labels=condition).sample
            empty, prompted = both.chunk(2)
            latents = scheduler.step(empty + 2.5 * (prompted - empty), timestep, latents).prev_sample
        sampled = time.perf_counter()
        log_mel = self.vae.decode(latents / self.vae.config.scaling_factor).sample  # (1, 1, frames, 64)
        waveform = self.vocoder(log_mel.squeeze(1))[..., : round(seconds * self.sample_rate)]
        ended = time.perf_counter()
        return waveform, AudioLdmSeconds(described - began, (sampled - described) / steps, ended - sampled)

    def _prompt_and_empty(self) -> Tensor:
        tokens = torch.ones(2, 512, dtype=torch.long)  # the pipeline pads every prompt to 512
        tokens[:, 0], tokens[0, 1:15], tokens[0, 15], tokens[1, 1] = 0, torch.arange(100, 114), 2, 2
        return nn.functional.normalize(self.text(tokens, attention_mask=tokens.ne(1).long()).text_embeds, dim=-1)


def _text_tower() -> nn.Module:
    from transformers import ClapTextConfig, ClapTextModelWithProjection

    return ClapTextModelWithProjection(ClapTextConfig())


def _unet() -> nn.Module:
    from diffusers import UNet2DConditionModel

    widths = (128, 256, 384, 640)
    return UNet2DConditionModel(
        sample_size=128,
        in_channels=8,
        out_channels=8,
        down_block_types=("DownBlock2D", *["CrossAttnDownBlock2D"] * 3),
        up_block_types=(*["CrossAttnUpBlock2D"] * 3, "UpBlock2D"),
        block_out_channels=widths,
        cross_attention_dim=widths,
        layers_per_block=2,
        class_embed_type="simple_projection",
        projection_class_embeddings_input_dim=512,
        class_embeddings_concat=True,
    )


def _vae() -> nn.Module:
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        in_channels=1,
        out_channels=1,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(128, 256, 512),
        layers_per_block=2,
        latent_channels=8,
        scaling_factor=0.9392935633659363,
    )


def _vocoder() -> nn.Module:
    from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

    return SpeechT5HifiGan(
        SpeechT5HifiGanConfig(
            model_in_dim=64,
            sampling_rate=16_000,
            upsample_initial_channel=1024,
            upsample_rates=[5, 4, 2, 2, 2],
            upsample_kernel_sizes=[16, 16, 8, 4, 4],
            resblock_kernel_sizes=[3, 7, 11],
            resblock_dilation_sizes=[[1, 3, 5]] * 3,
            normalize_before=False,
        )
    )
