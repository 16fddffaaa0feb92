"""Writes the results of `garmentcut evaluate`: text for the terminal, and an HTML page with charts by matplotlib."""

import base64
import io
import re
import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple
from xml.etree import ElementTree

import matplotlib
import numpy as np
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from matplotlib.artist import setp
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator

from garmentcut.errors import counted
from garmentcut.evaluation.intervals import LEAST_GARMENTS, Estimate
from garmentcut.evaluation.metrics import METRICS, POOLED_METRICS, Metric
from garmentcut.evaluation.pictures import EXTRA_RGB, MISSING_RGB, Tile, WorstPhoto
from garmentcut.evaluation.scores import (
    GOOD_DICE,
    THRESHOLDS,
    VERY_GOOD_DICE,
    Comparison,
    PhotoScore,
    Sweep,
    Total,
    Totals,
    gain_of,
    seen_sentence,
    view_order,
)
from garmentcut.observe.monitor import printable

NUM_CHANGES = 10  # how many of the largest gains, and of the largest losses, a comparison shows
SERIES = ("#4f86c6", "#e0902f", "#4a9d6e", "#8a63b8")
"""Colours of charts, visible on white and on black."""

_INK = "#7d8794"
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "garmentcut",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.edgecolor": _INK,
    "axes.formatter.useoffset": False,
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": _INK,
    "grid.alpha": 0.25,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
}
_SVG, _LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SHOWN = ("dice", "surface_dice_2px", "boundary_iou_2px", "hd95_px", "edge_sad", "effort_px")
"""Metrics whose distributions are drawn."""

_BINS = 24
_CURVE_DEPTH = 0.02  # Dice
_LISTED = 200  # most failed or refused photos that are listed; the table and `scores.jsonl` have all of them
_SHOWN_FAILURES = 20

Table = Sequence[Sequence[str]]


def totals_text(totals: Totals, scores: Sequence[PhotoScore] = ()) -> str:
    """Text with totals by view, all metrics, thresholds, and the photos that were refused or could not be measured."""
    sections = [[_counts(totals), seen_sentence(totals)] if totals.num_measured else [_counts(totals)]]
    if totals.by_view:
        columns = totals.by_view + ((totals.without_wrong,) if totals.without_wrong else ())
        sections.append(["Dice, alpha >= 128, with 95 % intervals by garment", *aligned(_dice_rows(columns))])
        sections.append(["All metrics, mean over photos", *aligned(_metric_rows(columns))])
        if totals.by_view[0].counts:
            sections.append(["Thin parts and holes, summed over photos", *aligned(pooled_rows(columns))])
        if totals.num_wrong:
            sections.append([wrong_sentence(totals)])
    sections.append([sweep_sentence(convention, sweep) for convention, sweep in totals.sweeps.items()])
    for status in ("refused", "failed"):
        rows = [f"{status}: {printable(row.name)}: {row.reason}" for row in scores if row.status == status]
        more = [f"... and {len(rows) - _SHOWN_FAILURES} more"] if len(rows) > _SHOWN_FAILURES else []
        sections.append(rows[:_SHOWN_FAILURES] + more)
    if totals.by_view and totals.by_view[0].figures["dice"]["mean"].low is None:
        sections.append([f"No 95 % intervals: they need photos of at least {LEAST_GARMENTS} garments."])
    return "\n\n".join("\n".join(section) for section in sections if section)


def wrong_sentence(totals: Totals) -> str:
    """A sentence that says how many of the cutouts are marked wrong."""
    marked = f"{totals.num_wrong} of {totals.num_measured} cutouts are marked wrong"
    return f"{marked}; they are in all figures but the last."


def sweep_sentence(convention: str, sweep: Sweep) -> str:
    """A sentence that says which threshold is best and how flat the curve is around it."""
    low, high = sweep.flat
    best = f"best {sweep.best:.2f} with mean Dice {max(sweep.mean_dice):.4f}"
    return f"Threshold, {convention}: {best}, within 0.0005 of it from {low:.2f} to {high:.2f}"


def number(value: float, metric: Metric) -> str:
    """A metric's value with the metric's number of decimals."""
    return f"{value:.{metric.decimals}f}"


def interval(estimate: Estimate, decimals: int, *, factor: int = 1) -> str:
    """`[low, high]`, both multiplied by `factor`; empty if there is no interval."""
    if estimate.low is None or estimate.high is None:
        return ""
    return f"[{factor * estimate.low:.{decimals}f}, {factor * estimate.high:.{decimals}f}]"


def aligned(rows: Table) -> list[str]:
    """Rows of cells as lines of text, with the first column left-aligned and the others right-aligned."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *others in rows:
        cells = (cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))
        lines.append("  ".join([first.ljust(widths[0]), *cells]).rstrip())
    return lines


def _counts(totals: Totals) -> str:
    parts = [f"{totals.num_measured} measured"]
    parts += [f"{totals.num_refused} of them refused by the model"] if totals.num_refused else []
    parts += [f"{totals.num_failed} failed"] if totals.num_failed else []
    rate = f", {totals.seconds:.2f} s each in the model" if totals.num_measured else ""
    return f"{counted(totals.num_photos, 'photo')}: {', '.join(parts)}{rate}; model {', '.join(totals.models)}"


def _dice_rows(totals: Sequence[Total]) -> Table:
    rows = [["view", "photos", "garments", "mean", "", "median", "", "worst 5 %", "", ">= 0.990", "", ">= 0.995", ""]]
    for total in totals:
        dice = total.figures["dice"]
        figures = [dice[key] for key in ("mean", "median", "worst")]
        cells = [cell for figure in figures for cell in (f"{figure.value:.4f}", interval(figure, 4))]
        found = [dice[f"share_{limit:g}"] for limit in (GOOD_DICE, VERY_GOOD_DICE)]
        shares = [cell for share in found for cell in (f"{100 * share.value:.0f} %", interval(share, 0, factor=100))]
        rows.append([total.view, str(total.num_photos), str(total.num_garments), *cells, *shares])
    return rows


def _metric_rows(totals: Sequence[Total]) -> Table:
    rows = [["", *(total.view for total in totals), "95 % interval, all"]]
    for metric in reported_metrics(totals[0]):
        unit = f" ({metric.unit})" if metric.unit else ""
        means = [total.figures[metric.key]["mean"] for total in totals]
        cells = [number(mean.value, metric) for mean in means]
        rows.append([metric.title + unit, *cells, interval(means[0], metric.decimals)])
    return rows


def comparison_text(found: Comparison) -> str:
    """The differences from another model, as text for the terminal."""
    photos, garments = counted(found.num_photos, "photo"), counted(found.num_garments, "garment")
    heading = f"Against {found.other}: {photos} of {garments}, difference of the means"
    text = "\n".join([heading, *aligned(difference_rows(found))])
    gained, lost = (sum(sign * gain_of(*pair) > 0 for pair in found.photos) for sign in (1, -1))
    rose = f"Dice rose in {counted(gained, 'photo')} and fell in {lost}"
    return f"{text}\n{rose}; luck in training is not in the intervals"


def difference_rows(found: Comparison) -> Table:
    """The difference of each main score, with its interval and its meaning in words."""
    rows = [["", "difference", "95 % interval", ""]]
    known = {metric.key: (metric.title, metric.decimals, metric.higher_is_better) for metric in METRICS}
    known |= {metric.key: (metric.title, 3, True) for metric in POOLED_METRICS}
    for key, difference in found.differences.items():
        title, decimals, higher_is_better = known[key]
        low, high = difference.low, difference.high
        sign = 0 if low is None or high is None else (low > 0) - (high < 0)
        verdict = "no difference shown" if not sign else "better" if (sign > 0) == higher_is_better else "worse"
        rows.append([title, f"{difference.value:+.{decimals}f}", interval(difference, decimals), verdict])
    return rows


def reported_metrics(total: Total) -> list[Metric]:
    """The metrics that all photos have; rows that are older than a metric lack it."""
    return [metric for metric in METRICS if metric.key in total.figures]


def pooled_rows(totals: Sequence[Total]) -> Table:
    """Table rows about thin parts and holes in each view, with a heading."""
    rows = [["", *(total.view for total in totals), "95 % interval, all"]]
    for metric in POOLED_METRICS:
        shares = [total.pooled.get(metric.key) for total in totals]
        cells = ["none" if share is None else f"{share.value:.3f}" for share in shares]
        rows.append([metric.title, *cells, interval(shares[0], 3) if shares[0] else ""])
    counts = [total.counts for total in totals]
    for title, numbers in (
        ("thin parts, px", [one["thin_px"] for one in counts]),
        ("holes", [one["holes"] for one in counts]),
        ("holes missed", [one["holes"] - one["holes_found"] for one in counts]),
        ("holes invented", [one["holes_invented"] for one in counts]),
    ):
        rows.append([title, *(f"{number:,}" for number in numbers), ""])
    return rows


class Against(NamedTuple):
    """A comparison with another model, with pictures, by name, of the photos that gained or lost most."""

    comparison: Comparison
    pictures: Mapping[str, tuple[Tile, ...]]

    @property
    def parts(self) -> list[tuple[str, tuple[tuple[PhotoScore, PhotoScore], ...]]]:
        """Headings, each with the photos shown below it."""
        return [
            ("Largest gains", self.comparison.gains(NUM_CHANGES)),
            ("Largest losses", self.comparison.losses(NUM_CHANGES)),
        ]


class Chart(NamedTuple):
    """A chart and the numbers that it shows."""

    title: str
    svg: str  # an `svg` element; the title of each mark is its value
    columns: tuple[str, ...]  # headings of the table of numbers
    rows: tuple[tuple[str, ...], ...]


def new_axes(width: float = 3.7, height: float = 2.1) -> Axes:
    """Empty axes in a new figure in the style of the pages; width and height are in inches."""
    with matplotlib.rc_context(_STYLE):
        figure: Any = Figure(figsize=(width, height), layout="constrained")
        axes: Axes = figure.add_subplot()
        axes.grid(visible=True, axis="y")
        axes.set_axisbelow(True)
    return axes


def titled(text: str) -> str:
    """The `gid` of an artist that shows `text` as a tooltip; see `svg_of`."""
    return f"title:{text}"


def svg_of(axes: Axes) -> str:
    """A figure as an inline `svg` element, without ids and URLs of its own, and with the titles of its marks."""
    figure: Any = axes.get_figure(root=True)
    file = io.StringIO()
    setp(figure.findobj(Text), parse_math=False)  # a dollar sign in a name does not start a formula
    with matplotlib.rc_context(_STYLE), warnings.catch_warnings(action="ignore", category=UserWarning):
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    root = ElementTree.fromstring(_NOT_XML.sub("\ufffd", file.getvalue()))
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{_SVG}metadata", f"{_SVG}style"):
                parent.remove(child)
    for element in root.iter():
        name = element.attrib.get("id", "")
        if name.startswith("title:"):
            title = ElementTree.Element("title")
            title.text = name.removeprefix("title:")
            element.insert(0, title)
        if element.tag == f"{_SVG}g":
            element.attrib.pop("id", None)
        if _LINK in element.attrib:
            element.attrib["href"] = element.attrib.pop(_LINK)
        if element.tag == f"{_SVG}text":
            style = element.attrib.get("style", "").split(";")
            element.attrib["style"] = ";".join(part for part in style if "font-family" not in part)
        element.tag = element.tag.removeprefix(_SVG)
    for key in ("version", "width", "height"):
        root.attrib.pop(key, None)
    return ElementTree.tostring(root, encoding="unicode")


def histogram(title: str, values: Mapping[str, Sequence[float]], *, higher_is_better: bool, decimals: int) -> Chart:
    """A histogram of a metric's `values`, given and stacked by view; at least one value is needed.

    The worst fortieth of the photos is counted in the outermost column, whose title says so: otherwise a few outliers
    would squeeze all others into one column.
    """
    every = np.concatenate([np.asarray(part, np.float64) for part in values.values()])
    low, high = float(every.min()), float(every.max())
    if higher_is_better:
        low = min(float(np.percentile(every, 2.5)), high)
    else:
        high = max(float(np.percentile(every, 97.5)), low)
    room = 0.5e-3 if high - low < 1e-6 else 0.0
    edges = np.linspace(low - room, high + room, _BINS + 1)
    counts = [np.histogram(np.clip(part, edges[0], edges[-1]), edges)[0] for part in values.values()]
    axes, below = new_axes(), np.zeros(_BINS, np.int64)
    ends = [min(every.min(), edges[0]), *edges[1:-1], max(every.max(), edges[-1])]
    labels = [f"{one:.{decimals}f} to {other:.{decimals}f}" for one, other in pairwise(ends)]
    for number, (view, heights) in enumerate(zip(values, counts, strict=True)):
        color = SERIES[number % len(SERIES)]
        bars = axes.bar(edges[:-1], heights, np.diff(edges) * 0.9, bottom=below, align="edge", color=color)
        for bar, label, num in zip(bars, labels, heights, strict=True):
            if num:
                bar.set_gid(titled(f"{label}: {num} {view}"))
        below = below + heights
    axes.set_xlim(edges[0], edges[-1])
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    rows = [
        (label, *map(str, column)) for label, column in zip(labels, np.transpose(counts), strict=True) if any(column)
    ]
    return Chart(title, svg_of(axes), ("range", *values), tuple(rows))


def threshold_chart(sweeps: Mapping[str, Sequence[float]], *, depth: float = _CURVE_DEPTH) -> Chart:
    """Mean Dice over `THRESHOLDS`, a line for each convention, down to `depth` below the highest point."""
    axes = new_axes()
    for number, (convention, values) in enumerate(sweeps.items()):
        axes.plot(THRESHOLDS, values, color=SERIES[number], linewidth=1.5)
        for at, value in zip(THRESHOLDS, values, strict=True):
            gid = titled(f"{convention}, threshold {at:.2f}: {value:.4f}")
            axes.plot([at], [value], "o", color=SERIES[number], markersize=3.5, gid=gid)
    top, lowest = max(map(max, sweeps.values())), min(map(min, sweeps.values()))
    floor = max(lowest, top - depth)
    room = 0.06 * max(top - floor, 1e-4)
    axes.set(xlim=(0, 1), ylim=(floor - room, top + room))
    rows = tuple(
        (f"{at:.2f}", *(f"{values[place]:.4f}" for values in sweeps.values())) for place, at in enumerate(THRESHOLDS)
    )
    return Chart("Mean Dice by threshold", svg_of(axes), ("threshold", *sweeps), rows)


def render_report(
    totals: Totals,
    scores: Sequence[PhotoScore],
    worst_photos: Sequence[WorstPhoto],
    *,
    dataset: str,
    against: "Against | None" = None,
) -> str:
    """The HTML page: totals, the worst photos with the worst first, a row per photo; `dataset` describes the data."""
    measured = [score for score in scores if score.measures is not None]
    curves = {convention: sweep.mean_dice for convention, sweep in totals.sweeps.items()}
    columns = [*totals.by_view[:1], *([totals.without_wrong] if totals.without_wrong else []), *totals.by_view[1:]]
    template = page_environment().get_template("report.html.j2")
    return template.render(
        totals=totals,
        columns=columns,
        dataset=dataset,
        seen=seen_sentence(totals) if measured else "",
        wrong=wrong_sentence(totals).replace("the last", "the row below all") if totals.num_wrong else "",
        metrics=METRICS,
        reported=reported_metrics(totals.by_view[0]) if measured else [],
        pooled=pooled_rows(totals.by_view) if measured and totals.by_view[0].counts else [],
        views=[total.view for total in totals.by_view[1:]],
        histograms=_histograms(measured),
        sweeps=[(convention, sweep_sentence(convention, sweep)) for convention, sweep in totals.sweeps.items()],
        thresholds=threshold_chart(curves) if curves else None,
        worst_photos=worst_photos,
        against=against,
        differences=difference_rows(against.comparison) if against else [],
        gain_of=gain_of,
        without_score=[score for score in scores if score.status != "ok"][:_LISTED],
        num_without_score=sum(score.status != "ok" for score in scores),
        rows=[_row_of(score) for score in scores],
    )


def page_environment(*packages: str, escape: bool = True) -> Environment:
    """Jinja environment for pages in the evaluation's style; templates of `packages` come first, `escape` for HTML."""
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package) for package in (*packages, "garmentcut.evaluation")]),
        autoescape=escape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "base64": lambda data: base64.b64encode(data).decode("ascii"),
        "interval": interval,
        "percents": partial(interval, decimals=0, factor=100),
        "number": number,
    }
    colors = {f"s{place}": color for place, color in enumerate(SERIES)}
    colors |= {name: "rgb({} {} {})".format(*rgb) for name, rgb in (("missing", MISSING_RGB), ("extra", EXTRA_RGB))}
    environment.globals["colors"] = colors
    return environment


def _histograms(measured: Sequence[PhotoScore]) -> list[Chart]:
    """A chart for each metric shown, stacked by view in the order of the totals."""
    drawn, ordered = [], sorted(measured, key=lambda score: view_order(score.view))
    for metric in (metric for metric in METRICS if metric.key in _SHOWN):
        by_view: dict[str, list[float]] = {}
        for score in ordered:
            if (value := getattr(score.measures, metric.key)) is not None:
                by_view.setdefault(score.view, []).append(value)
        if by_view:
            title = metric.title + (f", {metric.unit}" if metric.unit else "")
            drawn.append(histogram(title, by_view, higher_is_better=metric.higher_is_better, decimals=metric.decimals))
    return drawn


def _row_of(score: PhotoScore) -> list[Any]:
    """A row of the page's table of photos; values are rounded to keep the page of 10,000 photos small."""
    values = [(getattr(score.measures, metric.key, None), metric.decimals) for metric in METRICS]
    rounded = [None if value is None else round(value, decimals) for value, decimals in values]
    return [score.name, score.view, score.split, score.status, score.seen, *rounded, score.seconds]
