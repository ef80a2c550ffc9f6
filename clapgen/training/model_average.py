"""The mean of the weights of several CLAPs of one architecture: checkpoints of one run, or runs from one start.

Izmailov et al. 2018 (stochastic weight averaging) and Wortsman et al. 2022 (model soups): the mean is often better
than each of them, and costs no more to use. Runs that started from different random weights cannot be averaged.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from clapgen.clap.config import ClapConfig
from clapgen.errors import ClapgenError
from clapgen.model_store import CARD_FILE, load_part, resolve_model, save_part

PART, TOKENIZER = "clap", "tokenizer.json"
AVERAGES = "ema.clap/"  # in checkpoints: what the model folder of the run is written from


def average_claps(sources: Sequence[str | Path], output: Path) -> None:
    """Write a model folder whose CLAP has the mean of the weights, and of the batch norms' statistics, of others.

    Args:
        sources: models (names or folders), or checkpoints of a run (`…/checkpoints/step-…`), of which the moving
            averages are taken; the run must have its `model` folder.

    Raises:
        ClapgenError: fewer than two sources, one that is given twice, missing or damaged, different architectures or
            tokenizers, or `output` exists.
    """
    if len(sources) < 2:
        raise ClapgenError("an average needs at least two models or checkpoints.")
    if output.exists():
        raise ClapgenError(f"{output} already exists; give a new folder.")
    _check_distinct(sources)
    first = _model_of(sources[0])
    config, _ = load_part(first, PART, ClapConfig)
    means: dict[str, Tensor] = {}
    for count, source in enumerate(sources, 1):
        _check_same(sources[0], first, config, source)
        for key, tensor in _weights(source).items():
            if key in means and tensor.is_floating_point():
                means[key] += (tensor - means[key]) / count
            else:
                means[key] = tensor  # the first, or a counter
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}.") as temporary:
        folder = Path(temporary) / output.name
        (folder / PART).mkdir(parents=True)
        shutil.copyfile(first / PART / TOKENIZER, folder / PART / TOKENIZER)
        save_part(folder, PART, config, means)
        lines = "".join(f"- {source}\n" for source in sources)
        (folder / CARD_FILE).write_text(f"# {output.name}\n\nThe mean of the weights of\n\n{lines}", encoding="utf-8")
        shutil.move(folder, output)


def _check_distinct(sources: Sequence[str | Path]) -> None:
    known: set[Path] = set()
    for source in sources:
        path = (Path(source) if _is_checkpoint(source) else resolve_model(source)).resolve()
        if path in known:
            raise ClapgenError(f"{source} is given twice; give each model or checkpoint once.")
        known.add(path)


def _check_same(name: str | Path, first: Path, config: ClapConfig, source: str | Path) -> None:
    model = _model_of(source)
    other, _ = load_part(model, PART, ClapConfig)
    if other != config:
        raise ClapgenError(f"{source} has another architecture than {name}: their clap/config.yaml differ.")
    if (model / PART / TOKENIZER).read_bytes() != (first / PART / TOKENIZER).read_bytes():
        raise ClapgenError(f"{source} has another tokenizer than {name}; average models of one text tower.")


def _is_checkpoint(source: str | Path) -> bool:
    return (Path(source) / "weights.safetensors").is_file()


def _model_of(source: str | Path) -> Path:
    """The model folder that describes the architecture of a source."""
    if not _is_checkpoint(source):
        return resolve_model(source)
    model = Path(source).absolute().parent.parent / "model"
    if not model.is_dir():
        raise ClapgenError(f"{model} is missing; it describes the network of the checkpoint {source}.")
    return model


def _weights(source: str | Path) -> dict[str, Tensor]:
    _, expected = load_part(_model_of(source), PART, ClapConfig)
    if not _is_checkpoint(source):
        return expected
    try:
        with safe_open(Path(source) / "weights.safetensors", "pt") as file:
            keys = [key for key in file.keys() if key.startswith(AVERAGES)]  # noqa: SIM118 (not a dict)
            state = {key.removeprefix(AVERAGES): file.get_tensor(key) for key in keys}
    except (OSError, SafetensorError) as error:
        raise ClapgenError(f"the checkpoint {source} is damaged: {error}") from error
    if {key: tensor.shape for key, tensor in state.items()} != {key: t.shape for key, t in expected.items()}:
        raise ClapgenError(f"the checkpoint {source} does not hold the CLAP of {_model_of(source)}.")
    if not all(bool(torch.isfinite(tensor).all()) for tensor in state.values() if tensor.is_floating_point()):
        raise ClapgenError(f"the checkpoint {source} holds NaN or infinite weights.")
    return state
