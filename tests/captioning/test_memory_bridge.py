"""The text memory: its contents, and its temperature, from the nearest sentence to the mean of all."""

import pytest
import torch
from torch.nn import functional as F

from captioning.bridges import BridgeData, BridgesConfig, create_bridge
from captioning.bridges.memory import MemoryBridge
from captioning.bridges.neighbours import cosine_blocks, nearest_others
from clapgen.errors import ClapgenError

DIM = 24


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def remember(text: torch.Tensor, name: str = "memory", **settings: object) -> MemoryBridge:
    config = BridgesConfig()
    for key, value in settings.items():
        setattr(config.memory, key, value)
    bridge = create_bridge(name, config, DIM)
    bridge.fit(BridgeData([str(i) for i in range(len(text))], text))
    assert isinstance(bridge, MemoryBridge)
    return bridge


def test_a_low_temperature_is_the_nearest_neighbour() -> None:
    text, sounds = unit(300, DIM), unit(20, DIM, seed=1)
    nearest = remember(text, "nearest").audio(sounds)
    assert torch.allclose(nearest, text[(sounds @ text.T).argmax(1)], atol=1e-6)
    assert torch.allclose(remember(text, temperature=1e-5).audio(sounds), nearest, atol=1e-4)
    assert torch.allclose(remember(text, top_k=1).audio(sounds), nearest, atol=1e-6)


def test_a_high_temperature_is_the_mean_of_all() -> None:
    text, sounds = unit(300, DIM), unit(20, DIM, seed=1)
    projected = remember(text, temperature=1e6, normalise=False).audio(sounds)
    assert torch.allclose(projected, text.mean(0).expand(20, -1), atol=1e-5)


def test_the_projection_is_the_papers_formula() -> None:
    text, sounds = unit(300, DIM), unit(20, DIM, seed=1)
    expected = (100 * sounds @ text.T).softmax(-1) @ text
    assert torch.allclose(remember(text, temperature=0.01, normalise=False).audio(sounds), expected, atol=1e-5)
    assert torch.allclose(remember(text, temperature=0.01).audio(sounds), F.normalize(expected, dim=-1), atol=1e-5)


def test_top_k_of_all_is_no_top_k() -> None:
    text, sounds = unit(30, DIM), unit(20, DIM, seed=1)
    assert torch.allclose(remember(text, top_k=29).audio(sounds), remember(text).audio(sounds), atol=0.05)
    assert torch.equal(remember(text, top_k=30).audio(sounds), remember(text).audio(sounds))


@pytest.mark.parametrize("name", ["memory", "nearest"])
def test_a_memory_of_one_sentence_says_that_sentence(name: str) -> None:
    text = unit(1, DIM)
    assert torch.allclose(remember(text, name).audio(unit(5, DIM, seed=1)), text.expand(5, -1), atol=1e-6)


def test_no_sentence_is_refused() -> None:
    with pytest.raises(ClapgenError, match="text=FILE"):
        remember(unit(0, DIM))


def test_copies_are_remembered_once_and_the_size_is_kept_to() -> None:
    text = unit(50, DIM)
    bridge = create_bridge("memory", BridgesConfig(), DIM)
    bridge.fit(BridgeData([str(i % 10) for i in range(50)], text[torch.arange(50) % 10]))
    assert bridge.describe()["sentences in memory"] == 10
    small, again = remember(text, size=20), remember(text, size=20)
    assert small.memory.shape == (20, DIM) and torch.equal(small.memory, again.memory)
    kept = (small.memory @ text.T).argmax(1)
    assert len(kept.unique()) == 20 and torch.equal(small.memory, text[kept])


def test_a_memory_holds_the_rows_it_is_given() -> None:
    text, rows = unit(50, DIM), torch.tensor([3, 30, 12])
    bridge = create_bridge("memory", BridgesConfig(), DIM)
    bridge.fit(BridgeData([str(i) for i in range(50)], text, memory_rows=rows))
    assert torch.equal(bridge.state_dict()["memory"], text[rows])
    with pytest.raises(ClapgenError, match="no sentence to store"):
        bridge.fit(BridgeData([str(i) for i in range(50)], text, memory_rows=rows[:0]))


def test_blocks_are_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    queries, memory = unit(37, DIM), unit(50, DIM, seed=1)
    monkeypatch.setattr("captioning.bridges.neighbours.CELLS_PER_BLOCK", 400)
    blocks = list(cosine_blocks(queries, memory))
    assert len(blocks) == 5
    assert torch.allclose(torch.cat([cosines for _, cosines in blocks]), queries @ memory.T, atol=1e-6)
    expected = (queries @ queries.T).fill_diagonal_(-2).topk(4).indices
    assert torch.equal(nearest_others(queries, 4), expected)


def test_bf16_training_does_not_blur_the_memory() -> None:
    text, sounds = unit(300, DIM), unit(20, DIM, seed=1)
    bridge = remember(text)
    plain = bridge.audio(sounds)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.allclose(bridge.audio(sounds), plain, atol=1e-6)


def test_a_sentence_weighs_as_much_as_it_is_drawn() -> None:
    text = unit(3, DIM)
    bridge = create_bridge("memory", BridgesConfig(), DIM)
    bridge.fit(BridgeData(["a", "b", "b", "c"], text[[0, 1, 1, 2]], weights=torch.tensor([1.0, 3.0, 2.0, 4.0])))
    query = unit(1, DIM, seed=5)
    weights = torch.tensor([1.0, 5.0, 4.0]) * (query @ text.T / bridge.config.temperature).exp()[0]
    expected = F.normalize(weights @ text, dim=-1)
    torch.testing.assert_close(bridge.audio(query)[0], expected, atol=1e-5, rtol=1e-5)


def test_what_a_small_memory_keeps_is_drawn_by_weight() -> None:
    text = unit(1000, DIM)
    config = BridgesConfig()
    config.memory.size = 200
    weights = torch.ones(1000)
    weights[:100] = 10_000.0
    bridge = create_bridge("memory", config, DIM)
    bridge.fit(BridgeData([str(i) for i in range(1000)], text, weights=weights))
    assert len(bridge.memory) == 200
    torch.testing.assert_close(bridge.memory[:100], text[:100])
