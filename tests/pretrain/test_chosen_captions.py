"""Of several captions those are kept that agree with the sound; what is not to be heard is dropped from them."""

import json
from pathlib import Path
from random import Random

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from clapgen.cli.pretrain import app
from clapgen.data.manifest import Clip, read_manifest
from clapgen.errors import ClapgenError
from clapgen.testing import tiny_model
from clapgen.wording.meaning import keeps_meaning
from pretrain.chosen_captions import Candidate, CaptionChoice, Judge, choose_captions, make_candidates
from pretrain.data.label_sentences import sentences_from_labels

WORDS = ("dog", "rain", "cat", "wind", "door", "the", "and", "a")


def embed(texts: list[str]) -> np.ndarray:
    """A CLAP that knows a few words: a text is the sum of its words, all of which count the same."""
    counts = np.array([[0.05 + text.lower().split().count(word) for word in WORDS] for text in texts], np.float32)
    return counts / np.linalg.norm(counts, axis=1, keepdims=True)


def candidates(*texts: str) -> list[Candidate]:
    return [Candidate(text, "caption") for text in texts]


OTHERS = candidates(
    "A cat and wind", "Rain", "Wind and rain", "A door", "A cat and rain", "Wind", "The cat", "The door"
)


def test_the_caption_that_agrees_comes_first():
    chosen = choose_captions(embed(["dog", "rain"]), [candidates("A cat", "A dog", "Wind"), OTHERS], 2, embed)
    assert chosen[0][0].text == "A dog" and len(chosen[0]) == 2
    assert chosen[1][0].text == "Rain"
    assert chosen[0][0].z > chosen[0][1].z


def test_a_clause_that_is_not_to_be_heard_is_dropped():
    [[best, *_], _] = choose_captions(embed(["a dog", "rain"]), [candidates("A dog and the wind"), OTHERS], 1, embed)
    assert best.text == "A dog" and best.dropped == ("the wind",)
    [[best, *_], _] = choose_captions(
        embed(["wind rain dog"] * 2), [candidates("Wind and rain, dog"), OTHERS], 1, embed
    )
    assert best.dropped == ()  # all of it is to be heard


def test_captions_are_compared_with_others_of_their_length():
    """A CLAP that likes long captions, whatever they say, does not win by length."""

    def likes_length(texts: list[str]) -> np.ndarray:
        bias = np.array([[float(len(text.split()))] for text in texts], np.float32)
        joined = np.concatenate([embed(texts), bias], 1)
        return joined / np.linalg.norm(joined, axis=1, keepdims=True)

    short, long = "dog", "the cat and the wind and a door"
    pool = [f"{a}" for a in WORDS] + [f"the {a} and the {b} and a {c}" for a in WORDS for b in WORDS for c in WORDS]
    sound = np.append(embed(["dog"])[0], 5.0).astype(np.float32)
    sound /= np.linalg.norm(sound)
    by_cosine = likes_length([short, long]) @ sound
    assert by_cosine[1] > by_cosine[0]
    [scored] = Judge(pool, likes_length).score(sound[None], [candidates(short, long)])
    assert scored[0].text == short


def test_captions_that_all_agree_are_an_error():
    same = [candidates("A dog"), candidates("A dog")]
    with pytest.raises(ClapgenError, match="all captions are 'A dog'"):
        choose_captions(embed(["dog", "rain"]), same, 1, embed)


def test_candidates_name_where_they_come_from():
    clip = Clip(Path("x.wav"), captions=["A dog barks"], labels=["dog", "bark"])
    made = make_candidates(clip, 0, CaptionChoice(), ["A wolf howls"])
    assert {each.source for each in made} == {"caption", "labels", "paraphrase", "captioner"}
    assert next(each for each in made if each.text == "A dog barks").source == "caption"
    assert len({each.text for each in made}) == len(made)
    only = make_candidates(clip, 0, CaptionChoice(from_labels=True))
    assert {each.source for each in only} == {"labels"}
    assert make_candidates(clip, 0, CaptionChoice()) == make_candidates(clip, 0, CaptionChoice())


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        (["dog", "bark"], "The barking of a dog"),
        (["dog", "bark"], "A dog is barking"),
        (["dog", "bark", "rain"], "A dog barks, and rain can be heard"),
        (["rain", "wind"], "The sound of wind and rain."),
        (["florble_wibble"], "This is a sound of florble wibble."),
    ],
)
def test_sentences_from_labels(labels, sentence):
    made = sentences_from_labels(labels, 40, Random(0))
    assert sentence in made
    for each in made:
        assert keeps_meaning(" and ".join(labels).replace("_", " "), each), each


def test_labels_without_words_make_no_sentence():
    assert sentences_from_labels([], 3, Random(0)) == sentences_from_labels(["", " _ "], 3, Random(0)) == []


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    texts = [{"labels": ["dog", "bark"]}, {"labels": ["rain"], "captions": ["Rain falls on a roof"]}, {"labels": [""]}]
    for number, line in enumerate(texts):
        soundfile.write(tmp_path / f"{number}.wav", np.sin(np.arange(4000) * (number + 1) / 9), 8000)
        line["path"] = f"{number}.wav"
    texts.append({"path": "gone.wav", "labels": ["cat"]})
    path = tmp_path / "manifest.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in texts))
    return path


def test_the_command_writes_captions_with_their_provenance(tmp_path: Path, manifest: Path):
    tiny_model(tmp_path / "tiny")
    options = ["captions", str(manifest), "-m", str(tmp_path / "tiny"), "--no-cache", "--keep", "2"]
    result = CliRunner().invoke(app, [*options, "-o", str(tmp_path / "new.jsonl"), "--json"])
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["clips"] == 2
    assert "1 of 4 clips stay as they are, without captions or labels; first: " in result.stderr
    assert "1 of 4 clips stay as they are, because they cannot be read; first: " in result.stderr
    assert result.stderr.count("gone.wav") == 1
    clips = read_manifest(tmp_path / "new.jsonl")
    assert [len(clip.captions) for clip in clips] == [2, 2, 0, 0]
    for clip in clips[:2]:
        assert [set(each) >= {"from", "cosine", "z"} for each in clip.extra["captions_from"]] == [True, True]
        assert clip.extra["captions_by"]["keep"] == 2 and clip.extra["captions_by"]["hash"]
    again = CliRunner().invoke(app, [*options, "-o", str(tmp_path / "again.jsonl")])
    assert again.exit_code == 0
    assert (tmp_path / "again.jsonl").read_text() == (tmp_path / "new.jsonl").read_text()


def test_a_manifest_without_words_is_one_line(tmp_path: Path, manifest: Path):
    tiny_model(tmp_path / "tiny")
    line = manifest.read_text().splitlines()[2]
    manifest.write_text(line + "\n")
    result = CliRunner().invoke(
        app, ["captions", str(manifest), "-m", str(tmp_path / "tiny"), "-o", str(tmp_path / "n.jsonl")]
    )
    assert isinstance(result.exception, ClapgenError)
    assert "no clip has captions or labels" in str(result.exception)
    assert not (tmp_path / "n.jsonl").exists()


def test_json_lines_are_not_called_a_table(tmp_path: Path, manifest: Path):
    result = CliRunner().invoke(app, ["captions", str(manifest), "-m", "no model", "-o", str(tmp_path / "n.csv")])
    assert isinstance(result.exception, ClapgenError) and "ends in .jsonl" in str(result.exception)
