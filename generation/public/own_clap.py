"""The CLAP inside a checkpoint (AudioLDM 2, MusicLDM): embeds its prompts, and ranks its candidates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from clapgen.audio.waveform import mono_samples_at
from clapgen.audio.windows import half_overlapping
from clapgen.devices import inference
from generation.public.parts import load_other, load_part
from generation.public.texts import limit_of, tokens_of
from generation.ranking import Waveform


class OwnClap:
    """transformers' ClapModel, its feature extractor and tokenizer, in the folders of a pipeline."""

    def __init__(self, folder: Path, device: torch.device) -> None:
        from transformers import AutoTokenizer, ClapFeatureExtractor, ClapModel

        self.device = device
        self.network = load_part(ClapModel, folder / "text_encoder").to(device)
        self.tokenizer = load_other(AutoTokenizer, folder / "tokenizer")
        self.extractor = load_other(ClapFeatureExtractor, folder / "feature_extractor")

    def embed_text(self, text: str) -> Tensor:
        """(1, dim), of length 1."""
        return F.normalize(
            _pooled(self.network.get_text_features(**tokens_of(self.tokenizer, text, self.device))), dim=1
        )

    def count_tokens(self, text: str) -> tuple[int, int]:
        """How many tokens a text has, and how many are read."""
        return len(self.tokenizer(text)["input_ids"]), limit_of(self.tokenizer)

    def __call__(self, prompt: str, waveforms: Sequence[Waveform], sample_rate: int) -> list[float]:
        """The cosine of each waveform (samples,) and the prompt.

        A long sound is embedded in half-overlapping windows: the extractor would crop it at random.
        """
        with inference(self.network):
            text = self.embed_text(prompt)[0]
            return [float(self._embed_audio(waveform, sample_rate) @ text) for waveform in waveforms]

    def _embed_audio(self, waveform: Waveform, sample_rate: int) -> Tensor:
        rate = self.extractor.sampling_rate
        window = round(self.extractor.max_length_s * rate)
        windows = list(half_overlapping([mono_samples_at(waveform, sample_rate, rate)], window))
        features = self.extractor(windows, sampling_rate=rate, padding="repeatpad", return_tensors="pt")
        not_longer = torch.zeros(len(windows), 1, dtype=torch.bool, device=self.device)
        output = self.network.get_audio_features(
            input_features=features["input_features"].float().to(self.device), is_longer=not_longer
        )
        return F.normalize(_pooled(output).mean(0), dim=0)


def _pooled(output: Any) -> Tensor:
    """transformers 5 returns an object where earlier versions returned the tensor."""
    return output if isinstance(output, Tensor) else output.pooler_output
