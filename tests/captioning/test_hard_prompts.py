"""Hard prompts: the nearest words are retrieved, dropped at random in training, and never a caption's own."""

import pytest
import torch
from torch.nn import functional as F

from captioning.bridges import Bridge, BridgeData, BridgesConfig, create_bridge
from captioning.bridges.hard_prompt import pack_lines, unpack_lines
from clapgen.errors import ClapgenError

DIM = 24
LABELS = ["dog", "Bellen, Gebell", "дождь 雨", "wind"]


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def prompts(**settings: object) -> Bridge:
    config = BridgesConfig()
    for key, value in settings.items():
        setattr(config.hard_prompt, key, value)
    bridge = create_bridge("hard-prompt", config, DIM)
    bridge.fit(BridgeData([f"Caption {i}" for i in range(30)], unit(30, DIM), LABELS, unit(4, DIM, seed=1)))
    return bridge


def test_the_nearest_labels_come_first() -> None:
    sounds = unit(5, DIM, seed=2)
    order = (sounds @ unit(4, DIM, seed=1).T).argsort(1, descending=True).tolist()
    assert prompts(count=2).retrieved_words(sounds) == [f"{LABELS[a]}, {LABELS[b]}" for a, b, *_ in order]


@pytest.mark.parametrize("mask", [0.0, 0.4, 1.0])
def test_training_masks_by_chance(mask: float) -> None:
    words = prompts(count=1, dropout=mask).retrieved_words(unit(2000, DIM, seed=2), torch.Generator().manual_seed(0))
    assert words is not None
    assert sum(word == "" for word in words) / 2000 == pytest.approx(mask, abs=0.04)


def test_a_caption_is_not_handed_its_own_words() -> None:
    text, rows = unit(30, DIM), torch.arange(30)
    bridge = prompts(source="captions", count=1, dropout=0.0)
    assert bridge.retrieved_words(text) == [f"Caption {i}" for i in range(30)]
    words = bridge.retrieved_words(text, torch.Generator().manual_seed(0), rows)
    expected = (text @ text.T).fill_diagonal_(-2).argmax(1).tolist()
    assert words == [f"Caption {i}" for i in expected]


def test_captions_that_are_too_near_are_left_out_in_training() -> None:
    text, rows = unit(30, DIM), torch.arange(30)
    words = prompts(source="captions", count=1, dropout=0.0, max_similarity=0.2).retrieved_words(
        text, torch.Generator(), rows
    )
    assert words is not None
    cosines = [float(text[row] @ text[int(word.split()[1])]) for row, word in enumerate(words) if word]
    assert cosines and max(cosines) <= 0.2


def test_a_part_of_the_captions_is_retrieved_from() -> None:
    text, rows = unit(30, DIM), torch.arange(30)
    words = prompts(source="captions", size=10, count=1, dropout=0.0).retrieved_words(text, torch.Generator(), rows)
    assert words is not None
    assert len(set(words)) <= 10 and all(word != f"Caption {row}" for row, word in enumerate(words))


def test_strings_survive_the_buffer() -> None:
    assert unpack_lines(pack_lines(LABELS)) == LABELS
    assert unpack_lines(pack_lines(["two\nlines\there"])) == ["two lines here"]
    assert unpack_lines(pack_lines([])) == []


def test_no_labels_says_which_key_to_set() -> None:
    with pytest.raises(ClapgenError, match="labels=FILE"):
        create_bridge("hard-prompt", BridgesConfig(), DIM).fit(BridgeData(["Rain"], unit(1, DIM)))


def test_names_that_do_not_match_their_embeddings_are_refused() -> None:
    state = prompts().state_dict()
    state["words"] = pack_lines(LABELS[:3])
    with pytest.raises(ClapgenError, match="3 names for 4 embeddings"):
        create_bridge("hard-prompt", BridgesConfig(), DIM).load_state_dict(state)
