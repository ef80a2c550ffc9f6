"""The decoder: a caption depends on its own row only, has whole words, and has the loss of a plain loop."""

import pytest
import torch
from tiny_captioner import SENTENCES, taught_decoder, tiny_decoder
from torch.nn import functional as F

from captioning.decoder import CaptionDecoder, DecoderConfig, Vocabulary, train_vocabulary
from captioning.decoder.mapper import MAPPERS
from captioning.decoder.vocabulary import left_padded, right_padded
from captioning.decoding import Decoding, check_decoding
from clapgen.errors import ClapgenError

DIM = 16
RETRIEVED = ["dog", "", "rain, wind, church bells, thunder", "birds, water"]
WAYS = {
    "beam": Decoding(max_tokens=10),
    "greedy": Decoding(method="greedy", max_tokens=10),
    "nucleus": Decoding(method="nucleus", max_tokens=10, seed=3),
}


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


@pytest.fixture(scope="module")
def decoder() -> CaptionDecoder:
    return taught_decoder(unit(len(SENTENCES), DIM))


@pytest.mark.parametrize("retrieved", [None, RETRIEVED], ids=["plain", "retrieved"])
@pytest.mark.parametrize("way", WAYS)
def test_a_caption_does_not_depend_on_what_else_is_in_the_batch(
    decoder: CaptionDecoder, way: str, retrieved: list[str] | None
) -> None:
    embeddings, count = unit(4, DIM), 1 if way == "greedy" else 3
    together = decoder.generate(embeddings, retrieved, WAYS[way], count)
    for row in range(4):
        own = None if retrieved is None else retrieved[row : row + 1]
        assert decoder.generate(embeddings[row : row + 1], own, WAYS[way], count) == together[row : row + 1]
    assert len({captions[0] for captions in together}) > 1  # the embedding matters
    assert all(len(captions) == count for captions in together)


def test_retrieved_words_matter_and_their_padding_does_not(decoder: CaptionDecoder) -> None:
    embeddings = unit(4, DIM)
    with torch.no_grad():
        with_words, plain, empty = (
            float(decoder(embeddings, SENTENCES[:4], words)) for words in (RETRIEVED, None, [""] * 4)
        )
    assert with_words != pytest.approx(plain, abs=1e-2)
    assert empty == pytest.approx(plain, abs=1e-6)


@pytest.mark.parametrize("retrieved", [None, RETRIEVED], ids=["plain", "retrieved"])
def test_the_loss_is_that_of_captions_read_one_by_one_and_token_by_token(
    decoder: CaptionDecoder, retrieved: list[str] | None
) -> None:
    embeddings, captions, words = unit(4, DIM), SENTENCES[3:7], decoder.vocabulary
    losses: list[float] = []
    for row, caption in enumerate(captions):
        before = [] if retrieved is None else words.encode([retrieved[row]], 24)[0]
        [ids] = words.encode([caption], 48)
        table = decoder.language_model.transformer.wte.weight
        states = torch.cat([table[before], decoder.mapper(embeddings[row : row + 1])[0], table[[words.start]]])
        for token in [*ids, words.end]:
            logits = decoder.language_model(inputs_embeds=states[None]).logits[0, -1]
            losses.append(float(-logits.log_softmax(-1)[token].detach()))
            states = torch.cat([states, table[[token]]])
    with torch.no_grad():
        loss = float(decoder(embeddings, captions, retrieved))
    assert loss == pytest.approx(sum(losses) / len(losses), rel=1e-4)


@pytest.mark.parametrize("way", WAYS)
def test_the_same_seed_gives_the_same_captions_and_leaves_chance_alone(decoder: CaptionDecoder, way: str) -> None:
    torch.manual_seed(0)
    first = decoder.generate(unit(3, DIM), decoding=WAYS[way])
    drawn = torch.rand(1)
    torch.manual_seed(1)
    assert decoder.generate(unit(3, DIM), decoding=WAYS[way]) == first
    torch.manual_seed(0)
    assert torch.equal(torch.rand(1), drawn)


def test_another_seed_draws_other_captions_from_the_nucleus(decoder: CaptionDecoder) -> None:
    drawn = [decoder.generate(unit(1, DIM), decoding=Decoding(method="nucleus", seed=s))[0][0] for s in range(4)]
    assert len(set(drawn)) == 4
    assert len(set(decoder.generate(unit(1, DIM), decoding=Decoding(method="nucleus"), candidates=4)[0])) == 4


def test_a_tiny_nucleus_is_greedy_and_a_whole_one_follows_the_softmax(decoder: CaptionDecoder) -> None:
    embeddings = unit(2, DIM)
    greedy = decoder.generate(embeddings, decoding=Decoding(method="greedy"))
    assert decoder.generate(embeddings, decoding=Decoding(method="nucleus", top_p=1e-6)) == greedy
    assert decoder.generate(embeddings, decoding=Decoding(method="nucleus", temperature=1e-4)) == greedy
    from captioning.decoder.sampling import NucleusNoise

    logits = torch.tensor([[0.0, 1.0, 2.0, -1.0]])
    noise = NucleusNoise(Decoding(method="nucleus", top_p=0.9, temperature=0.5), 4000)
    counts = noise(torch.zeros(1), logits.expand(4000, 4)).argmax(-1).bincount(minlength=4) / 4000
    kept = (logits[0] / 0.5).softmax(-1)[1:3]  # 0.12 and 0.87; the first alone is less than 0.9
    assert torch.allclose(counts[1:3], kept / kept.sum(), atol=0.02) and counts[0] == counts[3] == 0


def runs_of(ids: list[int], length: int) -> list[tuple[int, ...]]:
    return [tuple(ids[start : start + length]) for start in range(len(ids) - length + 1)]


@pytest.mark.parametrize("length", [1, 2, 3])
def test_no_run_of_tokens_comes_twice(length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    decoder, rows = tiny_decoder(DIM), []
    decode, end = decoder.vocabulary.decode, decoder.vocabulary.end
    monkeypatch.setattr(decoder.vocabulary, "decode", lambda ids: rows.append([*ids, end]) or decode(ids))
    for size in (0, length):
        decoder.generate(unit(3, DIM), decoding=Decoding(no_repeat_ngram=size, max_tokens=30, beams=2))
    runs = [runs_of(row[: row.index(end)], length) for row in rows]
    repeats = [len(each) > len(set(each)) for each in runs]
    assert repeats == [True] * 3 + [False] * 3


@pytest.mark.parametrize("way", WAYS)
def test_random_weights_make_no_empty_caption_and_no_broken_character(way: str) -> None:
    for seed in range(12):
        decoder = tiny_decoder(DIM, seed)
        with torch.no_grad():  # for every seed other tokens are the likeliest, also marks, blanks and parts of letters
            decoder.language_model.transformer.ln_f.bias *= 30
        for [text] in decoder.generate(unit(6, DIM, seed=seed), decoding=WAYS[way]):
            assert text and text == text.strip() and text.isprintable() and "\ufffd" not in text
            assert not any(mark in text for mark in ("<pad>", "<start>", "<end>"))


def test_beam_search_finds_a_likelier_caption_than_greedy(decoder: CaptionDecoder) -> None:
    embeddings = unit(6, DIM, seed=1)
    plain = {"no_repeat_ngram": 0, "max_tokens": 6, "min_tokens": 6}
    greedy = decoder.generate(embeddings, decoding=Decoding(method="greedy", **plain))  # type: ignore[arg-type]
    beam = decoder.generate(embeddings, decoding=Decoding(beams=8, **plain))  # type: ignore[arg-type]
    assert beam != greedy
    lists = [[texts[0] for texts in each] for each in (beam, greedy)]
    with torch.no_grad():
        by_beam, by_greedy = (float(decoder(embeddings, captions)) for captions in lists)
    assert by_beam < by_greedy


def test_a_longer_caption_is_favoured_by_the_length_penalty(decoder: CaptionDecoder) -> None:
    lengths = []
    for penalty in (-4.0, 4.0):
        captions = decoder.generate(unit(6, DIM), decoding=Decoding(length_penalty=penalty, max_tokens=20))
        lengths.append(sum(len(text) for [text] in captions))
    assert lengths[0] < lengths[1]


def test_stored_state_has_the_embedding_once_and_comes_back_whole(decoder: CaptionDecoder) -> None:
    stored = decoder.stored_state()
    assert not any("lm_head" in key for key in stored)
    other = CaptionDecoder(decoder.config, decoder.vocabulary).eval()
    other.load_state_dict(CaptionDecoder.full_state(stored))
    assert other.generate(unit(3, DIM)) == decoder.generate(unit(3, DIM))
    assert CaptionDecoder.full_state({}) == {}


@pytest.mark.parametrize("name", MAPPERS.names())
@pytest.mark.parametrize("prefix_length", [1, 4])
def test_mappers_give_a_prefix_of_each_embedding_alone(name: str, prefix_length: int) -> None:
    mapper = MAPPERS.create(name, DecoderConfig(dim=DIM, width=8, heads=2, prefix_length=prefix_length)).eval()
    embeddings = unit(5, DIM)
    prefix = mapper(embeddings)
    assert prefix.shape == (5, prefix_length, 8)
    assert torch.allclose(prefix[2], mapper(embeddings[2:3])[0], atol=1e-6)
    assert not torch.allclose(prefix[0], prefix[1])
    decoder = tiny_decoder(DIM, mapper=name, prefix_length=prefix_length)
    assert all(text for [text] in decoder.generate(embeddings))


def test_an_unknown_mapper_and_too_few_positions_are_refused() -> None:
    with pytest.raises(ClapgenError, match=r"unknown decoder.mapper 'transfomer'.*Did you mean 'transformer'"):
        tiny_decoder(DIM, mapper="transfomer")
    with pytest.raises(ClapgenError, match=r"decoder.positions=96.*113"):
        tiny_decoder(DIM, prefix_length=40)


@pytest.mark.parametrize(
    ("size", "words"),
    [
        ({"heads": 3}, "decoder.width=16 must be a multiple of decoder.heads=3"),
        ({"heads": 0}, "decoder.heads must be at least 1, not 0"),
        ({"layers": 0}, "decoder.layers must be at least 1"),
        ({"prefix_length": 0}, "decoder.prefix_length must be at least 1"),
        ({"dropout": 2.0}, "decoder.dropout must be at least 0 and below 1, not 2"),
        ({"max_tokens": 0}, "decoder.max_tokens must be at least 1"),
        ({"retrieved_tokens": -1}, "decoder.retrieved_tokens at least 0, not 48 and -1"),
    ],
)
def test_sizes_out_of_range_are_named(size: dict[str, object], words: str) -> None:
    with pytest.raises(ClapgenError, match=words):
        tiny_decoder(DIM, **size)


@pytest.mark.parametrize(
    ("decoding", "count", "words"),
    [
        (Decoding(method="beem"), 1, "'beem'.*Did you mean 'beam'"),
        (Decoding(method="greedy"), 2, "greedy"),
        (Decoding(), 0, "candidates"),
        (Decoding(beams=0), 1, "beams"),
        (Decoding(max_tokens=0), 1, "max_tokens"),
        (Decoding(min_tokens=0), 1, "min_tokens"),
        (Decoding(min_tokens=9, max_tokens=8), 1, "min_tokens=9 must be at most max_tokens=8"),
        (Decoding(length_penalty=float("nan")), 1, "length_penalty"),
        (Decoding(temperature=float("inf")), 1, "temperature"),
        (Decoding(no_repeat_ngram=-1), 1, "no_repeat_ngram"),
        (Decoding(top_p=0.0), 1, "top_p"),
        (Decoding(top_p=float("nan")), 1, "top_p"),
        (Decoding(temperature=0.0), 1, "temperature"),
    ],
)
def test_settings_out_of_range_are_named(decoder: CaptionDecoder, decoding: Decoding, count: int, words: str) -> None:
    for refused in (
        lambda: check_decoding(decoding, count),
        lambda: decoder.generate(unit(1, DIM), None, decoding, count),
    ):
        with pytest.raises(ClapgenError, match=words):
            refused()


def test_more_candidates_than_beams_widen_the_beam(decoder: CaptionDecoder) -> None:
    [captions] = decoder.generate(unit(1, DIM), decoding=Decoding(beams=2, max_tokens=10), candidates=5)
    assert len(set(captions)) == 5


def test_nothing_is_warned_of_where_captions_end_at_different_times(
    decoder: CaptionDecoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without retrieved words nothing is padded, so transformers has no reason to warn about a missing mask."""
    from transformers import modeling_utils

    said: list[str] = []
    monkeypatch.setattr(modeling_utils.logger, "warning_once", said.append)
    decoder.generate(unit(8, DIM), None, WAYS["greedy"])
    decoder.generate(unit(8, DIM), RETRIEVED * 2, WAYS["beam"])
    assert said == []


def test_padding_is_on_the_side_it_says() -> None:
    ids, mask = left_padded([[1, 2, 3], [4], []], 0)
    assert ids.tolist() == [[1, 2, 3], [0, 0, 4], [0, 0, 0]] and mask.tolist() == [[1, 1, 1], [0, 0, 1], [0, 0, 0]]
    ids, mask = right_padded([[1, 2], [3]], 0)
    assert ids.tolist() == [[1, 2], [3, 0]] and mask.tolist() == [[1, 1], [1, 0]]


def test_any_text_survives_its_tokens() -> None:
    vocabulary = Vocabulary(train_vocabulary(SENTENCES, 400))
    for text in (*SENTENCES, "A naïve 雨 falls 🌧", "TWO  spaces"):
        [ids] = vocabulary.encode([text], 1000)
        assert vocabulary.decode([*ids, vocabulary.end, *ids]) == text
    assert vocabulary.encode(["A dog barks twice"], 2)[0] == vocabulary.encode(["A dog barks twice"], 99)[0][:2]
