"""`clapgen doctor`: check the installation."""

from __future__ import annotations

from clapgen.cli.console import print_json, print_result
from clapgen.cli.options import JsonOption
from clapgen.errors import ClapgenError


def doctor(as_json: JsonOption = False) -> None:
    """Check versions, devices, threads, packages and the default model, and say how to fix problems."""
    from clapgen.cli.diagnosis import diagnose

    report = diagnose()
    if as_json:
        print_json(report.to_dict())
    else:
        print_result(report.text())
    if not report.healthy:
        count = len(report.problems)
        raise ClapgenError(f"{count} problem{'' if count == 1 else 's'} found (listed above).")
