"""Training sentences: every file format, and errors that name the line."""

import json
from pathlib import Path

import pytest
import torch

from captioning.training.sentences import embed_sentences
from clapgen.clap import Clap
from clapgen.data.sentences import read_sentences, tidy
from clapgen.embedders.cache import EmbeddingCache
from clapgen.errors import ClapgenError
from clapgen.testing import tiny_model


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def write_lines(path: Path, *rows: dict) -> Path:
    return write(path, "\n".join(map(json.dumps, rows)))


def test_plain_text_is_a_sentence_a_line_each_once_and_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "captions.txt", "a dog barks.\n\n  Rain   falls \r\nA dog barks\nrain falls.\n")
    found = read_sentences(path)
    assert (found.texts, found.counts, found.skipped) == (["A dog barks", "Rain falls"], [2, 2], {})
    assert found.source == str(path)


def test_json_lines_have_a_caption_or_captions(tmp_path: Path) -> None:
    rows = {"caption": "A dog barks"}, {"captions": ["Rain falls", "Wind blows"], "path": "x.wav"}, {"captions": []}
    assert read_sentences(write_lines(tmp_path / "a.jsonl", *rows)).texts == ["A dog barks", "Rain falls", "Wind blows"]


def test_splits_and_licences_choose_lines(tmp_path: Path) -> None:
    path = write_lines(
        tmp_path / "manifest.jsonl",
        {"caption": "Train free", "split": "train", "free": True},
        {"caption": "Train not free", "split": "train", "free": False},
        {"caption": "Held out", "split": "val", "free": True},
        {"caption": "Ontology", "split": "ontology"},
        {"caption": "No split", "split": None},
        {"caption": "Says nothing"},
    )
    found = read_sentences(path)
    assert found.texts == ["Train free", "Train not free", "No split", "Says nothing"]
    assert found.skipped == {"split is not train": 2}
    assert read_sentences(path, ["train", "ontology"], free_only=True).texts == [
        "Train free",
        "Ontology",
        "No split",
        "Says nothing",
    ]


@pytest.mark.parametrize(("name", "comma"), [("a.csv", ","), ("a.tsv", "\t")])
def test_tables_may_quote_commas_quotes_and_line_breaks(tmp_path: Path, name: str, comma: str) -> None:
    rows = [
        ["file_name", "caption_1", "caption_2"],
        ["a.wav", '"A dog, a cat"', '"He says ""hi"""'],
        ["b.wav", '"Rain falls\non a roof"', ""],
    ]
    found = read_sentences(write(tmp_path / name, "\n".join(comma.join(row) for row in rows) + "\n"))
    assert found.texts == ["A dog, a cat", 'He says "hi"', "Rain falls on a roof"]


def test_a_byte_order_mark_is_no_part_of_the_first_sentence_or_column(tmp_path: Path) -> None:
    for name, content in (
        ("a.txt", "Rain falls\n"),
        ("a.csv", "caption\nRain falls\n"),
        ("a.jsonl", '{"caption": "Rain falls"}\n'),
    ):
        assert read_sentences(write(tmp_path / name, b"\xef\xbb\xbf" + content.encode())).texts == ["Rain falls"]


@pytest.mark.parametrize("name", ["a.txt", "a.csv", "a.jsonl"])
def test_what_is_not_utf8_is_named_with_its_line(tmp_path: Path, name: str) -> None:
    first = {"a.txt": b"Rain", "a.csv": b"caption", "a.jsonl": b'{"caption": "Rain"}'}[name]
    path = write(tmp_path / name, first + b"\n\n" * (name == "a.txt") + b"\nCaf\xe9\n")
    with pytest.raises(ClapgenError, match=rf"{name}:{4 if name == 'a.txt' else 2} is not UTF-8 text \(byte 3\)"):
        read_sentences(path)


def test_a_line_of_a_hundred_kilobytes_is_left_out_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path / "a.txt", f"Rain falls\n{'noise ' * 17_000}\n12 345\n")
    found = read_sentences(path)
    assert found.texts == ["Rain falls"]
    assert found.skipped == {"longer than 1000 characters": 1, "without a letter": 1}
    assert "a.txt: 1 lines skipped: longer than 1000 characters" in caplog.text


@pytest.mark.parametrize("name", ["a.txt", "a.csv", "a.jsonl"])
@pytest.mark.parametrize("content", ["", "\n\n \n"])
def test_an_empty_file_is_an_error_that_names_it(tmp_path: Path, name: str, content: str) -> None:
    with pytest.raises(ClapgenError, match=name):
        read_sentences(write(tmp_path / name, content))


def test_a_file_of_which_nothing_is_left_says_why(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "123\n" + "x" * 1001 + "\n")
    with pytest.raises(ClapgenError, match=r"no usable sentence.*1 lines skipped: without a letter.*longer than 1000"):
        read_sentences(path)
    path = write_lines(tmp_path / "a.jsonl", {"caption": "Rain", "split": "val"})
    with pytest.raises(ClapgenError, match="split is not train"):
        read_sentences(path)


def test_duplicates_are_one_sentence(tmp_path: Path) -> None:
    found = read_sentences(write(tmp_path / "a.txt", "rain falls\n" * 1000))
    assert (found.texts, found.counts) == (["Rain falls"], [1000])


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"caption": "Rain"', "a.jsonl:2 is not JSON"),
        ('["Rain"]', "a.jsonl:2 is not a JSON object"),
        ('{"text": "Rain"}', 'a.jsonl:2 is not a JSON object with "caption"'),
        ('{"caption": 7}', "a.jsonl:2"),
        ('{"captions": "Rain"}', "a.jsonl:2"),
        ('{"captions": ["Rain", null]}', "a.jsonl:2"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, words: str) -> None:
    with pytest.raises(ClapgenError, match=words):
        read_sentences(write(tmp_path / "a.jsonl", f'{{"caption": "Wind"}}\n{line}\n'))


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(ClapgenError, match=r"cannot read .*nowhere.txt"):
        read_sentences(tmp_path / "nowhere.txt")
    with pytest.raises(ClapgenError, match="cannot read"):
        read_sentences(tmp_path)
    with pytest.raises(ClapgenError, match=r"a.csv:1 has no column caption.*file_name"):
        read_sentences(write(tmp_path / "a.csv", "file_name,words\na.wav,rain\n"))


def test_a_table_with_a_row_that_is_cut_short_or_too_long_is_still_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "file_name,caption\na.wav\nb.wav,Rain,more,and more\n")
    assert read_sentences(path).texts == ["Rain"]


def test_a_quote_that_is_left_open_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'caption\n"Rain falls\n' + "Wind blows\n" * 20_000)
    with pytest.raises(ClapgenError, match=r"a.csv:\d+ is not a valid row .*quote"):
        read_sentences(path)


def test_a_line_of_a_hundred_thousand_brackets_is_named(tmp_path: Path) -> None:
    with pytest.raises(ClapgenError, match=r"a.jsonl:2 is not JSON"):
        read_sentences(write(tmp_path / "a.jsonl", '{"caption": "Rain"}\n' + "[" * 100_000))


def test_sentences_that_no_tokenizer_takes_are_left_out(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.jsonl", r"""{"captions": ["Rain \ud800", "Wind\u0000", "Zero\u200bwidth", "Bell\u001b[0m"]}"""
    )
    found = read_sentences(path)
    assert found.texts == ["Zero\u200bwidth"]
    assert found.skipped == {"with control characters or unpaired surrogates": 3}


def test_tidy_makes_one_line_of_any_text() -> None:
    assert tidy(" a  dog\nbarks . ") == "A dog barks"
    assert tidy("élan …") == "Élan …"
    assert tidy(tidy("rain. Then wind..")) == tidy("rain. Then wind..") == "Rain. Then wind"


def test_sentences_are_embedded_once_and_by_their_own_clap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clap, other = (Clap.from_pretrained(tiny_model(tmp_path / str(seed), seed)) for seed in (0, 1))
    texts = ["A dog barks", "Rain falls on a tin roof while wind blows", "Bells"]
    first = embed_sentences(clap, texts, tmp_path / "cache")
    assert torch.allclose(first, clap.embed_text(texts), atol=1e-6)
    monkeypatch.setattr(clap, "embed_text", lambda _: pytest.fail("embedded again"))
    assert torch.equal(embed_sentences(clap, texts, tmp_path / "cache"), first)
    assert not torch.allclose(embed_sentences(other, texts, tmp_path / "cache"), first, atol=1e-2)
    assert torch.equal(embed_sentences(clap, texts[::-1], tmp_path / "cache"), first.flip(0))
    assert EmbeddingCache(tmp_path / "cache").info().entries == 2 * len(texts)


def test_a_damaged_cache_is_made_again_and_one_that_cannot_be_is_named(tmp_path: Path) -> None:
    clap = Clap.from_pretrained(tiny_model(tmp_path / "model"))
    first = embed_sentences(clap, ["Rain", "Wind"], tmp_path / "cache")
    [kept] = (tmp_path / "cache").iterdir()
    kept.write_bytes(kept.read_bytes()[:40])
    assert torch.equal(embed_sentences(clap, ["Rain", "Wind"], tmp_path / "cache"), first)
    assert EmbeddingCache(tmp_path / "cache").info().entries == 2
    with pytest.raises(ClapgenError, match="set cache=FOLDER"):
        embed_sentences(clap, ["Rain", "Wind"], kept)


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_a_stray_quote_does_not_swallow_the_rows_after_it(tmp_path: Path, suffix: str) -> None:
    rows = ["A dog barks once", "A dog barks twice", '"Woof says a dog', *(f"Dog number {n} barks" for n in range(9))]
    path = write(tmp_path / f"a{suffix}", "\n".join(["caption", *rows]))
    with pytest.raises(ClapgenError, match=rf"a{suffix}:4 is not a valid row .*quote"):
        read_sentences(path)


def test_clips_of_a_manifest_without_captions_are_skipped(tmp_path: Path) -> None:
    lines = ['{"path": "a.wav", "captions": ["Rain falls"]}', '{"path": "b.wav", "labels": []}']
    path = write(tmp_path / "m.jsonl", "\n".join(lines))
    sentences = read_sentences(path)
    assert sentences.texts == ["Rain falls"] and sentences.skipped == {"without a caption": 1}
