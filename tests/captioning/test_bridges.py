"""Every bridge: one interface, deterministic on audio, and restored from a model folder."""

import math

import pytest
import torch
from torch.nn import functional as F

from captioning.bridges import BRIDGES, BridgeChain, BridgeData, BridgesConfig, create_bridge
from captioning.bridges.noise import add_noise, expected_cosine
from clapgen.errors import ClapgenError
from clapgen.model_store import load_part, save_part

DIM = 24
SENTENCES = 60


def build_chain(names: list[str], config: BridgesConfig, dim: int) -> BridgeChain:
    return BridgeChain([create_bridge(name, config, dim) for name in names])


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def make_data() -> BridgeData:
    """Sentences, and audio embeddings for 40 of them: a constant gap plus noise."""
    text = F.normalize(unit(SENTENCES, DIM) + 0.5 * unit(DIM, seed=1), dim=-1)
    audio = F.normalize(text[:40] + 0.4 * unit(DIM, seed=2) + 0.3 * unit(40, DIM, seed=3), dim=-1)
    labels = [f"label {i}" for i in range(9)]
    return BridgeData([f"Sentence {i}" for i in range(SENTENCES)], text, labels, unit(9, DIM, seed=4), audio, text[:40])


def fitted(*names: str, config: BridgesConfig | None = None) -> BridgeChain:
    chain = build_chain(names, config or BridgesConfig(), DIM)
    chain.fit(make_data())
    return chain


@pytest.mark.parametrize("name", BRIDGES.names())
def test_sounds_are_bridged_without_chance_and_row_by_row(name: str) -> None:
    bridge, sounds = fitted(name), unit(7, DIM, seed=5)
    bridged, words = bridge.audio(sounds)
    again, words_again = bridge.audio(sounds)
    assert torch.equal(bridged, again) and words == words_again
    alone = [bridge.audio(sound[None]) for sound in sounds]
    assert torch.allclose(bridged, torch.cat([embedding for embedding, _ in alone]), atol=1e-5)
    assert words is None or words == [words[0] for _, words in alone]
    assert torch.allclose(bridged.norm(dim=-1), torch.ones(7), atol=1e-5)


@pytest.mark.parametrize("name", BRIDGES.names())
def test_a_model_folder_gives_a_bridge_back(name: str, tmp_path) -> None:
    chain, config = fitted(name), BridgesConfig(names=[name])
    save_part(tmp_path, "captioner", config, chain)
    restored = build_chain([name], *(load_part(tmp_path, "captioner", BridgesConfig)[0], DIM))
    restored.load_state_dict(load_part(tmp_path, "captioner", BridgesConfig)[1])
    sounds = unit(7, DIM, seed=5)
    bridged, words = chain.audio(sounds)
    bridged_again, words_again = restored.audio(sounds)
    assert torch.allclose(bridged, bridged_again, atol=5e-3)  # weights are stored as halves
    assert words == words_again


@pytest.mark.parametrize("name", BRIDGES.names())
def test_training_draws_from_its_generator_alone(name: str) -> None:
    rows = torch.arange(16)
    text, global_state = make_data().text[rows], torch.random.get_rng_state()
    outcomes = []
    for _ in range(2):
        chain, generator = fitted(name), torch.Generator().manual_seed(3)
        seen, words = chain.train_text(text, rows, generator)
        loss = chain.loss(text, rows, generator)
        outcomes.append((seen, words, None if loss is None else loss.detach()))
    assert torch.equal(torch.random.get_rng_state(), global_state)
    assert torch.equal(outcomes[0][0], outcomes[1][0]) and outcomes[0][1] == outcomes[1][1]
    assert outcomes[0][2] is None or torch.equal(outcomes[0][2], outcomes[1][2])
    assert seen.shape == text.shape and torch.allclose(seen.norm(dim=-1), torch.ones(16), atol=1e-5)


@pytest.mark.parametrize("name", BRIDGES.names())
def test_fitting_again_and_loading_a_checkpoint_goes_on_where_it_was(name: str) -> None:
    rows = torch.arange(16)
    chain, text = fitted(name), make_data().text[rows]
    with torch.no_grad():
        for parameter in chain.parameters():
            parameter += 0.01
    resumed = fitted(name)
    resumed.load_state_dict(chain.state_dict())
    seen, again = (c.train_text(text, rows, torch.Generator().manual_seed(1)) for c in (chain, resumed))
    assert torch.equal(seen[0], again[0]) and seen[1] == again[1]


@pytest.mark.parametrize("std", [0.02, 0.1, 0.3])
def test_the_expected_cosine_of_noise_is_what_simulation_gives(std: float) -> None:
    text = unit(2000, 64)
    noisy = add_noise(text, std, torch.Generator().manual_seed(1))
    assert float((noisy * text).sum(-1).mean()) == pytest.approx(expected_cosine(std, 64), abs=0.01)


def test_noise_of_a_given_length_means_the_same_at_every_width() -> None:
    config = BridgesConfig()
    config.noise.std_of_length = 0.75
    cosines = {width: create_bridge("noise", config, width).describe()["expected cosine"] for width in (16, 256, 1024)}
    assert list(cosines.values()) == pytest.approx([0.8] * 3)


def test_calibrated_noise_is_as_long_as_the_pairs_are_apart() -> None:
    text = unit(200, DIM)
    audio = text + 0.2 * torch.sign(unit(200, DIM, seed=1))  # every component is 0.2 off, so is the largest
    bridge = create_bridge("noise-calibrated", BridgesConfig(), DIM)
    bridge.fit(BridgeData([str(i) for i in range(200)], text, audio=audio, paired_text=text))
    assert bridge.describe()["noise variance per dimension"] == pytest.approx(0.04, rel=1e-4)


def test_calibrated_noise_is_the_largest_component_of_each_pair_on_average() -> None:
    text = unit(200, DIM)
    difference = 0.1 * torch.sign(unit(200, DIM, seed=1))
    difference[torch.arange(200), torch.arange(200) % DIM] = 0.3  # neither the mean nor the mean pair's
    bridge = create_bridge("noise-calibrated", BridgesConfig(), DIM)
    bridge.fit(BridgeData([str(i) for i in range(200)], text, audio=text + difference, paired_text=text))
    assert bridge.describe()["noise variance per dimension"] == pytest.approx(0.09, rel=1e-4)


def test_noise_is_added_to_embeddings_of_length_1() -> None:
    text = unit(50, DIM)
    noisy, scaled = (add_noise(scale * text, 0.2, torch.Generator().manual_seed(1)) for scale in (1, 7))
    torch.testing.assert_close(noisy, scaled, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["noise", "soft-prompt", "adapter"])
def test_a_variance_is_the_square_of_the_noise_per_dimension(name: str) -> None:
    config = BridgesConfig()
    for section in (config.noise, config.soft_prompt, config.adapter):
        section.variance = 0.01
    config.soft_prompt.probability = 0.0
    bridge = create_bridge(name, config, DIM)
    assert bridge.describe()["noise variance per dimension"] == pytest.approx(0.01)
    assert bridge.describe()["expected cosine"] == pytest.approx(expected_cosine(0.1, DIM))
    if name != "adapter":
        text = unit(4000, DIM)
        noisy = bridge.augment(text, torch.arange(len(text)), torch.Generator().manual_seed(1))
        assert float((noisy * text).sum(-1).mean()) == pytest.approx(expected_cosine(0.1, DIM), abs=0.005)


def test_mean_shift_closes_a_constant_gap() -> None:
    text = unit(50, DIM) + 0.5 * unit(DIM, seed=1)
    audio = text + 0.6 * unit(DIM, seed=2)
    chain = build_chain(["mean-shift"], BridgesConfig(), DIM)
    chain.fit(BridgeData([str(i) for i in range(50)], text, audio=audio, paired_text=text))
    assert float((F.normalize(audio, dim=-1) * F.normalize(text, dim=-1)).sum(-1).mean()) < 0.95
    assert torch.allclose(chain.audio(audio)[0], chain.text(text), atol=1e-5)


def test_mean_shift_takes_other_contents_for_no_gap() -> None:
    """The training captions are about other content than the audio: only the gap between pairs is removed."""
    text = unit(50, DIM) + unit(DIM, seed=1)
    other = unit(80, DIM, seed=3) + unit(DIM, seed=4)
    audio = text + 0.6 * unit(DIM, seed=2)
    chain = build_chain(["mean-shift"], BridgesConfig(), DIM)
    chain.fit(BridgeData([str(i) for i in range(80)], other, audio=audio, paired_text=text))
    assert torch.allclose(chain.audio(audio)[0], chain.text(text), atol=1e-5)


def test_soft_prompts_draw_related_captions_and_never_the_own() -> None:
    config = BridgesConfig()
    config.soft_prompt.probability, config.soft_prompt.neighbours, config.soft_prompt.variance = 1.0, 3, 0.0
    data = make_data()
    data.captions = [*data.captions[:-1], "Sentence 0"]  # a copy of the first is no other caption
    data.text[-1] = data.text[0]
    chain = build_chain(["soft-prompt"], config, DIM)
    chain.fit(data)
    rows = torch.arange(SENTENCES)
    allowed = (data.text @ data.text[:-1].T).argsort(1, descending=True)
    drawn = set()
    for seed in range(20):
        seen, _ = chain.train_text(data.text, rows, torch.Generator().manual_seed(seed))
        indices = (seen @ data.text[:-1].T).argmax(1)
        assert torch.allclose(seen, data.text[indices], atol=1e-5)
        for row in range(SENTENCES - 1):
            assert int(indices[row]) in allowed[row, 1:4].tolist()
        drawn.add(int(indices[5]))
    assert drawn == set(allowed[5, 1:4].tolist())


def test_soft_prompts_of_chance_zero_are_noise() -> None:
    config = BridgesConfig()
    config.soft_prompt.probability = 0.0
    text, rows = make_data().text, torch.arange(SENTENCES)
    seen, _ = fitted("soft-prompt", config=config).train_text(text, rows, torch.Generator().manual_seed(0))
    cosine = float((seen * text).sum(-1).mean())
    assert cosine == pytest.approx(expected_cosine(math.sqrt(config.soft_prompt.variance), DIM), abs=0.01)


@pytest.mark.slow
def test_an_adapter_learns_to_undo_noise_and_brings_shifted_sounds_nearer() -> None:
    """Sentences lie in 4 of 24 dimensions; the noise and the shift of the audio lie in all."""
    basis = torch.linalg.qr(torch.randn(DIM, 4, generator=torch.Generator().manual_seed(8)))[0]
    text = F.normalize(unit(500, 4) @ basis.T, dim=-1)
    sounds = F.normalize(text + 0.8 * unit(DIM, seed=9), dim=-1)
    config = BridgesConfig()
    config.adapter.variance, config.adapter.width = 0.02, 64
    chain = build_chain(["adapter"], config, DIM)
    optimizer, generator = torch.optim.Adam(chain.parameters(), 1e-3), torch.Generator().manual_seed(0)
    for _ in range(200):
        rows = torch.randint(500, (64,), generator=generator)
        loss = chain.loss(text[rows], rows, generator)
        assert loss is not None
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    before, after = ((side * text).sum(-1).mean() for side in (sounds, chain.audio(sounds)[0]))
    assert float(after) > float(before) + 0.05


@pytest.mark.parametrize("names", [("noise", "memory"), ("mean-shift", "noise", "memory"), ("mean-shift", "diffusion")])
def test_bridges_compose(names: tuple[str, ...]) -> None:
    data, chain = make_data(), fitted(*names)
    assert chain.names == list(names)
    assert data.audio is not None and data.paired_text is not None
    bridged, _ = chain.audio(data.audio)
    seen, _ = chain.train_text(data.text[:8], torch.arange(8), torch.Generator().manual_seed(0))
    assert seen.shape == (8, DIM) and bridged.shape == data.audio.shape
    if names[-1] == "memory":
        before = (data.audio * data.paired_text).sum(-1).mean()
        assert float((bridged * chain.text(data.paired_text)).sum(-1).mean()) > float(before)


def test_an_unknown_bridge_names_the_nearest() -> None:
    with pytest.raises(ClapgenError, match=r"unknown bridge 'memroy'.*Did you mean 'memory'"):
        build_chain(["memroy"], BridgesConfig(), DIM)


@pytest.mark.parametrize("name", ["noise-calibrated", "mean-shift"])
def test_what_needs_sounds_says_which_key_to_set(name: str) -> None:
    data = make_data()
    data.audio = data.paired_text = None
    chain = build_chain([name], BridgesConfig(), DIM)
    with pytest.raises(ClapgenError, match=f"'{name}'.*pairs=MANIFEST"):
        chain.fit(data)


@pytest.mark.parametrize(
    ("bridge", "section", "key", "value"),
    [
        ("noise", "noise", "variance", -0.1),
        ("noise", "noise", "std_of_length", float("nan")),
        ("noise-calibrated", "noise_calibrated", "pairs", 0),
        ("adapter", "adapter", "width", 0),
        ("memory", "memory", "temperature", 0.0),
        ("memory", "memory", "top_k", -1),
        ("soft-prompt", "soft_prompt", "probability", 1.5),
        ("soft-prompt", "soft_prompt", "neighbours", 0),
        ("hard-prompt", "hard_prompt", "count", 0),
        ("hard-prompt", "hard_prompt", "dropout", 2.0),
        ("hard-prompt", "hard_prompt", "source", "lables"),
        ("diffusion", "diffusion", "start", 1001),
        ("diffusion", "diffusion", "sampling_steps", 0),
        ("diffusion", "diffusion", "signal_to_noise", 0.0),
        ("diffusion", "diffusion", "noise_step", 2),
    ],
)
def test_a_setting_out_of_range_is_named(bridge: str, section: str, key: str, value: object) -> None:
    config = BridgesConfig()
    setattr(getattr(config, section), key, value)
    with pytest.raises(ClapgenError, match=rf"bridges\.{section}\.{key} is "):
        create_bridge(bridge, config, DIM)


@pytest.mark.parametrize("name", ["mean-shift", "diffusion"])
def test_copies_of_one_caption_have_no_distribution(name: str) -> None:
    text = unit(1, DIM).expand(5, -1)
    data = BridgeData(["Rain"] * 5, text, audio=unit(5, DIM, seed=1), paired_text=text)
    with pytest.raises(ClapgenError, match="different captions"):
        build_chain([name], BridgesConfig(), DIM).fit(data)


def test_noise_is_relative_to_the_direction_of_an_embedding_not_to_its_length() -> None:
    text = unit(8, DIM)
    noisy = [add_noise(length * text, 0.1, torch.Generator().manual_seed(1)) for length in (1.0, 5.0)]
    assert torch.allclose(noisy[0], noisy[1], atol=1e-6)


@pytest.mark.parametrize("name", ["noise", "adapter", "soft-prompt"])
def test_the_variance_of_a_recipe_is_the_variance_of_the_noise(name: str) -> None:
    config = BridgesConfig()
    for section in (config.noise, config.adapter, config.soft_prompt):
        section.variance = 0.02
    described = create_bridge(name, config, DIM).describe()
    assert described["noise variance per dimension"] == pytest.approx(0.02)


def test_calibrated_noise_does_not_cancel_where_pairs_differ_in_opposite_directions() -> None:
    text, signs = unit(30, DIM), torch.tensor([1.0, -1.0]).repeat(15)[:, None]
    bridge = create_bridge("noise-calibrated", BridgesConfig(), DIM)
    audio = text + 0.3 * signs * torch.eye(DIM)[0]
    bridge.fit(BridgeData([str(i) for i in range(30)], text, audio=audio, paired_text=text))
    assert bridge.describe()["noise variance per dimension"] == pytest.approx(0.09, rel=1e-4)
