"""Microsoft's CLAP of 2022 and 2023, from the .pth files of its authors."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from clapgen.audio.mel import LogMel
from clapgen.embedders.checkpoints import CONFIG_FILE
from clapgen.embedders.htsat import Htsat
from clapgen.embedders.laion_keys import bert_config, fill, htsat_config, htsat_state
from clapgen.embedders.microsoft_network import MicrosoftConfig, MicrosoftNetwork
from clapgen.embedders.public import Array
from clapgen.embedders.public_clap import PublicClap
from clapgen.embedders.registry import EMBEDDERS

REPOSITORY = "microsoft/msclap"
VERSIONS = ("2022", "2023")
SAMPLE_RATE, HOP, N_FFT, MELS, F_MIN, F_MAX = 44_100, 320, 1024, 64, 50, 14_000
WINDOW_SECONDS = {"2022": 5, "2023": 7}
# The 2023 model is given audio at 44.1 kHz, but its filters are made for 32 kHz, so that their 14 kHz are 19.3 kHz: it
# was trained so. Its yaml file says 8 kHz; its code does not read that.
FILTER_RATE = {"2022": 44_100, "2023": 32_000}
MAX_TOKENS = {"2022": 100, "2023": 77}
TOKENIZERS = {"2022": "google-bert/bert-base-uncased", "2023": "openai-community/gpt2"}
END = " <|endoftext|>"  # which 2023 appends to each text, and reads its state

_AUDIO, _TEXT = "audio_encoder.base.", "caption_encoder.base."
_UNUSED = re.compile(  # computed again, or the tagging head
    r".*\.(spectrogram_extractor|logmel_extractor|fc_audioset)\..*|.*\.position_ids|.*\.attn\.(masked_)?bias"
)


@EMBEDDERS.register("msclap")
class MicrosoftClap(PublicClap):
    """CLAP of Microsoft: `msclap:2022`, `msclap:2023`, a .pth file, or a folder that `save_pretrained` has written."""

    kind = "msclap"
    model_type = "msclap"
    layout = "It must be CLAP_weights_2022.pth or CLAP_weights_2023.pth of microsoft/msclap."
    short_clips = "shorter clips repeated into one window"

    @classmethod
    def recognises(cls, weights: Mapping[str, Tensor]) -> bool:
        """Whether these are weights of Microsoft's code."""
        return any(name.startswith(_AUDIO) for name in weights) and any(name.startswith(_TEXT) for name in weights)

    @classmethod
    def _full_name(cls, checkpoint: str) -> str:
        return f"{REPOSITORY}/CLAP_weights_{checkpoint}.pth" if checkpoint in VERSIONS else checkpoint

    @staticmethod
    def _write(weights: dict[str, Tensor], folder: Path) -> None:
        state = {name: tensor for name, tensor in weights.items() if not _UNUSED.fullmatch(name)}
        htsat = htsat_state(state, f"{_AUDIO}htsat.")
        try:
            config = _config(state, htsat)
        except (KeyError, IndexError, ValueError) as error:
            raise ValueError(f"tensors of its networks are missing ({error}).") from error
        if htsat:
            state = {name: tensor for name, tensor in state.items() if not name.startswith(f"{_AUDIO}htsat.")}
            state |= {f"{_AUDIO}htsat.{name}": tensor for name, tensor in htsat.items()}
        network = MicrosoftNetwork(config)
        fill(network, state)
        _save(network, config, folder)

    def _load(self, folder: Path) -> None:
        content = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
        known = {each.name for each in dataclasses.fields(MicrosoftConfig)}
        try:
            self.network_config = MicrosoftConfig(**{key: value for key, value in content.items() if key in known})
            self.version = self.network_config.version
            seconds = WINDOW_SECONDS[self.version]
        except (TypeError, KeyError) as error:
            raise ValueError(f"its config.json lacks {error}.") from error
        network = MicrosoftNetwork(self.network_config)
        fill(network, load_file(folder / "model.safetensors"))
        self.network = network.eval().to(self.device)
        self.sample_rate, self.dim, self.window = SAMPLE_RATE, self.network_config.dim, seconds * SAMPLE_RATE
        self.log_mel = LogMel(FILTER_RATE[self.version], N_FFT, HOP, MELS, F_MIN, F_MAX).to(self.device)
        self.max_tokens = MAX_TOKENS[self.version]
        self.tokenizer_name = TOKENIZERS[self.version]
        self._prepare()

    def _prepare(self) -> None:
        base = self.network.audio_encoder.base
        self.tower = Htsat(base.htsat) if hasattr(base, "htsat") else base

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the checkpoint as config.json, safetensors and tokenizer."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        _save(self.network, self.network_config, Path(folder))
        self._tokenizer_on_first_use().save_pretrained(folder)

    @property
    def logit_scale(self) -> Tensor:
        """The learned inverse temperature."""
        return self.network.logit_scale.float().exp()

    def _embed(self, windows: list[Array]) -> Tensor:
        log_mels = self.log_mel(torch.stack([self._filled(window) for window in windows]).to(self.device))
        log_mels = log_mels.transpose(1, 2)[:, None]  # (batch, 1, frames, mels)
        projection = self.network.audio_encoder.projection
        dtype = projection.linear1.weight.dtype
        features = self.tower(log_mels if isinstance(self.tower, Htsat) else log_mels.to(dtype))
        return torch.nn.functional.normalize(projection(features.to(dtype)).float(), dim=-1)

    def _filled(self, window: Array) -> Tensor:
        samples = torch.from_numpy(window)
        return samples.repeat(-(-self.window // len(samples)))[: self.window]

    def _embed_tokens(self, texts: list[str]) -> Tensor:
        tokenizer = self._tokenizer_on_first_use()
        tokens = tokenizer(
            self._ended(texts), padding=True, truncation=True, max_length=self.max_tokens, return_tensors="pt"
        )
        return self.embed_token_ids(tokens["input_ids"], tokens["attention_mask"])

    def embed_token_ids(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Embeddings (batch, dim), not of length 1, of token numbers and their mask (batch, tokens)."""
        encoder = self.network.caption_encoder
        ids = ids.to(self.device)
        states = encoder.base(input_ids=ids, attention_mask=mask.to(self.device))[0]
        if self.version == "2022":
            return encoder.projection(states[:, 0])
        # "!" is number 0 and pads, so that one within a text counts as padding, too: as its authors compute it.
        last = ids.ne(0).sum(-1) - 1
        return encoder.projection(states[torch.arange(len(ids), device=self.device), last])

    def count_tokens(self, texts: list[str]) -> list[int]:  # type: ignore[override]
        """The number of tokens of each text, including those that are cut off."""
        return super().count_tokens(self._ended(texts))

    def _ended(self, texts: list[str]) -> list[str]:
        return [text + END for text in texts] if self.version == "2023" else list(texts)

    def _load_tokenizer(self) -> Any:
        tokenizer = super()._load_tokenizer()
        if self.version == "2023":
            tokenizer.add_special_tokens({"pad_token": "!"})
        tokenizer.padding_side = "right"
        return tokenizer


def _config(state: dict[str, Tensor], htsat: dict[str, Tensor]) -> MicrosoftConfig:
    """Version and sizes, from the shapes of weights."""
    text = {name.removeprefix(_TEXT): tensor for name, tensor in state.items() if name.startswith(_TEXT)}
    is_gpt2 = "wte.weight" in text
    dim, audio_width = state["audio_encoder.projection.linear1.weight"].shape
    channels = [
        state[f"{_AUDIO}conv_block{number}.conv1.weight"].shape[0]
        for number in range(1, 7)
        if f"{_AUDIO}conv_block{number}.conv1.weight" in state
    ]
    return MicrosoftConfig(
        version="2023" if is_gpt2 else "2022",
        dim=dim,
        audio_width=audio_width,
        text=_gpt2_config(text) if is_gpt2 else bert_config(text),
        audio=htsat_config(htsat) if htsat else {},
        cnn_channels=channels,
    )


def _gpt2_config(text: dict[str, Tensor]) -> dict[str, Any]:
    vocabulary, width = text["wte.weight"].shape
    return {
        "vocab_size": vocabulary,
        "n_positions": text["wpe.weight"].shape[0],
        "n_embd": width,
        "n_layer": 1 + max(int(name.split(".")[1]) for name in text if name.startswith("h.")),
        "n_head": max(1, width // 64),
    }


def _save(network: MicrosoftNetwork, config: MicrosoftConfig, folder: Path) -> None:
    content = {"model_type": MicrosoftClap.model_type, **dataclasses.asdict(config)}
    (folder / CONFIG_FILE).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
