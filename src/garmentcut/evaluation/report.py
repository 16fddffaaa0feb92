"""One HTML page of an evaluation: totals, distributions, thresholds, the worst photos, every photo. Works offline."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from garmentcut.evaluation import charts
from garmentcut.evaluation.gallery import Exhibit
from garmentcut.evaluation.measures import METRICS
from garmentcut.evaluation.pictures import EXTRA_RGB, MISSING_RGB
from garmentcut.evaluation.scores import PhotoScore
from garmentcut.evaluation.table import interval, number, percents, sweep_sentence, wrong_sentence
from garmentcut.evaluation.thresholds import THRESHOLDS
from garmentcut.evaluation.totals import Totals, seen_sentence, view_order
from garmentcut.photo.files import write_atomic

_SHOWN = ("dice", "surface_dice_2px", "boundary_iou_2px", "hd95_px", "assd_px", "rim_sad")
"""Metrics whose distributions are drawn."""

_CURVE_DEPTH = 0.02  # Dice
_LISTED = 200  # failed and refused photos; all of them are in the table and in scores.jsonl


def write_report(
    path: Path, totals: Totals, scores: Sequence[PhotoScore], exhibits: Sequence[Exhibit], *, dataset: str
) -> None:
    """Write the page, whole or not at all.

    Args:
        path: an HTML file.
        totals: of `scores`.
        scores: a row a photo.
        exhibits: the worst photos, worst first.
        dataset: what it was measured on, in words.

    Raises:
        OSError: the file cannot be written.
    """
    write_atomic(path, render_report(totals, scores, exhibits, dataset=dataset).encode("utf-8", "backslashreplace"))


def render_report(totals: Totals, scores: Sequence[PhotoScore], exhibits: Sequence[Exhibit], *, dataset: str) -> str:
    """The page as text; see `write_report`."""
    environment = Environment(
        loader=PackageLoader("garmentcut.evaluation"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"base64": _base64, "interval": interval, "percents": percents, "number": number}
    measured = [score for score in scores if score.measures is not None]
    return environment.get_template("report.html.j2").render(
        totals=totals,
        dataset=dataset,
        seen=seen_sentence(totals) if measured else "",
        wrong=wrong_sentence(totals).replace("the last", "the row below all") if totals.num_wrong else "",
        metrics=METRICS,
        views=[total.view for total in totals.by_view[1:]],
        histograms=_histograms(measured),
        sweeps=_sweeps(totals),
        curves=_curves(totals),
        exhibits=exhibits,
        missing=_css(MISSING_RGB),
        extra=_css(EXTRA_RGB),
        troubled=[score for score in scores if score.status != "ok"][:_LISTED],
        num_troubled=sum(score.status != "ok" for score in scores),
        rows=[_row_of(score) for score in scores],
        frame=charts.FRAME,
    )


def _histograms(measured: Sequence[PhotoScore]) -> list[tuple[str, charts.Histogram]]:
    """Title and chart of each shown metric, stacked by view in the order of the totals."""
    drawn = []
    for metric in METRICS:
        if metric.key in _SHOWN and measured:
            by_view: dict[str, list[float]] = {}
            for score in sorted(measured, key=lambda score: view_order(score.view)):
                by_view.setdefault(score.view, []).append(getattr(score.measures, metric.key))
            chart = charts.histogram(by_view, higher_is_better=metric.higher_is_better, decimals=metric.decimals)
            drawn.append((metric.title + (f", {metric.unit}" if metric.unit else ""), chart))
    return drawn


def _sweeps(totals: Totals) -> list[tuple[str, str]]:
    pairs = (("alpha >= 128", totals.sweep), ("alpha > 0", totals.sweep_any))
    return [(convention, sweep_sentence(convention, sweep)) for convention, sweep in pairs if sweep is not None]


def _curves(totals: Totals) -> charts.Curves | None:
    sweeps = [sweep.mean_dice for sweep in (totals.sweep, totals.sweep_any) if sweep is not None]
    return charts.curves(THRESHOLDS, sweeps, depth=_CURVE_DEPTH) if sweeps else None


def _row_of(score: PhotoScore) -> list[Any]:
    """Cells of the page's table of photos, rounded: the page of 10,000 photos stays light."""
    values = [
        None if score.measures is None else round(getattr(score.measures, metric.key), metric.decimals)
        for metric in METRICS
    ]
    return [score.name, score.view, score.split, score.status, score.seen, *values, score.seconds]


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _css(rgb: tuple[int, int, int]) -> str:
    return f"rgb({rgb[0]} {rgb[1]} {rgb[2]})"
