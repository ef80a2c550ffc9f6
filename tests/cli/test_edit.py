"""`clapgen edit` as users run it."""

import numpy as np
import pytest
import soundfile

RATE = 8000


@pytest.fixture
def sound(here):
    soundfile.write(here / "door.wav", 0.1 * np.random.default_rng(0).standard_normal(2 * RATE), RATE, subtype="FLOAT")
    return here / "door.wav"


@pytest.fixture
def edit(clapgen, model, sound):
    def command(*arguments):
        return clapgen("edit", sound, "--model", model, "--num-steps", 2, *arguments)

    return command


def test_an_edit_is_saved_with_its_sidecar_and_made_again(edit, clapgen, model, here):
    result = edit("a gate", "--strength", 0.7, "--json")
    assert result.code == 0, result.err
    [found] = result.json
    assert found["edit"]["kind"] == "restyle" and found["edit"]["strength"] == 0.7 and found["prompt"] == "a gate"
    assert (here / "door-edited.wav").is_file() or (here / found["file"]).is_file()
    again = clapgen("generate", "--model", model, "--from", found["path"], "-o", here / "again.wav")
    assert again.code == 0 and "identical to the original, bit for bit" in again.err


def test_an_edit_without_a_prompt_sounds_like_the_file(edit):
    [found] = edit("--after", 1, "--json").json
    assert found["edit"]["like"] and found["edit"]["after"] == 1
    waveform, _ = soundfile.read(found["path"])
    assert len(waveform) == 3 * RATE


def test_regions_and_versions(edit, here):
    result = edit("rain", "--region", "0.5:0.8", "--region", "1:1.2", "--count", 2, "-o", here / "made", "--json")
    assert [each["edit"]["regions"] for each in result.json] == [[[0.5, 0.8], [1.0, 1.2]]] * 2
    assert len({each["sha256"] for each in result.json}) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "say what to do"),
        (("--loop", "--above", 1000), "choose one edit at a time, not loop and upsample"),
        (("--joint", 1), "--joint is of --loop"),
        (("--loop", "--strength", 0.3), "--strength is of restyling"),
        (("--region", "1-2"), "a region is START:END"),
        (("--region", "1:9"), "ends after the sound"),
        (("gate", "--strength", 2), "strength must be 0 to 1"),
    ],
)
def test_bad_input_is_one_line(edit, arguments, message):
    result = edit(*arguments)
    assert result.code == 2 and message in result.err and len(result.err.strip().splitlines()) == 1


def test_a_missing_file_is_named(clapgen, model, here):
    result = clapgen("edit", here / "none.wav", "rain", "--model", model)
    assert result.code == 2 and "none.wav is not a file" in result.err
