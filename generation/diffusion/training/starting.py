"""Train a diffusion model further, also one that was trained with another CLAP."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from clapgen.clap import Clap
from clapgen.errors import ClapgenError
from clapgen.model_store import Model, open_model
from generation.compatibility import ENCODER, TEXT_SIDE, dependency_hash
from generation.diffusion.config import DiffusionConfig
from generation.diffusion.model import DiffusionTransformer

logger = logging.getLogger(__name__)

RIDGE = 0.01
_OWN = ("width", "layers", "heads", "latent_dim", "condition_dim", "max_seconds")


def start_from(model: Model, config: DiffusionConfig, clap: Clap, texts: Sequence[str]) -> DiffusionTransformer:
    """The diffusion network of `model`, to be trained further with these `texts` and this CLAP.

    Weights that the model lacks, such as attention to neighbours, are new, and change nothing until they are trained.
    Where the text side of the CLAP is another than the model's, the conditions that the network knows are predicted
    from the new ones by ridge regression over the texts, and the prediction is put into the first layer of the
    network: it starts with about the sounds that it made before.

    Raises:
        ClapgenError: the model has no diffusion network, other sizes than `config`, or another encoder; it has another
            CLAP and there are too few texts to tell how the two are related.
    """
    folder = open_model(model)
    stored = DiffusionTransformer.from_pretrained(folder)
    known = stored.config
    if other := [name for name in _OWN if getattr(known, name) != getattr(config, name)]:
        name = other[0]
        raise ClapgenError(
            f"start_from={model} has diffusion.{name} {getattr(known, name)}, and this recipe {getattr(config, name)}; "
            "give the recipe the sizes of the model."
        )
    if (known.encoder_hash or dependency_hash(folder, ENCODER)) != config.encoder_hash:
        raise ClapgenError(f"start_from={model} was trained with another encoder; set autoencoder={model}.")
    if (known.text_hash or dependency_hash(folder, TEXT_SIDE)) != config.text_hash:
        _change_conditions(stored, Clap.from_pretrained(folder), clap, sorted(set(texts)))
    network = DiffusionTransformer(config)
    kept = network.state_dict()
    network.load_state_dict(kept | {name: value for name, value in stored.state_dict().items() if name in kept})
    return network


@torch.no_grad()
def _change_conditions(network: DiffusionTransformer, old: Clap, new: Clap, texts: Sequence[str]) -> None:
    if len(texts) < 2:
        raise ClapgenError("the model was trained with another CLAP, and no texts tell how the two are related.")
    weight, bias = map_between(new.embed_text(texts), old.embed_text(texts))
    first = network.condition_embedding[0]
    assert isinstance(first, torch.nn.Linear)
    # conditions are multiplied by the root of their width before this layer
    first.bias.add_(first.weight @ bias * math.sqrt(network.config.condition_dim))
    unconditional = torch.linalg.pinv(weight, rtol=1e-3) @ (network.null_condition - bias)
    first.weight.copy_(first.weight @ weight)
    network.null_condition.copy_(unconditional)


def map_between(source: Tensor, target: Tensor, ridge: float = RIDGE) -> tuple[Tensor, Tensor]:
    """The affine map x → W x + b that predicts `target` (n, dim) from `source` (n, width), rows of the same text.

    Ridge regression around the means, scaled so that the predictions have the mean length of the targets. Returns
    W (dim, width) and b (dim,).
    """
    middle, centre = source.double().mean(0), target.double().mean(0)
    x, y = source.double() - middle, target.double() - centre
    weight = torch.linalg.solve(x.T @ x + ridge * torch.eye(x.shape[1], dtype=x.dtype), x.T @ y).T
    predicted = x @ weight.T + centre
    length = target.double().norm(dim=1).mean() / predicted.norm(dim=1).mean()
    logger.info(
        "the old conditions are predicted from the new ones with a mean cosine of %.3f",
        float(F.cosine_similarity(predicted, target.double()).mean()),
    )
    return (length * weight).float(), (length * (centre - weight @ middle)).float()
