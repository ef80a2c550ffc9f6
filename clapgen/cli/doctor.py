"""`clapgen doctor`: what is installed here, and what is wrong with it."""

from __future__ import annotations

from clapgen.cli.console import print_json, print_result
from clapgen.cli.options import JsonOption
from clapgen.errors import ClapgenError


def doctor(as_json: JsonOption = False) -> None:
    """Report versions, devices, threads and optional packages, and say how to mend what is broken."""
    from clapgen.cli.diagnosis import diagnose

    report = diagnose()
    if as_json:
        print_json(report.to_dict())
    else:
        print_result(report.text())
    if not report.healthy:
        raise ClapgenError(f"{len(report.problems)} things to mend; the report names them.")
