"""A pretrained GPT-2 as the captioner's language model; other architectures are refused."""

import json
from pathlib import Path

import pytest
import torch
from captioner_runs import Overrides, changed, weights
from safetensors.torch import load_file
from tiny_captioner import SENTENCES

from captioning.captioner import Captioner
from captioning.training.recipe import run
from clapgen.errors import ClapgenError


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny GPT-2 as written by Hugging Face's save_pretrained."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("gpt2")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    end = "<|endoftext|>"
    trainer = trainers.BpeTrainer(vocab_size=350, special_tokens=[end], initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(SENTENCES, trainer)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=end, eos_token=end, unk_token=end).save_pretrained(
        folder
    )
    size = tokenizer.get_vocab_size() + 6  # padded, as some checkpoints are
    end_id = tokenizer.token_to_id(end)
    sizes = {"n_positions": 128, "n_embd": 12, "n_layer": 1, "n_head": 3}
    torch.manual_seed(0)
    GPT2LMHeadModel(GPT2Config(vocab_size=size, bos_token_id=end_id, eos_token_id=end_id, **sizes)).save_pretrained(
        folder
    )
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("freeze", [False, True])
def test_a_pretrained_gpt2_may_be_trained_or_frozen(
    overrides: Overrides, tmp_path: Path, gpt2: Path, freeze: bool
) -> None:
    for steps in (1, 3):
        more = (f"pretrained={gpt2}", f"freeze={str(freeze).lower()}", f"training.output={tmp_path / str(steps)}")
        run(None, overrides(steps, *more))
    assert changed(tmp_path / "1", tmp_path / "3") == ({"mapper"} if freeze else {"mapper", "language_model"})
    captioner = Captioner.from_pretrained(tmp_path / "3" / "model")
    assert captioner.config.decoder.width == 12 and captioner.config.decoder.positions == 128
    if freeze:
        stored = load_file(gpt2 / "model.safetensors")["transformer.wte.weight"].half()
        assert torch.equal(weights(tmp_path / "3")["decoder.language_model.transformer.wte.weight"], stored)
    captions = captioner.caption_embeddings(captioner.clap.embed_text(SENTENCES))
    assert all(caption.text and "endoftext" not in caption.text for caption in captions)


def test_other_language_models_are_refused(overrides: Overrides, tmp_path: Path, gpt2: Path) -> None:
    for key, value, words in (
        ("model_type", "bert", "is a bert model; a GPT-2 is needed"),
        ("n_inner", 7, "n_inner=7"),
        ("activation_function", "relu", "activation_function=relu"),
    ):
        folder = tmp_path / key
        folder.mkdir()
        for file in gpt2.iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
        config = json.loads((gpt2 / "config.json").read_text()) | {key: value}
        (folder / "config.json").write_text(json.dumps(config))
        with pytest.raises(ClapgenError, match=words):
            run(None, overrides(1, f"pretrained={folder}"))
    with pytest.raises(ClapgenError, match=r"pretrained=.*nowhere cannot be loaded"):
        run(None, overrides(1, f"pretrained={tmp_path / 'nowhere'}"))


def test_pickled_weights_are_refused(overrides: Overrides, tmp_path: Path, gpt2: Path) -> None:
    for file in gpt2.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    torch.save(load_file(tmp_path / "model.safetensors"), tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ClapgenError, match="cannot be loaded"):
        run(None, overrides(1, f"pretrained={tmp_path}"))
