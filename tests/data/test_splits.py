"""Holding other clips out of training: by fold, class or source, never dividing a recording."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from clapgen.cli.pretrain import app
from clapgen.data.manifest import Clip, read_manifest, save_manifest
from clapgen.data.splits import hold_out, values_of
from clapgen.errors import ClapgenError


def clip(name: str, split: str, recording: str, fold: int | None = None, labels: tuple[str, ...] = ()) -> Clip:
    extra = {"esc50_class": "dog" if name < "c" else "rain"} if fold else {}
    if fold:
        extra["fold"] = fold  # type: ignore[assignment]
    return Clip(Path(f"/{name}.wav"), labels=list(labels), recording=recording, split=split, extra=extra)


CLIPS = [
    clip("a", "train", "r1", 1, ("dog", "bark")),
    clip("b", "val", "r2", 4, ("dog",)),
    clip("c", "val", "r3", 4, ("rain",)),
    clip("d", "train", "r1"),  # of the recording of a
    clip("e", "val", "r3"),  # of the recording of c, and not of the fold
    clip("f", "val", "r4"),
    clip("g", "train", "r5", 2, ("rain", "wind")),
    clip("h", "test", "r6"),
]


def splits(clips: list[Clip]) -> str:
    return "".join(str(each.split)[0] for each in clips)


def test_another_fold_is_held_out_in_place_of_the_usual_one() -> None:
    divided = hold_out(CLIPS, ["fold=1"], ["fold=4"])
    assert splits(divided) == "vtvvvvtt"  # a, d follow fold 1; b trains; c stays with its recording r3; test stays
    assert divided[7].split == "test"
    training = {each.recording for each in divided if each.split == "train"}
    assert not training & {each.recording for each in divided if each.split == "val"}


def test_classes_are_held_out_by_name_or_label() -> None:
    assert splits(hold_out(CLIPS, ["esc50_class=dog"])) == "vvvvvvtt"
    assert splits(hold_out(CLIPS, ["labels=wind", "labels=bark"])) == "vvvvvvvt"


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        (["fold"], "'fold' must be FIELD=VALUE"),
        (["fold="], "must be FIELD=VALUE"),
        (["fold=7"], "no clip has fold=7. Its values are 1, 2, 4"),
        (["labels=rian"], "Did you mean 'rain'"),
        (["flod=1"], "Did you mean 'fold'"),
        (["split=train", "split=val", "split=test"], "no clip is left to train on"),
    ],
)
def test_a_mistake_is_one_clear_line(conditions: list[str], message: str) -> None:
    with pytest.raises(ClapgenError) as caught:
        hold_out(CLIPS, conditions)
    assert message in str(caught.value)


def test_values_of_lists_numbers_and_what_is_missing() -> None:
    assert values_of(CLIPS[:5], "fold") == [["1"], ["4"], ["4"], [], []]
    assert values_of(CLIPS[:2], "labels") == [["dog", "bark"], ["dog"]]
    assert values_of(CLIPS[:2], "split") == [["train"], ["val"]]


def test_the_command_writes_the_new_manifest(tmp_path: Path) -> None:
    save_manifest(CLIPS, tmp_path / "m.jsonl")
    options = ["-o", str(tmp_path / "new.jsonl"), "--hold-out", "fold=1", "--train-on", "fold=4"]
    result = CliRunner().invoke(app, ["split", str(tmp_path / "m.jsonl"), *options])
    assert result.exit_code == 0, result.output
    assert "5 val, 2 train, 1 test" in result.stdout
    assert read_manifest(tmp_path / "new.jsonl") == hold_out(CLIPS, ["fold=1"], ["fold=4"])
