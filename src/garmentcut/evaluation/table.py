"""What an evaluation found, as plain aligned text for a terminal."""

from collections.abc import Sequence

from garmentcut.evaluation.intervals import Estimate
from garmentcut.evaluation.measures import METRICS, Metric
from garmentcut.evaluation.scores import PhotoScore
from garmentcut.evaluation.thresholds import Sweep
from garmentcut.evaluation.totals import GOOD_DICE, VERY_GOOD_DICE, Total, Totals, seen_sentence

_SHOWN_FAILURES = 20

Table = Sequence[Sequence[str]]


def totals_text(totals: Totals, scores: Sequence[PhotoScore] = ()) -> str:
    """Totals by view, all metrics, thresholds, then the photos that were refused or could not be measured.

    Args:
        totals: of the evaluation.
        scores: its rows, for the names of photos that failed or were refused.
    """
    sections = [[_counts(totals), seen_sentence(totals)] if totals.num_measured else [_counts(totals)]]
    if totals.by_view:
        columns = totals.by_view + ((totals.without_wrong,) if totals.without_wrong else ())
        sections.append(["Dice, alpha >= 128, with 95 % intervals by garment", *aligned(_dice_rows(columns))])
        sections.append(["All metrics, mean over photos", *aligned(_metric_rows(columns))])
        if totals.num_wrong:
            sections.append([wrong_sentence(totals)])
    curves = (("alpha >= 128", totals.sweep), ("alpha > 0", totals.sweep_any))
    sections.append([sweep_sentence(convention, sweep) for convention, sweep in curves if sweep is not None])
    for status in ("refused", "failed"):
        rows = [f"{status}: {_one_line(row.name)}: {row.reason}" for row in scores if row.status == status]
        more = [f"... and {len(rows) - _SHOWN_FAILURES} more"] if len(rows) > _SHOWN_FAILURES else []
        sections.append(rows[:_SHOWN_FAILURES] + more)
    return "\n\n".join("\n".join(section) for section in sections if section)


def wrong_sentence(totals: Totals) -> str:
    """Says plainly how many of the cutouts are marked wrong."""
    return (
        f"{totals.num_wrong} of {totals.num_measured} cutouts are marked wrong; they are in all figures but the last."
    )


def sweep_sentence(convention: str, sweep: Sweep) -> str:
    """Where the best threshold lies and how flat the curve is around it."""
    low, high = sweep.flat
    return (
        f"Threshold, {convention}: best {sweep.best:.2f} with mean Dice {max(sweep.mean_dice):.4f},"
        f" within 0.0005 of it from {low:.2f} to {high:.2f}"
    )


def number(value: float, metric: Metric) -> str:
    """A metric's value with as many decimals as it deserves."""
    return f"{value:.{metric.decimals}f}"


def interval(estimate: Estimate, decimals: int) -> str:
    """`[low, high]`, or nothing where there is none."""
    if estimate.low is None or estimate.high is None:
        return ""
    return f"[{estimate.low:.{decimals}f}, {estimate.high:.{decimals}f}]"


def percents(estimate: Estimate) -> str:
    """The interval of a share: `[60, 74]`, in percent, or nothing where there is none."""
    if estimate.low is None or estimate.high is None:
        return ""
    return f"[{100 * estimate.low:.0f}, {100 * estimate.high:.0f}]"


def aligned(rows: Table) -> list[str]:
    """Rows of cells as lines: the first column to the left, the others to the right."""
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
    return f"{totals.num_photos} photos: {', '.join(parts)}{rate}; model {', '.join(totals.models)}"


def _dice_rows(totals: Sequence[Total]) -> Table:
    rows = [["view", "photos", "garments", "mean", "", "median", "", "worst 5 %", "", ">= 0.990", "", ">= 0.995", ""]]
    for total in totals:
        dice = total.figures["dice"]
        figures = [dice[key] for key in ("mean", "median", "worst")]
        cells = [cell for figure in figures for cell in (f"{figure.value:.4f}", interval(figure, 4))]
        found = [dice[f"share_{limit:g}"] for limit in (GOOD_DICE, VERY_GOOD_DICE)]
        shares = [cell for share in found for cell in (f"{100 * share.value:.0f} %", percents(share))]
        rows.append([total.view, str(total.num_photos), str(total.num_garments), *cells, *shares])
    return rows


def _metric_rows(totals: Sequence[Total]) -> Table:
    rows = [["", *(total.view for total in totals), "95 % interval, all"]]
    for metric in METRICS:
        unit = f" ({metric.unit})" if metric.unit else ""
        means = [total.figures[metric.key]["mean"] for total in totals]
        cells = [number(mean.value, metric) for mean in means]
        rows.append([metric.title + unit, *cells, interval(means[0], metric.decimals)])
    return rows


def _one_line(text: str) -> str:
    return text.replace("\n", "\\n").replace("\r", "\\r")
