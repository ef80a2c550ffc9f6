"""`clapgen models average`: the mean of weights and statistics, and one line for what cannot be averaged."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from command_line import Result, assert_one_line

from clapgen.clap import Clap
from clapgen.testing import tiny_model
from clapgen.training.checkpoints import save_checkpoint

Command = Callable[..., Result]


@pytest.fixture
def claps(tmp_path: Path) -> list[Clap]:
    """Three saved models of one architecture, "0", "1" and "2", with different batch norm statistics."""
    found = []
    for seed in range(3):
        folder = tiny_model(tmp_path / str(seed), seed)
        clap = Clap.from_pretrained(folder)
        for key, buffer in clap.named_buffers():
            if key.endswith(("running_mean", "running_var")):
                buffer.fill_(seed + 1)
        clap.save_pretrained(folder)
        found.append(Clap.from_pretrained(folder))
    return found


def test_the_average_of_models_is_the_mean_of_weights_and_statistics(
    clapgen: Command, tmp_path: Path, claps: list[Clap]
) -> None:
    target = tmp_path / "mean"
    assert clapgen("models", "average", *(tmp_path / str(i) for i in range(3)), "-o", target).code == 0
    mean = Clap.from_pretrained(target).state_dict()
    statistics = 0
    for key, tensor in mean.items():
        if tensor.is_floating_point():
            expected = torch.stack([clap.state_dict()[key] for clap in claps]).mean(0)
            torch.testing.assert_close(tensor, expected, atol=1e-3, rtol=1e-3)
        if key.endswith("running_var"):
            statistics += 1
            assert (tensor == 2).all()
    assert statistics
    assert clapgen("models", "verify", target).code == 0
    assert len(Clap.from_pretrained(target).embed_text(["rain"])[0]) == claps[0].dim


def test_checkpoints_are_averaged_by_their_moving_averages(clapgen: Command, tmp_path: Path, claps: list[Clap]) -> None:
    shutil.copytree(tmp_path / "0", tmp_path / "run/model")
    for step, clap in enumerate(claps):
        noise = {key: torch.full_like(tensor, 9) for key, tensor in clap.state_dict().items()}
        tensors = {"network.clap": noise, "ema.clap": clap.state_dict(), "ema.objectives": {"weight": torch.zeros(1)}}
        save_checkpoint(tmp_path / "run/checkpoints", step, tensors, {}, {}, keep=3)
    checkpoints = sorted((tmp_path / "run/checkpoints").iterdir())
    assert clapgen("models", "average", *checkpoints, "-o", tmp_path / "a").code == 0
    assert clapgen("models", "average", *(tmp_path / str(i) for i in range(3)), "-o", tmp_path / "b").code == 0
    texts = ["rain on a tin roof"]
    one, two = (Clap.from_pretrained(tmp_path / name).embed_text(texts) for name in "ab")
    torch.testing.assert_close(one, two, atol=1e-3, rtol=0)


def test_what_cannot_be_averaged_is_one_line_and_writes_nothing(
    clapgen: Command, tmp_path: Path, claps: list[Clap]
) -> None:
    target = tmp_path / "mean"
    config = tmp_path / "2/clap/config.yaml"
    config.write_text(config.read_text().replace("dropout: 0.2", "dropout: 0.3"))
    clapgen("models", "verify", tmp_path / "2", "--record")
    tokenizer = tmp_path / "1/clap/tokenizer.json"
    tokenizer.write_text(tokenizer.read_text() + "\n")
    clapgen("models", "verify", tmp_path / "1", "--record")
    shutil.copytree(tmp_path / "0", tmp_path / "run/model")
    tensors = {"ema.clap": {"weight": torch.zeros(2)}}
    checkpoint = save_checkpoint(tmp_path / "run/checkpoints", 1, tensors, {}, {}, keep=3)
    stray = save_checkpoint(tmp_path / "elsewhere/checkpoints", 1, tensors, {}, {}, keep=3)
    for sources, words in (
        (["0"], ["at least two"]),
        (["0", "../" + tmp_path.name + "/0"], ["is given twice"]),
        (["0", "2"], ["another architecture"]),
        (["0", "1"], ["another tokenizer"]),
        (["0", "nowhere"], ["nowhere"]),
        (["0", checkpoint], ["does not hold the CLAP"]),
        (["0", stray], ["model is missing"]),
    ):
        paths = [tmp_path / source for source in sources]
        assert_one_line(clapgen("models", "average", *paths, "-o", target), *words)
        assert not target.exists()
    assert_one_line(clapgen("models", "average", tmp_path / "0", tmp_path / "0", "-o", tmp_path / "0"), "exists")
