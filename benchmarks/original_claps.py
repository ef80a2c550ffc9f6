"""Run the original code of LAION's and Microsoft's CLAP on seeded weights and sounds, and store what it gives.

    pip download --no-deps -d wheels laion_clap==1.1.7 msclap==1.3.4 torchlibrosa==0.1.0
    for wheel in wheels/*.whl; do unzip -q -o $wheel -d site; done
    PYTHONPATH=.:tests python benchmarks/original_claps.py site

writes tests/embedders/originals/*.json, which the parity tests compare with. The packages do not install with current
versions of their dependencies, but their networks run: what they import without needing it here (torchaudio,
torchvision, …) is replaced by empty modules. Networks have the original classes and names, but few channels; text
towers are transformers' classes, as in the originals. Weights and sounds are those of tests/seeded_weights.py.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import librosa
import numpy as np
import torch
from seeded_weights import FIXTURES, is_computed, seeded, sound
from torch import nn
from transformers import BertConfig, BertModel, GPT2Config, GPT2Model, RobertaConfig, RobertaModel

ABSENT = ("torchaudio", "torchaudio.transforms", "torchvision", "torchvision.transforms", "torchvision.ops",
          "torchvision.ops.misc", "torchvision.datasets", "h5py", "wget", "timm", "ftfy")  # fmt: skip
HTSAT_SIZES = {"spec_size": 256, "patch_size": 4, "patch_stride": (4, 4), "embed_dim": 16, "depths": [2, 2],
               "num_heads": [2, 4], "window_size": 8, "num_classes": 8}  # fmt: skip
TEXT_WIDTH, DIM = 64, 24
TOKENS = [[0, 5, 9, 4, 2, 1, 1], [0, 7, 2, 1, 1, 1, 1], [0, 5, 5, 6, 8, 9, 2]]  # with RoBERTa's padding
GPT2_TOKENS = [[5, 9, 4, 3, 0], [7, 3, 0, 0, 0], [5, 6, 8, 9, 3]]  # padded with "!", as Microsoft does
BERT_SIZES = {
    "vocab_size": 10,
    "hidden_size": TEXT_WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": 1,
    "intermediate_size": 32,
}
LAION_SECONDS = (10.0, 3.3, 10.0)


def fill(network: nn.Module) -> dict[str, list[int]]:
    """Give a network its seeded weights; returns the shape of each tensor of its checkpoint."""
    state = network.state_dict()
    for name, each in state.items():
        if not is_computed(name):
            each.copy_(seeded(name, list(each.shape)))
    network.eval()
    return {name: list(each.shape) for name, each in state.items()}


def store(name: str, shapes: dict[str, list[int]], **content: Any) -> None:
    """Write one file of tests/embedders/originals."""
    values = {
        key: np.asarray(value).round(7).tolist() if torch.is_tensor(value) else value for key, value in content.items()
    }
    FIXTURES.mkdir(parents=True, exist_ok=True)
    (FIXTURES / f"{name}.json").write_text(json.dumps({**values, "shapes": shapes}) + "\n")
    print(name, {key: np.shape(value) for key, value in values.items()}, len(shapes), "tensors")


def laion(fused: bool) -> None:
    """CLAP of LAION, its HTSAT and projections; the log-mel of the fused one is librosa's, as its own code suggests."""
    from clap_module import model as original
    from clap_module.htsat import HTSAT_Swin_Transformer

    fusion = {"enable_fusion": fused, "fusion_type": "aff_2d" if fused else "None"}
    roberta = RobertaConfig(
        **BERT_SIZES, pad_token_id=1, max_position_embeddings=90, type_vocab_size=1, layer_norm_eps=1e-5
    )
    original.create_htsat_model = lambda cfg, *_: HTSAT_Swin_Transformer(**HTSAT_SIZES, config=cfg, **fusion)
    original.RobertaModel = MagicMock(from_pretrained=lambda name: RobertaModel(roberta))
    audio = {"model_type": "HTSAT", "hop_size": 480, "class_num": 8}  # and the defaults, as published
    text = {"context_length": 77, "vocab_size": 10, "width": 32, "heads": 1, "layers": 1, "model_type": "roberta"}
    clap = original.CLAP(32, audio, text, joint_embed_shape=DIM, **fusion)
    clap.text_projection[0] = nn.Linear(TEXT_WIDTH, DIM)
    shapes = fill(clap)
    clips = [sound(seconds, 48000, seed) for seed, seconds in enumerate(LAION_SECONDS)]
    tokens = torch.tensor(TOKENS)
    with torch.no_grad():
        store(
            "laion_fused" if fused else "laion_unfused",
            shapes,
            seconds=LAION_SECONDS,
            tokens=TOKENS,
            audio=torch.cat([clap.get_audio_embedding([laion_input(clip, fused)]) for clip in clips]),
            text=clap.get_text_embedding({"input_ids": tokens, "attention_mask": tokens.ne(1).long()}),
            scale=float(clap.logit_scale_a.exp()),
        )


def laion_input(clip: np.ndarray, fused: bool) -> dict[str, torch.Tensor]:
    """What LAION's get_audio_features gives for a clip of at most ten seconds."""
    waveform = torch.from_numpy(clip).repeat(480000 // len(clip))
    waveform = nn.functional.pad(waveform, (0, 480000 - len(waveform)))
    if not fused:
        return {"waveform": waveform, "longer": torch.tensor([False])}
    mel = librosa.feature.melspectrogram(y=waveform.numpy(), sr=48000, n_fft=1024, hop_length=480, n_mels=64, fmin=50,
                                         fmax=14000, norm=None, htk=True, pad_mode="reflect")  # fmt: skip
    log_mel = torch.from_numpy(librosa.power_to_db(mel, top_db=None)).T
    return {"mel_fusion": log_mel.expand(4, -1, -1), "longer": torch.tensor([False]), "waveform": waveform}


def microsoft(version: str) -> None:
    """CLAP of Microsoft: CNN14 and BERT (2022), HTSAT and GPT-2 (2023)."""
    import msclap.models.audio
    import msclap.models.clap as original
    import msclap.models.htsat as htsat

    width, seconds, name, tokens = (40, 5, "bert", TOKENS) if version == "2022" else (32, 7, "gpt2", GPT2_TOKENS)
    text: Any = BertModel(BertConfig(**BERT_SIZES, max_position_embeddings=110))
    if version == "2023":
        text = GPT2Model(GPT2Config(vocab_size=10, n_positions=80, n_embd=TEXT_WIDTH, n_layer=2, n_head=1))
    original.AutoModel = MagicMock(from_pretrained=lambda name: text)
    original.get_audio_encoder = lambda name: smaller_audio_tower(msclap.models.audio, htsat, version)
    clap = original.CLAP("", 44100, 1024, 320, 64, 50, 14000, 8, width, name, TEXT_WIDTH, DIM)
    shapes = fill(clap)
    lengths = (float(seconds), 2.3)
    ids = torch.tensor(tokens)
    inputs = {"input_ids": ids, "attention_mask": ids.ne(1 if version == "2022" else 0).long()}
    clips = [torch.from_numpy(sound(each, 44100, seed)) for seed, each in enumerate(lengths)]
    with torch.no_grad():
        store(
            f"microsoft_{version}",
            shapes,
            seconds=lengths,
            tokens=tokens,
            audio=torch.cat([clap.audio_encoder(repeated(clip, seconds * 44100)[None])[0] for clip in clips]),
            text=clap.caption_encoder(inputs),
            scale=float(clap.logit_scale.exp()),
        )


def repeated(clip: torch.Tensor, length: int) -> torch.Tensor:
    """What Microsoft's load_audio_into_tensor gives for a clip that is not longer."""
    return clip.repeat(-(-length // len(clip)))[:length]


def smaller_audio_tower(audio: Any, htsat: Any, version: str) -> Any:
    """The class of an original audio tower, with fewer channels."""

    class SmallCnn14(audio.Cnn14):
        def __init__(self, sample_rate: int, window_size: int, hop_size: int, mel_bins: int, *rest: Any) -> None:
            super().__init__(sample_rate, window_size, hop_size, mel_bins, *rest)
            widths = (1, 4, 6, 8, 10, 12, 16)
            for number, (inner, outer) in enumerate(zip(widths, widths[1:], strict=False), 1):
                setattr(self, f"conv_block{number}", audio.ConvBlock(inner, outer))
            self.fc1 = nn.Linear(widths[-1], rest[-1])

    class SmallHtsat(htsat.HTSATWrapper):
        def __init__(self, *_: Any) -> None:
            nn.Module.__init__(self)
            self.htsat = htsat.HTSAT_Swin_Transformer(**HTSAT_SIZES, config=htsat.config)

    return SmallCnn14 if version == "2022" else SmallHtsat


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("site", type=Path, help="folder with the unpacked wheels")
    site = parser.parse_args().site
    sys.modules.update({name: MagicMock() for name in ABSENT})
    sys.path += [str(site), str(site / "laion_clap")]
    torch.manual_seed(0)
    for fused in (False, True):
        laion(fused)
    for version in ("2022", "2023"):
        microsoft(version)


if __name__ == "__main__":
    main()
