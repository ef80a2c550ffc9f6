"""`clapgen generate --mix`, `--like` and `--without` as users run them."""

import pytest


def test_a_mix_is_named_after_what_is_in_it(generate, recordings):
    [found] = generate("--mix", "rain:0.7", "--mix", f"{recordings[0]}:0.3", "--json").json
    assert found["prompt"] == f"rain and {recordings[0].stem}"
    assert [each["weight"] for each in found["mix"]] == [0.7, 0.3] and found["mix"][1]["path"] == str(recordings[0])


def test_like_goes_with_a_prompt_or_without(generate, recordings):
    [both] = generate("rain", "--like", recordings[0], "--json").json
    [alone] = generate("--like", recordings[0], "--json").json
    assert [each["text"] for each in both["mix"]] == ["rain", ""] and len(alone["mix"]) == 1


def test_without_takes_texts_and_files(generate, recordings):
    [found] = generate("rain", "--without", "wind", "--without", recordings[0], "--json").json
    assert [bool(each["text"]) for each in found["without"]] == [True, False] and found["prompt"] == "rain"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("rain", "--mix", "wind"), "--mix names all that is in the mix"),
        (("rain", "wind", "--like", "none.wav"), "--like goes with one prompt"),
        (("--like", "none.wav"), "none.wav is not a file"),
        (("rain", "--without", "wind", "--negative", "hail"), "exclude each other"),
        (("--mix", "rain:0"), "a weight must be above 0"),
    ],
)
def test_bad_input_is_one_line(generate, arguments, message):
    result = generate(*arguments)
    assert result.code == 2 and message in result.err and len(result.err.strip().splitlines()) == 1
