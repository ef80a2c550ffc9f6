"""CLAPs from their authors' files give what their authors' code gave for them (benchmarks/original_claps.py)."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from seeded_weights import original, seeded_state, sound

from clapgen.embedders import load_clap, load_embedder
from clapgen.embedders.public import pooled
from clapgen.errors import ClapgenError

NAMES = ("laion_unfused", "laion_fused", "microsoft_2022", "microsoft_2023")
WORDS = {
    "<s>": 0,
    "<pad>": 1,
    "</s>": 2,
    "!": 3,
    "<unk>": 4,
    "rain": 5,
    "wind": 6,
    "a": 7,
    "dog": 8,
    "<|endoftext|>": 9,
}


def tokenizer(folder: Path, first: str = "<s>") -> None:
    """A tokenizer of ten words; `first` is number 0."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {word: number for number, word in enumerate(WORDS)}
    words |= {"<s>": words[first], first: 0}
    table = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    table.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(tokenizer_object=table, pad_token="<pad>", unk_token="<unk>")
    fast.save_pretrained(folder)


def checkpoint(name: str, folder: Path) -> Path:
    """A file as its authors publish it, with all that theirs holds."""
    state: dict[str, Any] = seeded_state(original(name)["shapes"])
    folder.mkdir(parents=True, exist_ok=True)
    if name.startswith("laion"):
        file = folder / f"{name}.pt"
        state = {f"module.{key}": tensor for key, tensor in state.items()}
        torch.save({"epoch": 3, "name": name, "state_dict": state, "best": np.float64(0.5), "optimizer": {}}, file)
    else:
        file = folder / f"{name}.pth"
        torch.save({"model": state}, file)
    tokenizer(folder, "!" if name == "microsoft_2023" else "<s>")
    return file


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CLAPGEN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize("name", NAMES)
def test_embeddings_are_those_of_the_original_code(name: str, tmp_path: Path) -> None:
    expected, embedder = original(name), load_clap(checkpoint(name, tmp_path))
    rate = embedder.sample_rate
    audio = embedder.embed_audio([sound(each, rate, seed) for seed, each in enumerate(expected["seconds"])], rate)
    np.testing.assert_allclose(audio, unit(expected["audio"]), atol=1e-4)
    ids = torch.tensor(expected["tokens"])
    mask = ids.ne(0 if name == "microsoft_2023" else 1).long()
    with torch.no_grad():
        text = embed_ids(embedder, ids, mask)
    np.testing.assert_allclose(unit(text), unit(expected["text"]), atol=1e-4)
    assert embedder.logit_scale.item() == pytest.approx(expected["scale"], rel=1e-5)
    spread = torch.tensor(unit(expected["audio"]))
    assert (spread[0] @ spread[1]).abs() < 0.999  # or agreement would prove little


def embed_ids(embedder: Any, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    if hasattr(embedder, "embed_token_ids"):
        return embedder.embed_token_ids(ids, mask)
    return pooled(embedder.network.get_text_features(input_ids=ids, attention_mask=mask))


def unit(rows: Any) -> np.ndarray:
    table = np.asarray(rows, dtype=np.float32)
    return table / np.linalg.norm(table, axis=1, keepdims=True)


def test_microsofts_text_is_read_where_it_ends(tmp_path: Path) -> None:
    """2023 appends the end of text and takes its state; a "!" within the text counts as padding, as in the original."""
    embedder: Any = load_clap(checkpoint("microsoft_2023", tmp_path))
    ids = torch.tensor([[7, 8, 9, 0]])
    with torch.no_grad():
        plain = embedder.embed_token_ids(ids, ids.ne(0).long())
        states = embedder.network.caption_encoder.base(input_ids=torch.tensor([[7, 0, 8, 9]]))[0]
        with_mark = embedder.network.caption_encoder.projection(states[:, 2])
    np.testing.assert_allclose(embedder.embed_text(["a dog"]), unit(plain), atol=1e-5)
    np.testing.assert_allclose(embedder.embed_text(["a ! dog", "a dog a dog"])[:1], unit(with_mark), atol=1e-5)
    assert embedder.count_tokens(["a dog"]) == [3]
    assert embedder.max_tokens == 77


@pytest.mark.parametrize("name", ["laion_fused", "microsoft_2022", "microsoft_2023"])
def test_a_file_is_converted_once_and_saves_again(
    name: str, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = checkpoint(name, tmp_path / "published")
    first: Any = load_clap(file)
    [folder] = (cache / "checkpoints").iterdir()
    assert {"config.json", "model.safetensors"} <= {each.name for each in folder.iterdir()}
    from clapgen.embedders import pickles

    monkeypatch.setattr(type(first), "_write", None)  # what converts
    again = load_clap(file)
    assert again.hash == first.hash
    first.save_pretrained(tmp_path / "saved")
    saved = load_clap(tmp_path / "saved")
    clip = sound(1.7, first.sample_rate)
    for other in (again, saved, load_embedder(str(tmp_path / "published")), load_embedder(f"{first.kind}:{file}")):
        assert torch.equal(other.embed_audio([clip], first.sample_rate), first.embed_audio([clip], first.sample_rate))
    assert torch.equal(saved.embed_text(["a dog"]), first.embed_text(["a dog"]))
    assert pickles.LAYOUT_VERSION == 1


class Harmful:
    def __reduce__(self) -> Any:
        return (exec, ("open('has-run', 'w')",))


def test_code_in_a_pickle_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": {"a": torch.zeros(1)}, "more": Harmful()}, tmp_path / "zip.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Harmful(), protocol=2))
    (tmp_path / "new.pt").write_bytes(pickle.dumps(Harmful()))
    torch.save({"a": torch.zeros(1), "b": Harmful()}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    for name in ("zip.pt", "plain.pt", "old.pt"):
        with pytest.raises(ClapgenError, match=r"refused: it holds .*exec.* could run code"):
            load_clap(tmp_path / name)
    with pytest.raises(ClapgenError, match="refused"):
        load_clap(tmp_path / "new.pt")
    assert not (tmp_path / "has-run").exists()


def test_files_that_are_no_claps_are_named(tmp_path: Path) -> None:
    whole = checkpoint("laion_unfused", tmp_path)
    bad = tmp_path / "bad.pt"

    def refusal(words: str, name: str = str(bad)) -> None:
        with pytest.raises(ClapgenError, match=words):
            load_clap(name)

    bad.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    refusal("truncated or damaged")
    bad.write_text("not a checkpoint")
    refusal("bad.pt is refused")
    bad.write_bytes(b"")
    refusal("bad.pt is")
    torch.save({"weight": torch.zeros(2)}, bad)
    refusal("not those of a CLAP")
    torch.save([1, 2], bad)
    refusal("no weights by name")
    state = torch.load(whole, weights_only=False)["state_dict"]
    torch.save({key: each for key, each in state.items() if "layers.1.blocks.0.norm1" not in key}, bad)
    refusal("missing")
    torch.save(state | {"module.text_projection.0.weight": torch.zeros(24, 60)}, bad)
    refusal("other shapes")
    refusal("holds 2 checkpoints", str(tmp_path))
    refusal("cannot be loaded as 'msclap'", f"msclap:{whole}")


def test_short_names_of_microsofts_models_are_files_on_the_hub() -> None:
    from clapgen.embedders import needs_hub

    assert needs_hub("msclap:2023")
    assert needs_hub("microsoft/msclap/CLAP_weights_2022.pth")
    assert needs_hub("lukewys/laion_clap/630k-audioset-best.pt")
