"""The `clapgen` command: runs a subcommand and turns its errors into one line and an exit code."""

from __future__ import annotations

import errno
import functools
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import Any

from clapgen.errors import SIBLINGS, ClapgenError, refuse_shadowing

USER_ERROR = 2
BUG = 1
INTERRUPTED = 130
TERMINATED = 143
OUT_OF_MEMORY = ("out of memory", "allocate memory")  # torch raises a RuntimeError with one of these


def main() -> None:
    """Entry point of the `clapgen` console script."""
    if hasattr(signal, "SIGTERM"):
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))  # an exit, so that temporary files are removed
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # for prompts that the terminal cannot show, such as emoji
    _quiet_libraries(debug=_without_debug(sys.argv[1:])[1])
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command line in this process and return its exit code.

    0 is success, 2 an error that the user can fix (one line on stderr), 1 a bug in clapgen, 130 Ctrl-C.
    """
    from clapgen.cli.console import show_logged_warnings

    show_logged_warnings()
    arguments, debug = _without_debug(arguments)
    try:
        command = _command()
        if "_CLAPGEN_COMPLETE" in os.environ:
            command.main(prog_name="clapgen")  # prints completions for the shell and exits
        with command.make_context("clapgen", arguments or ["--help"]) as context:
            command.invoke(context)
        sys.stdout.flush()
    except BaseException as error:
        error = _name_shadowing_file(error)
        if debug and not isinstance(error, SystemExit) and not hasattr(error, "exit_code"):
            traceback.print_exc()
        code, message = _exit_code_and_message(error)
        if message:
            _print_error(message)
        return code
    return 0


def _open_closed_streams() -> None:
    """Lead closed streams (as after `>&-`) to nowhere: a file that is opened later would get their number."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDWR)
            if descriptor != number:
                os.dup2(descriptor, number)
                os.close(descriptor)
            setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w", encoding="utf-8", closefd=False))


@functools.cache
def _command() -> Any:
    """The command with all its subcommands, built once: building takes as long as running a short command."""
    from typer.main import get_command

    from clapgen.cli.app import app

    return get_command(app)


def _without_debug(arguments: Sequence[str]) -> tuple[list[str], bool]:
    """Remove `--debug` from any position before a `--`, so that it works before and after the subcommand."""
    arguments = list(arguments)
    end = arguments.index("--") if "--" in arguments else len(arguments)
    kept = [argument for argument in arguments[:end] if argument != "--debug"]
    return kept + arguments[end:], len(kept) < end


def _name_shadowing_file(error: BaseException) -> BaseException:
    """Replace an import error by one that names the user's file, if it hides one of our packages."""
    if isinstance(error, (ImportError, AttributeError)):
        try:
            for package in SIBLINGS:
                refuse_shadowing(package)
        except ClapgenError as found:
            return found
    return error


def _exit_code_and_message(error: BaseException) -> tuple[int, str]:
    if isinstance(error, BrokenPipeError):
        # The reader (such as `| head`) has exited: print nothing.
        _discard_output()
        return 128 + getattr(signal, "SIGPIPE", 13), ""
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED, str(error) or "interrupted."
    if isinstance(error, SystemExit):
        return (error.code if isinstance(error.code, int) else BUG), ""
    if isinstance(error, ClapgenError):
        return USER_ERROR, str(error)
    if hasattr(error, "format_message"):  # typer: a wrong option or argument
        return USER_ERROR, _with_help_hint(error)
    if hasattr(error, "exit_code"):  # typer.Exit, also raised by --help
        return int(error.exit_code), ""
    if isinstance(error, OSError):
        if error.errno == errno.ENOSPC and error.filename is None:  # e.g. stdout in a file on a full disk
            _discard_output()
        return USER_ERROR, str(error)
    if isinstance(error, MemoryError) or any(words in str(error).lower() for words in OUT_OF_MEMORY):
        reason = " ".join(str(error).split())[:120] or "the system has none left"
        return USER_ERROR, f"not enough memory ({reason}); use shorter audio, a smaller --batch-size, or --device cpu."
    return BUG, f"unexpected {type(error).__name__}: {error} (add --debug for the traceback, and please report it)."


def _discard_output() -> None:
    """Leave nothing on stdout for Python to flush at exit, where it would fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _with_help_hint(error: BaseException) -> str:
    message = " ".join(error.format_message().split())  # type: ignore[attr-defined]
    if not message:  # a group without a command, which has printed its help
        return ""
    message += "" if message.endswith(("?", "!", ".")) else "."
    message = message.replace("?.", "?")
    if message.startswith("No such option"):
        message += ' Put -- before a prompt or a file name that begins with "-".'
    context = getattr(error, "ctx", None)
    return f"{message} See `{context.command_path} --help`." if context is not None else message


def _print_error(message: str) -> None:
    from clapgen.cli.console import print_warning

    print_warning(" ".join(message.split()))


def _quiet_libraries(debug: bool) -> None:
    """Disable network access, and the log lines and warnings of libraries; call this before importing any of them."""
    for variable in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY"):
        os.environ[variable] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    if debug:
        return
    for variable in ("TRANSFORMERS_VERBOSITY", "DIFFUSERS_VERBOSITY"):
        os.environ[variable] = "error"
    warnings.simplefilter("ignore")
