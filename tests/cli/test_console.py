"""What files and prompts are called never commands the terminal, and output that has nowhere to go is no bug."""

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import Result, write_tone

from clapgen import cli
from clapgen.cli.console import print_json, print_result, print_table, print_warning
from clapgen.terminal import printable

EVIL = "\x1b]0;title\x07a\x9b2Jb\x7f\r\u202egnp.wav"


def assert_harmless(text: str) -> None:
    assert not set(EVIL) & {"\x1b", "\x07", "\x9b", "\x7f", "\r", "\u202e"} & set(text), repr(text)


def test_control_characters_are_shown_as_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    print_result(f"one {EVIL}\ntwo")
    print_table(("file", "state"), [(EVIL, "[bold]ok")])
    print_json({"path": EVIL})
    print_warning(f"{EVIL}\nclapgen: not a second line")
    captured = capsys.readouterr()
    assert_harmless(captured.out + captured.err)
    assert captured.out.splitlines()[1] == "two" and "\\x1b" in captured.out and "[bold]ok" in captured.out
    assert json.loads(captured.out.splitlines()[-1])["path"] == EVIL
    assert len(captured.err.splitlines()) == 1


@pytest.mark.parametrize("text", ["Regen auf dem Blechdach", "雨の音", "👩‍👩‍👧 🌧️", "e\u0301", "a\u00a0b", "א ب"])
def test_every_script_is_shown_as_it_is(text: str) -> None:
    assert printable(text) == text


def test_a_file_name_with_escape_sequences(clapgen: Callable[..., Result], here: Path, model: Path) -> None:
    write_tone(here / "good.wav")
    write_tone(here / EVIL)
    (here / f"broken{EVIL}").write_text("text")
    for arguments in (("score", EVIL, "rain", "--model", model), ("score", f"broken{EVIL}", "rain", "--model", model)):
        result = clapgen(*arguments)
        assert_harmless(result.out + result.err)


def test_logged_warnings_are_printed_once_as_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    cli.run(["--version"])
    cli.run(["--version"])
    capsys.readouterr()
    logging.getLogger("clapgen.audio.reading").warning("%s: its channels cancel", EVIL)
    logging.getLogger("generation.prompt_files").warning("ignoring columns")
    logging.getLogger("clapgen.audio.reading").info("details")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and all(line.startswith("clapgen: ") for line in lines)
    assert_harmless("".join(lines))


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory: you tried to " * 9
        ),
        RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB."),
    ],
)
def test_too_little_memory_is_said_in_one_short_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(cli, "_command", fail)
    assert cli.run(["generate", "rain"]) == 2
    line = capsys.readouterr().err
    assert line.startswith("clapgen: not enough memory (") and "--batch-size" in line and len(line) < 260
    assert "unexpected" not in line
