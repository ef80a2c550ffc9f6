"""A report on the terminal: its figures as a table, and under it what they were measured by and what was left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clapgen.cli.console import say, say_table

if TYPE_CHECKING:
    from clapgen.report.model import Report

_MOST_SKIPPED, _MOST_CLASSES = 20, 10


def say_report(report: Report) -> None:
    """Print a report for people on stdout; `--json` prints `report.to_dict()` instead."""
    say(report.title)
    say("")
    _say_figures(report)
    _say_classes(report)
    for warning in report.warnings:
        say(f"\nWarning: {warning}")
    say("")
    _say_settings(report)
    _say_skipped(report)


def _say_figures(report: Report) -> None:
    from clapgen.report import format as wording
    from clapgen.report.model import finite

    columns = ("figure", "value", "95% interval", "N", "scale", "note")
    rows = []
    for figure in map(finite, report.figures):
        name = f"{figure.name} {wording.arrow(figure)}".rstrip()
        cells = wording.number(figure.value), wording.interval(figure), str(figure.n)
        rows.append((name, *cells, figure.scale, figure.note))
    kept = [index for index in range(len(columns)) if index < 2 or any(row[index] for row in rows)]
    say_table([columns[index] for index in kept], [[row[index] for index in kept] for row in rows])


def _say_classes(report: Report) -> None:
    """The worst classes only: all of them are in the JSON and on the page."""
    from clapgen.report import format as wording

    if not report.classes:
        return
    worst = report.ranked_classes()[:_MOST_CLASSES]
    columns = list(worst[0])
    if len(worst) < len(report.classes):
        say(f"\nThe {len(worst)} worst of {len(report.classes)} classes (all: --json, --html)")
    say("")
    say_table(columns, list(zip(*(wording.cells(worst, column) for column in columns), strict=True)))


def _say_settings(report: Report) -> None:
    from clapgen.report import format as wording

    for name, value in report.settings.items():
        say(f"{name}: {wording.setting(value)}")
    if report.command:
        say(f"command: {report.command}")
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    amount = [wording.count(len(report.clips), "clip")] if report.clips else []
    took = [f"{report.seconds:.1f} s"] if report.seconds else []
    if facts := "; ".join([*amount, *took, *filter(None, (versions, report.date))]):
        say(facts)


def _say_skipped(report: Report) -> None:
    from clapgen.report import format as wording

    if not report.skipped:
        return
    say(f"\n{wording.count(len(report.skipped), 'file')} skipped:")
    for skipped in report.skipped[:_MOST_SKIPPED]:
        say(f"  {skipped.path}: {wording.reason(skipped)}")
    if len(report.skipped) > _MOST_SKIPPED:
        say(f"  and {len(report.skipped) - _MOST_SKIPPED} more (all: --json, --html)")
