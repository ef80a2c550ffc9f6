"""Search: exact ranks, equal to those of the evaluation; filters; queries that add and subtract; diversity; words."""

from pathlib import Path

import numpy as np
import pytest
from synthetic import clustered, filled, sound

from clapgen.errors import ClapgenError
from clapgen.library import Library, Selection
from clapgen.library.diversity import diverse_order
from clapgen.library.query import make_query, query_vector
from clapgen.library.records import Changes, Embeddings
from clapgen.library.scan import best_first
from clapgen.library.words import fused, word_alternatives
from clapgen.metrics.embeddings.retrieval import retrieval

DIM = 32


def ids(found: list) -> list[int]:
    return [nearby.sound for nearby in found]


def test_ranks_are_those_of_the_evaluation(tmp_path: Path) -> None:
    """R@10 of the search equals the metric on the same embeddings."""
    rng = np.random.default_rng(0)
    audio, text = clustered(300, DIM, rng), clustered(120, DIM, rng)
    owners = rng.integers(0, 300, 120)
    text = text + 0.6 * audio[owners]
    text /= np.linalg.norm(text, axis=1, keepdims=True)
    store = filled(tmp_path / "lib", audio)
    metric = retrieval(audio.astype(np.float16).astype(np.float32), text, owners).text_to_audio
    found = store.nearest(text, 300, Selection())
    ranks = [ids(each).index(owner + 1) + 1 for each, owner in zip(found, owners, strict=True)]
    assert ranks == metric.ranks.tolist()
    exact = retrieval(audio, text, owners).text_to_audio  # float16 costs next to nothing
    assert abs(np.mean(np.array(ranks) <= 10) - exact.recalls[10]) < 0.01
    assert 0.3 < exact.recalls[10] < 1


def test_one_query_is_as_among_many_and_scores_are_cosines(tmp_path: Path) -> None:
    audio = clustered(200, DIM, np.random.default_rng(0))
    store = filled(tmp_path / "lib", audio)
    together = store.nearest(audio[:70], 5, Selection())
    assert [ids(each)[0] for each in together] == list(range(1, 71))
    for query, found in zip(audio[:70], together, strict=True):
        assert ids(store.nearest(query[None], 5, Selection())[0]) == ids(found)
    expected = np.sort(audio @ audio[3])[::-1][:5]
    assert np.allclose([nearby.score for nearby in together[3]], expected, atol=3e-4)


def test_equal_scores_are_in_the_order_of_their_ids() -> None:
    scores = np.array([0.5, 0.9, 0.5 + 3e-8, 0.5 - 3e-8, 0.1], dtype=np.float32)
    for k, expected in ((1, [1]), (2, [1, 0]), (3, [1, 0, 2]), (9, [1, 0, 2, 3, 4])):
        assert best_first(scores, np.arange(5), k).tolist() == expected


def test_a_short_event_in_a_long_file_is_found_with_its_time(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    audio, query = clustered(50, DIM, rng), clustered(1, DIM, rng)[0]
    windows = clustered(6, DIM, rng)
    windows[4] = query
    store = filled(tmp_path / "lib", audio, {20: windows})
    [best, *_] = store.nearest(query[None], 3, Selection())[0]
    assert best.sound == 21 and best.score == pytest.approx(1, abs=1e-3)
    assert (best.moments[0].start, best.moments[0].end) == (4, 5)
    assert len(best.moments) == 3 and all(m.score <= best.score for m in best.moments)
    [other, *_] = store.nearest(query[None], 3, Selection(whole=True))[0]
    assert other.sound != 21 and other.score < 0.99


def test_filters(tmp_path: Path) -> None:
    audio = clustered(100, DIM, np.random.default_rng(0))
    store = filled(tmp_path / "lib", audio)

    def passing(**selection: object) -> set[int]:
        found = store.nearest(audio[:1], 100, Selection(**selection))[0]  # type: ignore[arg-type]
        return {nearby.sound - 1 for nearby in found}

    assert passing() == set(range(100))
    assert passing(min_seconds=55) == {55, 56, 57, 58, 59}
    assert passing(max_seconds=1) == {0, 1, 60, 61}
    assert passing(tags=("EVEN",)) == set(range(0, 100, 2))
    assert passing(tags=("even", "odd")) == set()
    assert passing(without_digests=(f"{5:064x}",)) == set(range(100)) - {5}
    assert passing(under=(Path("/sounds/0"),)) == set(range(100))
    assert passing(under=(Path("/sounds/00"), Path("/sound"))) == set()
    store.write(Changes(updated=[s.__class__(**{**s.__dict__, "vanished": True}) for s in store.sounds([4])]))
    assert passing() == set(range(100)) - {3}
    with pytest.raises(ClapgenError, match="min_seconds=2 is above max_seconds=1"):
        Selection(min_seconds=2, max_seconds=1)


def test_filters_by_licence_and_folder(library: Library, sounds: Path) -> None:
    (sounds / "metadata.csv").write_text("file_name,text,license\na.wav,x,CC0 1.0\nb.wav,x,CC-BY-NC\n")
    library.add(sounds)
    assert [hit.path.name for hit in library.search("rain", licences=["cc0"])] == ["a.wav"]
    assert {hit.path.name for hit in library.search("rain", licences=["cc0", "cc-by"])} == {"a.wav", "b.wav"}
    assert [hit.path.name for hit in library.search("rain", under=[sounds / "sub"])] == ["long.wav"]
    assert len(library.search("rain", under=[sounds.parent])) == 3
    assert library.search("rain", under=[sounds / "su"]) == []


def test_a_sound_does_not_find_itself(library: Library, sounds: Path, tmp_path: Path) -> None:
    library.add(sounds)
    (tmp_path / "copy.wav").write_bytes((sounds / "a.wav").read_bytes())
    assert {hit.path.name for hit in library.search(like=tmp_path / "copy.wav")} == {"b.wav", "long.wav"}


def test_texts_and_sounds_count_by_their_weight_and_are_subtracted() -> None:
    rng = np.random.default_rng(0)
    audio = clustered(500, DIM, rng)
    rain, speech, door = (clustered(1, DIM, rng)[0] for _ in range(3))
    texts = {"rain": 0.2 * rain + clustered(1, DIM, rng)[0], "speech": speech}
    texts = {key: value / np.linalg.norm(value) for key, value in texts.items()}

    def vector(**given: object) -> np.ndarray:
        return query_vector(
            make_query(**given),  # type: ignore[arg-type]
            lambda names: np.stack([texts[name] for name in names]),
            lambda path: door,
            lambda query: float(np.std(audio @ query)),
        )

    def correlation(query: np.ndarray, part: np.ndarray) -> float:
        return float(np.corrcoef(audio @ query, audio @ part)[0, 1])

    assert np.array_equal(vector(text="rain"), texts["rain"])
    assert np.allclose(vector(text="rain", like="x", weight=1.0), texts["rain"], atol=1e-6)
    assert np.allclose(vector(text="rain", like="x", weight=0.0), door, atol=1e-6)
    both = vector(text="rain", like="x")  # each moves the ranking as much as the other
    assert correlation(both, texts["rain"]) == pytest.approx(correlation(both, door), abs=0.02)
    less = vector(text="rain", without="speech")
    assert correlation(less, speech) < correlation(texts["rain"], speech) - 0.2
    assert np.linalg.norm(less) == pytest.approx(1)
    with pytest.raises(ClapgenError, match="between 0 and 1"):
        vector(text="rain", weight=1.5)
    with pytest.raises(ClapgenError, match="nothing to search for"):
        vector()


def test_diverse_results_are_not_copies_of_one_sound() -> None:
    rng = np.random.default_rng(0)
    query, other = clustered(2, DIM, rng, clusters=2)
    near = query + rng.normal(0, 0.005, (10, DIM))
    rest = clustered(20, DIM, rng)
    vectors = np.concatenate([near, rest, other[None]]).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    scores = vectors @ query
    assert diverse_order(scores, vectors, 5, 0.0) == np.argsort(-scores, kind="stable")[:5].tolist()
    chosen = diverse_order(scores, vectors, 5, 0.5)
    assert sum(index < 10 for index in chosen) == 1 and chosen[0] < 10


def test_words_stand_for_their_synonyms() -> None:
    dog, barks = word_alternatives("the dog barks")
    assert dog[0] == "dog" and {"dogs", "hound", "canine"} <= set(dog)
    assert barks[0] == "barks" and "barking" in barks
    [word] = word_alternatives("wub", {"bass wobble": ["wub", "growl"]})
    assert word == ["wub", "bass wobble", "growl"]
    assert word_alternatives("a sound of the") == []


def test_reciprocal_rank_fusion() -> None:
    assert fused([[1, 2, 3], [3, 4]]) == [3, 1, 2, 4]
    assert fused([[5, 6], []]) == [5, 6]


def test_words_find_what_the_embedding_does_not(tmp_path: Path) -> None:
    audio = clustered(300, DIM, np.random.default_rng(0))
    store = filled(tmp_path / "lib", audio)
    vectors = Embeddings(-audio[:1].astype(np.float16), np.zeros((0, 2)))
    store.write(Changes(added=[(sound(999, captions=("a hound barks at 'night\"",)), vectors)]))
    library = Library(store)
    library.__dict__["clap"] = type("Clap", (), {"embed_text": lambda self, texts: Tensor(audio[:1])})()
    assert [hit.path.stem for hit in library.search("dog's")].count("999") == 0
    hits = library.search('dog" OR (', words=True)  # nothing is an operator
    assert hits[1].path.stem == "999" and hits[1].score < 0
    assert len(library.search("xyzzy", words=True)) == 10


class Tensor:
    """As much of a tensor as the library needs."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    def float(self) -> "Tensor":
        return self

    cpu = float

    def numpy(self) -> np.ndarray:
        return self.values


def test_what_cannot_be_searched_is_an_error(library: Library, sounds: Path, other_model: str) -> None:
    with pytest.raises(ClapgenError, match="is empty; add sounds"):
        library.search("rain")
    library.add(sounds)
    assert len(library.search("rain")) == 3
    with pytest.raises(ClapgenError, match="cannot find 4 sounds in a library of 3"):
        library.search("rain", k=4)
    with pytest.raises(ClapgenError, match=r"nowhere\.wav does not exist"):
        library.search(like="nowhere.wav")
    with pytest.raises(ClapgenError, match=r"made with the CLAP .*tiny .*, not with .*other"):
        Library.open(library.store.location, other_model, "cpu").search("rain")
    with pytest.raises(ClapgenError, match=r"made with the CLAP .*tiny .*, not with .*other"):
        Library.open(library.store.location, other_model, "cpu").add(sounds)
