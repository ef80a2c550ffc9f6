"""A report on the terminal: its metrics as a table, then the settings and the skipped files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clapgen.cli.console import print_result, print_table
from clapgen.terminal import printable

if TYPE_CHECKING:
    from clapgen.report.model import Report

_MOST_SKIPPED, _MOST_CLASSES = 20, 10


def print_report(report: Report) -> None:
    """Print a report as text on stdout; `--json` prints `report.to_dict()` instead."""
    print_result(printable(report.title))
    print_result("")
    _print_metrics(report)
    _print_classes(report)
    for warning in report.warnings:
        print_result(f"\nWarning: {printable(warning)}")
    print_result("")
    _print_settings(report)
    _print_skipped(report)


def _print_metrics(report: Report) -> None:
    from clapgen.report import format as wording
    from clapgen.report.model import finite

    columns = ("metric", "value", "95% interval", "N", "scale", "note")
    rows = []
    for metric in map(finite, report.metrics):
        name = f"{metric.name} {wording.arrow(metric)}".rstrip()
        cells = wording.number(metric.value), wording.interval(metric), str(metric.n)
        rows.append((name, *cells, metric.scale, metric.note))
    shown = [index for index in range(len(columns)) if index < 2 or any(row[index] for row in rows)]
    print_table([columns[index] for index in shown], [[row[index] for index in shown] for row in rows])


def _print_classes(report: Report) -> None:
    """Only the worst classes; the JSON and HTML reports have all."""
    from clapgen.report import format as wording

    if not report.classes:
        return
    worst = report.ranked_classes()[:_MOST_CLASSES]
    columns = list(worst[0])
    if len(worst) < len(report.classes):
        print_result(f"\nThe {len(worst)} worst of {len(report.classes)} classes (all: --json, --html)")
    print_result("")
    print_table(columns, list(zip(*(wording.cells(worst, column) for column in columns), strict=True)))


def _print_settings(report: Report) -> None:
    from clapgen.report import format as wording

    for name, value in report.settings.items():
        print_result(printable(f"{name}: {wording.setting(value)}"))
    if report.command:
        print_result(printable(f"command: {report.command}"))
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    amount = [wording.count(len(report.clips), "clip")] if report.clips else []
    took = [f"{report.seconds:.1f} s"] if report.seconds else []
    if facts := "; ".join([*amount, *took, *filter(None, (versions, report.date))]):
        print_result(facts)


def _print_skipped(report: Report) -> None:
    from clapgen.report import format as wording

    if not report.skipped:
        return
    print_result(f"\n{wording.count(len(report.skipped), 'file')} skipped:")
    for skipped in report.skipped[:_MOST_SKIPPED]:
        print_result(f"  {printable(skipped.path)}: {printable(wording.reason(skipped))}")
    if len(report.skipped) > _MOST_SKIPPED:
        print_result(f"  and {len(report.skipped) - _MOST_SKIPPED} more (all: --json, --html)")
