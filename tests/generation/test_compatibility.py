"""Parts of a model fit if what one depends on in the other is the same; the rest may be trained further."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from clapgen.clap import Clap
from clapgen.errors import ClapgenError
from clapgen.model_store import copy_part, save_part, verify_model
from clapgen.testing import tiny_model
from generation.autoencoder import Autoencoder
from generation.compatibility import misfits
from generation.diffusion import DiffusionTransformer
from generation.joining import join_parts
from generation.pipeline import TextToAudio

Changed = Callable[..., Path]


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("models") / "original")


@pytest.fixture
def changed(original: Path, tmp_path: Path) -> Changed:
    """A copy of the model in which one weight of one part is another."""

    def change(part: str, weight: str) -> Path:
        folder = tmp_path / weight
        for each in ("clap", "autoencoder", "diffusion"):
            copy_part(original, folder, each)
        module = Clap.from_pretrained(original) if part == "clap" else Autoencoder.from_pretrained(original)
        with torch.no_grad():
            module.state_dict()[weight].add_(0.5)
        if isinstance(module, Clap):
            module.save_pretrained(folder)
        else:
            save_part(folder, part, module.config, module)
        return folder

    return change


@pytest.mark.parametrize(
    ("part", "weight"),
    [("clap", "audio_projection.0.bias"), ("clap", "log_logit_scale"), ("autoencoder", "decoder.head.bias")],
)
def test_what_nothing_depends_on_may_be_trained_further(changed: Changed, part: str, weight: str) -> None:
    folder = changed(part, weight)
    assert misfits(folder) == []
    assert len(TextToAudio.from_pretrained(folder).generate(["rain"], seconds=0.5, num_steps=1)) == 1


@pytest.mark.parametrize(
    ("part", "weight", "words"),
    [
        ("clap", "text_projection.0.bias", "text side"),
        ("clap", "text_tower.norm.bias", "text side"),
        ("autoencoder", "encoder.norm.bias", "encoder"),
        ("autoencoder", "latent_scale.std", "encoder"),
    ],
)
def test_what_a_diffusion_model_depends_on_may_not(changed: Changed, part: str, weight: str, words: str) -> None:
    folder = changed(part, weight)
    assert len(misfits(folder)) == 1
    with pytest.raises(ClapgenError, match=f"was trained with {part} .*{words}"):
        TextToAudio.from_pretrained(folder)


def test_another_tokenizer_does_not_fit(original: Path, tmp_path: Path) -> None:
    clap = Clap.from_pretrained(original)
    clap.tokenizer.add_tokens(["drizzle"])
    with torch.no_grad():  # other audio weights, so that the whole part is another
        clap.audio_projection[0].bias += 1
    for part in ("autoencoder", "diffusion"):
        copy_part(original, tmp_path / "other", part)
    clap.save_pretrained(tmp_path / "other")
    assert "text side" in misfits(tmp_path / "other")[0]


def without_shares(folder: Path) -> None:
    """As an earlier version saved it: only the hashes of whole parts."""
    network = DiffusionTransformer.from_pretrained(folder)
    network.config.text_hash = network.config.encoder_hash = ""
    save_part(folder, "diffusion", network.config, network)


def test_join_makes_an_earlier_diffusion_model_fit(original: Path, changed: Changed, tmp_path: Path) -> None:
    earlier = tmp_path / "earlier"
    for part in ("clap", "autoencoder", "diffusion"):
        copy_part(original, earlier, part)
    without_shares(earlier)
    TextToAudio.from_pretrained(earlier)  # whole parts that are the same fit

    further = changed("clap", "audio_projection.0.bias")
    decoder = changed("autoencoder", "decoder.head.bias")
    copy_part(earlier, further, "diffusion")
    with pytest.raises(ClapgenError, match="clapgen models join"):
        TextToAudio.from_pretrained(further)

    join_parts({"clap": further, "autoencoder": decoder, "diffusion": earlier}, tmp_path / "joined")
    assert not any(check.problem for check in verify_model(tmp_path / "joined"))
    model = TextToAudio.from_pretrained(tmp_path / "joined")
    assert model.clap.hash == Clap.from_pretrained(further).hash
    assert str(further) in (tmp_path / "joined" / "MODEL_CARD.md").read_text()


def test_what_does_not_fit_is_not_joined(original: Path, changed: Changed, tmp_path: Path) -> None:
    other = changed("clap", "text_projection.0.bias")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ClapgenError, match=r"do not fit.*text side"):
        join_parts({"clap": other, "autoencoder": original, "diffusion": original}, tmp_path / "joined")
    assert sorted(tmp_path.iterdir()) == before
    with pytest.raises(ClapgenError, match="already exists"):
        join_parts({"clap": original}, other)
