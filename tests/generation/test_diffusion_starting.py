"""Training a diffusion model further: with its own CLAP, and with another whose embeddings are related to the old."""

import dataclasses
import json

import pytest
import torch
from torch.nn import functional as F

from clapgen.clap import Clap
from clapgen.errors import ClapgenError
from clapgen.testing import tiny_model
from generation.diffusion.training.recipe import DiffusionRecipe, DiffusionTask
from generation.diffusion.training.starting import map_between
from generation.pipeline import TextToAudio

TEXTS = [f"{what} {where}" for what in ["a dog barks", "rain falls", "a bell rings", "wind"] for where in "abcdefgh"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("starting") / "model")


@pytest.fixture
def recipe(model, tmp_path, recordings) -> DiffusionRecipe:
    lines = [{"path": str(path), "captions": TEXTS} for path in recordings]
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return DiffusionRecipe(
        manifest=str(tmp_path / "m.jsonl"),
        cache=str(tmp_path / "cache"),
        latents=str(tmp_path / "latents"),
        autoencoder=str(model),
        clap=str(model),
        start_from=str(model),
        crop_seconds=[1.0],
        diffusion=TextToAudio.from_pretrained(model).network.config,
    )


def turned(model, folder):
    """A CLAP whose embeddings are those of `model`, turned: another one that says the same."""
    clap = Clap.from_pretrained(model)
    turn = torch.linalg.qr(torch.randn(clap.dim, clap.dim, generator=torch.Generator().manual_seed(0)))[0]
    for projection in (clap.audio_projection, clap.text_projection):
        last = projection[-1]
        last.weight.data = turn @ last.weight.data
        if last.bias is not None:
            last.bias.data = turn @ last.bias.data
    clap.save_pretrained(folder)
    return str(folder)


def velocity(network, condition):
    generator = torch.Generator().manual_seed(1)
    latents = torch.randn(len(condition), network.config.latent_dim, 20, generator=generator)
    with torch.no_grad():
        return network(latents, torch.full((len(condition),), 0.5), condition, torch.full((len(condition),), 1.0))


def test_with_its_own_clap_the_network_is_as_it_was(recipe, model):
    network = DiffusionTask(recipe).network
    before = TextToAudio.from_pretrained(model).network.state_dict()
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_with_another_clap_it_makes_of_a_sentence_what_it_made_before(recipe, model, tmp_path):
    other = turned(model, tmp_path / "other")
    task = DiffusionTask(dataclasses.replace(recipe, clap=other))
    old, new = Clap.from_pretrained(model).embed_text(TEXTS), task.clap.embed_text(TEXTS)
    weight, bias = map_between(new, old)
    assert float(F.cosine_similarity(new, old).mean()) < 0.9  # the two spaces differ
    assert torch.allclose(new @ weight.T + bias, old, atol=0.02)
    stored = TextToAudio.from_pretrained(model).network
    expected, found = velocity(stored, old), velocity(task.network, new)
    assert float((found - expected).square().mean() / expected.square().mean()) < 1e-3
    unchanged = velocity(stored, new)
    assert float((unchanged - expected).square().mean() / expected.square().mean()) > 1e-2


def test_a_map_between_spaces_is_found_again():
    generator = torch.Generator().manual_seed(0)
    source = torch.randn(400, 12, generator=generator)
    weight, bias = torch.randn(9, 12, generator=generator), torch.randn(9, generator=generator)
    found, moved = map_between(source, source @ weight.T + bias, ridge=1e-6)
    assert torch.allclose(found, weight, atol=1e-3) and torch.allclose(moved, bias, atol=1e-3)


def test_other_sizes_are_refused_by_name(recipe, model):
    wider = dataclasses.replace(recipe.diffusion, layers=7)
    with pytest.raises(ClapgenError, match=r"diffusion.layers \d+, and this recipe 7"):
        DiffusionTask(dataclasses.replace(recipe, diffusion=wider))
