"""A tiny LAION CLAP with random weights, in the published format."""

from pathlib import Path

import torch


def laion(folder: Path, fusion: bool = False, depth: int = 1) -> Path:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import ClapConfig, ClapFeatureExtractor, ClapModel, PreTrainedTokenizerFast

    torch.manual_seed(0)
    audio = {
        "patch_embeds_hidden_size": 16,
        "hidden_size": 32,
        "depths": [depth, depth],
        "num_attention_heads": [2, 2],
        "num_hidden_layers": 2,
        "num_mel_bins": 64,
        "spec_size": 256,
        "window_size": 4,
        "enable_fusion": fusion,
    }
    text = {
        "vocab_size": 8,
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
        "pad_token_id": 1,
        "max_position_embeddings": 90,
    }
    config = ClapConfig(text_config=text, audio_config=audio, projection_dim=24)
    ClapModel(config).eval().save_pretrained(folder)
    ClapFeatureExtractor(
        max_length_s=1, truncation="fusion" if fusion else "rand_trunc", padding="repeatpad", frequency_min=50
    ).save_pretrained(folder)
    words = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "rain": 4, "wind": 5, "a": 6, "dog": 7}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>")
    fast.save_pretrained(folder)
    return folder
