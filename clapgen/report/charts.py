"""Charts of a report as inline SVG, coloured by the page's CSS: histogram, bar, heat map."""

from collections.abc import Sequence

import numpy as np

from clapgen.plot.confusion import shares
from clapgen.report.format import number
from clapgen.report.markup import Html, element, joined
from clapgen.report.model import Confusion

_WIDTH, _HEIGHT, _FOOT = 300, 92, 18  # pixels; _FOOT is for the axis labels
_LONGEST_NAME = 24  # characters


def histogram(values: Sequence[float], name: str) -> Html:
    """Histogram of finite `values`, with the median marked; the extremes label the axis.

    Whole numbers with a long tail, such as ranks, get a logarithmic axis.
    """
    given = np.asarray(values, dtype=np.float64)
    low, median, high = (quantile(values, share) for share in (0, 0.5, 1))
    squeezed = _squeezed(given)
    placed = np.log2(given) if squeezed else given
    counts, edges = np.histogram(placed, bins=np.arange(np.ceil(placed.max() + 1e-9) + 1) if squeezed else _bins(given))
    width, drawing = _WIDTH / len(counts), _HEIGHT - _FOOT
    bars = [
        element("rect", x=f"{i * width + 0.5:.1f}", y=f"{drawing - h:.1f}", width=f"{width - 1:.1f}", height=f"{h:.1f}")
        for i, h in enumerate(counts / counts.max() * (drawing - 4))
        if h > 0
    ]
    x = (np.median(placed) - edges[0]) / (edges[-1] - edges[0]) * _WIDTH
    middle = {"x": _WIDTH / 2, "y": _HEIGHT - 3, "text_anchor": "middle"}
    return element(
        "svg",
        element("g", *bars, class_="bar"),
        element("path", d=f"M0 {drawing}.5H{_WIDTH}", class_="axis"),
        element("path", d=f"M{x:.1f} 0V{drawing}", class_="median"),
        element("text", number(low), x=0, y=_HEIGHT - 3),
        element("text", "logarithmic axis: each bin is twice as wide", **middle) if squeezed else None,
        element("text", number(high), x=_WIDTH, y=_HEIGHT - 3, text_anchor="end") if high > low else None,
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        role="img",
        aria_label=f"Histogram of {name}: {len(given)} values from {number(low)} to {number(high)}, "
        f"median {number(median)}.",
    )


def quantile(values: Sequence[float], share: float) -> float | int:
    """The quantile of `values` at `share` (0 to 1); an integer if all values are whole numbers."""
    given = np.asarray(values, dtype=np.float64)
    found = float(np.quantile(given, share))
    return int(found) if found.is_integer() and np.array_equal(given, given.round()) else found


def bar(value: float, low: float, high: float) -> Html:
    """A horizontal bar from zero to `value` on an axis from `low` to `high`, scaled to the available width."""
    left, right = sorted(((value - low) / (high - low) * 100, (0.0 - low) / (high - low) * 100))
    return element(
        "svg",
        element("rect", width=100, height=10, class_="track"),
        element("rect", x=f"{left:.2f}", width=f"{right - left:.2f}", height=10, class_="bar"),
        viewBox="0 0 100 10",
        preserveAspectRatio="none",
        aria_hidden="true",  # the number is in the next cell
    )


def heat_map(confusion: Confusion) -> Html:
    """Confusion matrix: rows are the truth, columns the prediction; colour shows the share of the row."""
    labels, counts = confusion.labels, np.asarray(confusion.counts, dtype=np.int64)
    size = 26 if len(labels) <= 24 else 14
    names = [_cut(label) for label in labels]
    left = 8 + round(6.2 * max(map(len, names)))
    side = size * len(labels)
    share = shares(counts)
    cells = [_cell(labels, counts, share, row, column, size) for row, column in np.argwhere(counts > 0)]
    rows = [element("text", name, x=-6, y=(i + 0.5) * size, class_="row") for i, name in enumerate(names)]
    columns = [
        element("text", name, transform=f"translate({(i + 0.5) * size} -6) rotate(-90)", class_="column")
        for i, name in enumerate(names)
    ]
    matrix = joined(element("rect", width=side, height=side, class_="frame"), *cells, *rows, *columns)
    return element(
        "svg",
        element("g", matrix, transform=f"translate({left} {left})"),
        width=left + side + 1,
        height=left + side + 1,
        viewBox=f"0 0 {left + side + 1} {left + side + 1}",
        role="img",
        aria_label=f"Confusion matrix of {len(labels)} classes; the table below lists the most frequent confusions.",
    )


def _cell(labels: list[str], counts: np.ndarray, share: np.ndarray, row: int, column: int, size: int) -> Html:
    title = f"{labels[row]} predicted as {labels[column]}" if row != column else f"{labels[row]} correct"
    hit = element(
        "rect",
        element("title", f"{title}: {counts[row, column]} of {counts[row].sum()}"),
        x=column * size,
        y=row * size,
        width=size,
        height=size,
        fill_opacity=f"{0.18 + 0.82 * share[row, column]:.2f}",
        class_="bar",
    )
    if size < 20:
        return hit
    middle = {"x": (column + 0.5) * size, "y": (row + 0.5) * size}
    return joined(
        hit, element("text", counts[row, column], class_="on" if share[row, column] > 0.5 else "off", **middle)
    )


def _squeezed(values: np.ndarray) -> bool:
    """Whether most of these whole numbers would fall into one bin of a linear axis."""
    whole = values.min() == 1 and np.array_equal(values, values.round())
    return bool(whole and values.max() > 30 and values.max() > 10 * np.median(values))


def _bins(values: np.ndarray) -> np.ndarray | int:
    """One bin per whole number if there are few, otherwise 8 to 30 equal bins, depending on the number of values."""
    span = values.max() - values.min()
    if span < 1e-9 * np.abs(values).max():
        span = 0.0  # rounding errors
    if 0 < span <= 30 and np.array_equal(values, values.round()):
        return np.arange(values.min() - 0.5, values.max() + 1)
    return int(np.clip(round(2 * len(values) ** 0.5), 8, 30)) if span > 0 else 1


def _cut(label: str) -> str:
    return label if len(label) <= _LONGEST_NAME else f"{label[: _LONGEST_NAME - 1].rstrip()}…"
