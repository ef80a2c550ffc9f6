"""A report as one self-contained HTML page: no network, no scripts, no fonts."""

import os
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from clapgen.files import atomic_path
from clapgen.report.charts import bar, heat_map, histogram, quantile
from clapgen.report.clip_cards import clip_card, ends, foreign_sounds
from clapgen.report.format import arrow, cells, count, interval, number, reason, setting
from clapgen.report.markup import Html, data_uri, element, joined
from clapgen.report.model import (
    Confusion,
    Metric,
    Report,
    Row,
    class_metric,
    finite,
    finite_values,
    is_number,
    numeric_columns,
)

_MOST_SKIPPED, _MOST_CONFUSIONS = 200, 12
_LARGEST_HEAT_MAP = 100  # classes; larger matrices are smaller as an image
# Second line of defence after escaping: browsers run no scripts and load nothing.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src data:"


def write_html(
    report: Report,
    path: str | os.PathLike[str],
    force: bool = False,
    rank_by: str | None = None,
    audio: bool = True,
) -> list[str]:
    """Write the report as one self-contained HTML file below 5 MB; the same report gives the same bytes.

    Args:
        force: replace an existing file.
        rank_by: column of `report.clips` that ranks the worst and best clips; the first numeric column if None.
        audio: embed players and spectrograms of these clips, if they are among `report.sounds`.

    Returns:
        The sound files that these clips name but that are not among `report.sounds`, and therefore not on the page.

    Raises:
        ClapgenError: `rank_by` is not a numeric column, the file exists (and not `force`) or cannot be written.
    """
    ranked = report.ranked_clips(rank_by)
    column = rank_by or next(iter(numeric_columns(report.clips)), "")
    foreign = foreign_sounds(ranked, report.sounds) if audio else []
    with atomic_path(path, force) as temporary:
        body = joined(
            _head(report),
            _warnings(report),
            _metrics(report),
            _classes(report),
            _confusion(report.confusion),
            _distributions(report),
            _clips(ranked, column, len(report.clips), report.sounds if audio else None, len(foreign)),
            _settings(report),
            _skipped(report),
        )
        temporary.write_text(html_page(report.title, body), encoding="utf-8", newline="\n")
    return foreign


def html_page(title: str, body: Html) -> str:
    """A whole page in the look of the reports, which loads nothing and runs no scripts."""
    style = Html(Path(__file__).with_name("report.css").read_text(encoding="utf-8"))
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("style", style),
    )
    return f"<!DOCTYPE html>\n{element('html', head, element('body', element('main', body)), lang='en')}\n"


def _head(report: Report) -> Html:
    facts = [report.date, count(len(report.clips), "clip") if report.clips else ""]
    facts.append(f"took {report.seconds:.1f} s" if report.seconds else "")
    line: list[object] = [" · ".join(filter(None, facts))]
    if report.skipped:
        line += [" · ", element("a", f"{count(len(report.skipped), 'file')} skipped", href="#skipped")]
    return element(
        "header",
        element("p", f"clapgen evaluation: {report.kind}", class_="kind"),
        element("h1", report.title),
        element("p", *line, class_="facts"),
    )


def _warnings(report: Report) -> Html | None:
    if not report.warnings:
        return None
    items = [element("li", warning) for warning in report.warnings]
    return element(
        "section", element("h2", count(len(items), "warning")), element("ul", *items), class_="warnings", role="note"
    )


def _metrics(report: Report) -> Html:
    rows = [_metric(metric) for metric in map(finite, report.metrics)]
    head = _row("th", ("Metric", ""), ("Value", "number"), ("95% interval", "number"), ("N", "number"))
    return element(
        "section",
        element("h2", "Metrics"),
        _scrolling(element("table", element("thead", head), element("tbody", *rows), class_="metrics"), "Metrics"),
    )


def _metric(metric: Metric) -> Html:
    better = "higher is better" if metric.higher_is_better else "lower is better"
    sign = element("span", f" {arrow(metric)}", title=better, role="img", aria_label=better) if arrow(metric) else None
    notes = "; ".join(filter(None, (metric.scale, metric.note)))
    name = joined(metric.name, sign, element("small", notes) if notes else None)
    numbers = [(number(metric.value), "number value"), (interval(metric), "number"), (metric.n, "number")]
    return element(
        "tr", element("th", name, scope="row"), *(element("td", cell, class_=kind) for cell, kind in numbers)
    )


def _classes(report: Report) -> Html | None:
    """Worst first, with a bar for the metric they are ranked by."""
    if not report.classes:
        return None
    ranked, metric = report.ranked_classes(), class_metric(report.classes)
    columns = [name for name in ranked[0] if name not in ("class", metric)]
    numeric = numeric_columns(ranked)
    head = [("Class", ""), *([(metric, "bars"), ("", "number")] if metric else [])]
    parts = [[element("th", row.get("class"), scope="row") for row in ranked]]
    if metric:
        parts.append(_bars(ranked, metric))
        parts.append([element("td", cell, class_="number") for cell in cells(ranked, metric)])
    for name in columns:
        kind = "number" if name in numeric else ""
        head.append((name, kind))
        parts.append([element("td", cell, class_=kind or None) for cell in cells(ranked, name)])
    body = element("tbody", *(element("tr", *row) for row in zip(*parts, strict=True)))
    table = element("table", element("thead", _row("th", *head)), body, class_="classes dense")
    note = element("p", f"{count(len(ranked), 'class', 'classes')}, worst first.")
    return element("section", element("h2", "Classes"), note, _scrolling(table, "Classes"))


def _bars(rows: Sequence[Row], column: str) -> list[Html]:
    """Bars on a common axis that includes 0, 1 and all values."""
    values = finite_values(rows, column)
    low, high = min([0.0, *values]), max([1.0, *values])
    drawn = [bar(float(value), low, high) if is_number(value := row.get(column)) else None for row in rows]
    return [element("td", part, class_="bars") for part in drawn]


def _confusion(confusion: Confusion | None) -> Html | None:
    if confusion is None or not confusion.labels:
        return None
    shown = heat_map(confusion) if len(confusion.labels) <= _LARGEST_HEAT_MAP else _confusion_picture(confusion)
    caption = "Rows: true class. Columns: predicted class. Stronger colour: larger share of the row."
    return element(
        "section",
        element("h2", "Confusion"),
        element("p", caption),
        _scrolling(shown, "Confusion matrix"),
        _most_frequent(confusion),
    )


def _most_frequent(confusion: Confusion) -> Html | None:
    counts = np.asarray(confusion.counts, dtype=np.int64)
    mistakes = [(int(counts[i, j]), int(i), int(j)) for i, j in np.argwhere(counts > 0) if i != j]
    if not mistakes:
        return None
    rows = [
        _row("td", (confusion.labels[i], ""), (confusion.labels[j], ""), (f"{n} of {counts[i].sum()}", "number"))
        for n, i, j in sorted(mistakes, key=lambda item: (-item[0], item[1:]))[:_MOST_CONFUSIONS]
    ]
    head = _row("th", ("Truth", ""), ("Predicted", ""), ("Count", "number"))
    return element("table", element("thead", head), element("tbody", *rows), class_="confusions dense")


def _confusion_picture(confusion: Confusion) -> Html:
    from clapgen.plot import confusion_png

    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder, "confusion.png")
        confusion_png(confusion.labels, confusion.counts, picture)
        return element("img", src=data_uri(picture, "image/png"), alt=f"{len(confusion.labels)} classes")


def _distributions(report: Report) -> Html | None:
    drawn = []
    for name in numeric_columns(report.clips):
        values = finite_values(report.clips, name)
        facts = f"mean {number(float(np.mean(values)))}, median {number(quantile(values, 0.5))}, N {len(values)}"
        caption = element("figcaption", element("b", name), " ", facts)
        drawn.append(element("figure", caption, histogram(values, name)))
    if not drawn or len(report.clips) < 2:
        return None
    return element(
        "section", element("h2", "Distribution over clips"), element("div", *drawn, class_="spread"),
    )  # fmt: skip


def _clips(ranked: Sequence[Row], column: str, total: int, sounds: Collection[str] | None, foreign: int) -> Html | None:
    if not ranked:
        return None
    worst, best = ends(ranked)
    parts = [
        element("div", element("h3", name), *(clip_card(row, column, sounds) for row in rows))
        for name, rows in (("Worst", worst), ("Best", best))
        if rows
    ]
    remarks = [f"{total - len(ranked)} of {total} clips have no value."] if total > len(ranked) else []
    if foreign:
        remarks.append(
            f"{count(foreign, 'sound')} named in the cells of a table cannot be played here: only files, folders and "
            "manifests given as input are part of the page."
        )
    return element(
        "section",
        element("h2", f"Worst and best clips by {column}"),
        element("p", " ".join(remarks)) if remarks else None,
        element("div", *parts, class_="ends"),
    )


def _settings(report: Report) -> Html:
    facts = [(name, setting(value)) for name, value in report.settings.items()]
    facts += [("versions", setting(report.versions))] if report.versions else []
    return element(
        "section",
        element("h2", "Settings"),
        element("pre", element("code", report.command)) if report.command else None,
        element("dl", *(joined(element("dt", name), element("dd", value)) for name, value in facts), class_="settings"),
    )


def _skipped(report: Report) -> Html | None:
    if not report.skipped:
        return None
    rows = [_row("td", (item.path, "path"), (reason(item), "")) for item in report.skipped[:_MOST_SKIPPED]]
    more = len(report.skipped) - len(rows)
    table = element(
        "table", element("thead", _row("th", ("File", ""), ("Reason", ""))), element("tbody", *rows), class_="skipped"
    )
    return element(
        "section",
        element("h2", f"{count(len(report.skipped), 'file')} skipped"),
        _scrolling(table, "Skipped files"),
        element("p", f"{more} more in the JSON report.") if more else None,
        id="skipped",
    )


def _row(tag: str, *cells: tuple[object, str]) -> Html:
    scope = "col" if tag == "th" else None
    return element("tr", *(element(tag, cell, class_=kind or None, scope=scope) for cell, kind in cells))


def _scrolling(content: Html, name: str) -> Html:
    """A container that scrolls horizontally on narrow screens, also by keyboard."""
    return element("div", content, class_="scrolling", tabindex=0, role="region", aria_label=name)
