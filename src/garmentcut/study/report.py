"""Writes the page of a study: its question, what may be concluded, table, plots, and how to repeat it."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from matplotlib.ticker import LogLocator, MaxNLocator

from garmentcut.evaluation.report import SERIES, Chart, new_axes, page_environment, svg_of, titled
from garmentcut.photo.files import write_atomic
from garmentcut.study.compare import (
    Growth,
    Results,
    VariantResult,
    compare,
    conclusions,
    fit_growth,
    headline,
    interval_text,
    reach_of,
    signed,
)
from garmentcut.study.declare import Variant, at_edge, words_of
from garmentcut.training.run import versions

CONVENTION = "alpha >= 128"
_DIGITS_OF_DATA = 12
_LONGEST_NAME = 34
_ROW_KEYS = ("num_done", "num_runs", "num_photos", "mean", "median", "surface", "seconds")
_BETTER, _WORSE, _OPEN = "#2b7a4b", "#b3402a", "#7d8794"


@dataclass(frozen=True)
class Report:
    """Everything that the page says.

    Attributes:
        results: of the study.
        rows: a row a variant, the reference first.
        growth: a fitted curve; None: not asked for, or too few variants.
        command: that made it.
    """

    results: Results
    rows: tuple[VariantResult, ...]
    growth: Growth | None
    command: str

    @property
    def headline(self) -> str:
        """The answer in a sentence."""
        return headline(self.rows)

    @property
    def conclusions(self) -> list[str]:
        """What may be said of each variant."""
        return conclusions(self.rows)

    @property
    def facts(self) -> list[tuple[str, str]]:
        """What is needed to repeat it."""
        study = self.results.study
        machines = sorted({run.machine for run in self.results.runs if run.machine})
        folds = f"{', '.join(map(str, study.file.folds))} ({study.manifest.scheme or 'splits of its own'})"
        return [
            ("command", self.command),
            ("data", _data_words(self.results)),
            ("photos measured", _measured_words(self.results)),
            ("convention", f"Dice of {CONVENTION} on both sides, at the photos' own size, weights of the last step"),
            ("seeds", ", ".join(map(str, study.file.seeds))),
            ("folds held out", folds),
            ("trained at", "; ".join(_sizes(self.results))),
            ("machine", "; ".join(machines) or "none yet"),
            ("versions", ", ".join(f"{name} {number}" for name, number in versions().items())),
        ]

    def as_dict(self) -> dict[str, Any]:
        """For machines."""
        study = self.results.study
        return {
            "title": study.file.title,
            "question": study.file.question,
            "headline": self.headline,
            "conclusions": self.conclusions,
            "reference": study.reference.name,
            "variants": [_variant_dict(row, self.results) for row in self.rows],
            "runs": [
                {
                    "run": run.key.path,
                    "variant": run.key.variant.name,
                    "seed": run.key.seed,
                    "fold": run.key.fold,
                    "outcome": run.outcome,
                    "reason": run.reason,
                    "mean_dice": run.mean_dice,
                    "seconds": run.seconds,
                }
                for run in self.results.runs
            ],
            "growth": self.growth and asdict(self.growth),
            "facts": dict(self.facts),
            "data_sha256": study.manifest.sha256,
        }


def make_report(results: Results, command: str) -> Report:
    """Compare, and fit the curve where the study's file asks for one."""
    curve = results.study.file.curve
    return Report(results, compare(results), fit_growth(results, curve.at) if curve else None, command)


def write_report(report: Report) -> Path:
    """Write `report.html`, `report.md`, `results.json` and `plots/` into the study's folder.

    Returns:
        The HTML page.

    Raises:
        OSError: the folder cannot be written.
    """
    folder, charts = report.results.study.folder, charts_of(report)
    for name, chart in charts.items():
        alone = chart.svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
        write_atomic(folder / "plots" / f"{name}.svg", alone.encode())
    results = report.results
    values = {
        "report": report,
        "study": results.study,
        "charts": charts,
        "rows": report.rows,
        "said": list(zip(report.rows[1:], report.conclusions, strict=True)),
        "reach": reach_of(report.rows),
        "tuned": [(one, chosen_words(one, results)) for one in results.study.variants if one.is_tuned],
        "without_score": [run for run in results.runs if run.outcome != "done"],
        "with_garments": any(variant.garments for variant in results.study.variants),
        "growth_garments": {row.variant.name: _garments(row, results) for row in report.rows},
    }
    write_atomic(folder / "results.json", (json.dumps(report.as_dict(), indent=1) + "\n").encode())
    for name, template in (("report.md", "report.md.j2"), ("report.html", "study.html.j2")):
        environment = page_environment("garmentcut.study", escape=name.endswith("html"))
        environment.filters |= {
            "difference": interval_text,
            "signed": signed,
            "words": words_of,
            "cell": lambda text: " ".join(text.split()).replace("|", "\\|"),
            "p": lambda p: "" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}",
        }
        write_atomic(folder / name, environment.get_template(template).render(values).encode())
    return folder / "report.html"


def charts_of(report: Report) -> dict[str, Chart]:
    """By name; those that have something to show."""
    drawn = {"differences": differences_chart(report.rows), "curves": curves_chart(report.results)}
    if report.growth is not None:
        drawn["growth"] = growth_chart(report.growth)
    return {name: chart for name, chart in drawn.items() if chart is not None}


def differences_chart(rows: Sequence[VariantResult]) -> Chart | None:
    """Each variant's difference from the reference, with its interval; None: there is none yet."""
    shown = [(row.variant.name, row.paired) for row in rows[1:] if row.paired]
    if not shown:
        return None
    axes = new_axes(8.2, 0.9 + 0.3 * len(shown))
    for place, (name, paired) in enumerate(shown):
        color = {"better": _BETTER, "worse": _WORSE}.get(paired.verdict, _OPEN)
        text = f"{signed(paired.dice.value)} {interval_text(paired.dice)}".strip()
        if paired.dice.low is not None and paired.dice.high is not None:
            axes.plot([paired.dice.low, paired.dice.high], [place, place], "|-", color=color, linewidth=2)
        axes.plot([paired.dice.value], [place], "o", color=color, gid=titled(f"{name}: {text}"))
    axes.axvline(0, color=_OPEN, linewidth=1)
    axes.set_yticks(range(len(shown)), [_short(name) for name, _ in shown])
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x")
    title = f"difference of mean Dice from {rows[0].variant.name}: to the right, better"
    numbers = tuple((name, signed(paired.dice.value), interval_text(paired.dice)) for name, paired in shown)
    return Chart(title, svg_of(axes), ("variant", "difference", "95 % interval"), numbers)


def curves_chart(results: Results) -> Chart | None:
    """Mean Dice of the held-out photos while training: a line a variant, thin ones for its runs; None: nothing ran.

    The axis begins with the second half of the trainings: there the variants differ, before they all climb.
    """
    runs = {one.name: [run for run in results.of(one) if run.curve] for one in results.study.variants}
    runs = {name: found for name, found in runs.items() if found}
    if not runs:
        return None
    axes, numbers = new_axes(8.2, 3.4), []
    for number, (name, found) in enumerate(runs.items()):
        color, style = SERIES[number % len(SERIES)], ("-", "--", ":", "-.")[number // len(SERIES) % 4]
        for run in found if len(found) > 1 else ():
            axes.plot(*zip(*run.curve, strict=True), color=color, linewidth=0.7, alpha=0.4)
        by_step: dict[int, list[float]] = {}
        for step, dice in (look for run in found for look in run.curve):
            by_step.setdefault(step, []).append(dice)
        mean = [(step, fmean(values)) for step, values in sorted(by_step.items()) if len(values) == len(found)]
        axes.plot(
            [step for step, _ in mean], [dice for _, dice in mean], style, color=color, label=_short(name).lstrip("_")
        )
        for step, dice in mean:
            gid = titled(f"{name}, step {step}: {dice:.4f}")
            axes.plot([step], [dice], "o", color=color, markersize=3.5, gid=gid)
            numbers.append((name, str(step), f"{dice:.4f}"))
    late = [
        dice for found in runs.values() for run in found for step, dice in run.curve if 2 * step >= run.curve[-1][0]
    ]
    room = max(0.06 * (max(late) - min(late)), 1e-4)
    axes.set(ylim=(min(late) - room, max(late) + room), xlabel="step")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, labelcolor=_OPEN)
    return Chart("mean Dice while training", svg_of(axes), ("variant", "step", "mean Dice"), tuple(numbers))


def growth_chart(growth: Growth) -> Chart:
    """Errors over numbers of garments, measured and beyond."""
    axes, points = new_axes(8.2, 3.4), (*growth.measured, *growth.beyond)
    low, high = (edge(point.garments for point in points) for edge in (min, max))
    sizes = [low / 1.3 * (1.69 * high / low) ** (k / 80) for k in range(81)]
    axes.plot(sizes, [growth(size) for size in sizes], "--", color=SERIES[0], linewidth=1)
    for point in points:
        color = SERIES[0] if point in growth.measured else _OPEN
        axes.plot([point.garments] * 2, [max(point.low, 1e-6), point.high], "_-", color=color)
        text = f"{point.garments:,} garments: error {point.error:.4f} [{point.low:.4f}, {point.high:.4f}]"
        axes.plot([point.garments], [point.error], "o", color=color, gid=titled(text))
    axes.set(xscale="log", yscale="log", xlabel="garments learned from", ylabel="error = 1 - Dice")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter("{x:,g}")
        axis.set_minor_formatter("")
    numbers = tuple((f"{one.garments:,}", f"{one.error:.4f}", f"[{one.low:.4f}, {one.high:.4f}]") for one in points)
    title = "error over garments learned from; blue: measured, gray: read off the curve"
    return Chart(title, svg_of(axes), ("garments", "error", "95 % interval"), numbers)


def chosen_words(variant: Variant, results: Results) -> str:
    """What tuning chose for a variant, and whether a better value may lie beyond what was tried."""
    if (chosen := results.chosen.get(variant.name)) is None:
        return results.permanent_failures.get(variant.name, "not chosen yet")
    text = f"{words_of(chosen.setting)}, of {chosen.num_tried} tried" if chosen.dice else words_of(chosen.setting)
    text += f", {chosen.num_failed} of them failed" if chosen.num_failed else ""
    if edge := at_edge(chosen.setting, variant.tuned):
        text += f"; {', '.join(edge)} is at the edge of what was tried: a better value may lie beyond"
    return text


def _garments(row: VariantResult, results: Results) -> str:
    numbers = sorted({run.num_garments for run in results.of(row.variant)})
    return str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"


def _variant_dict(row: VariantResult, results: Results) -> dict[str, Any]:
    chosen = results.chosen.get(row.variant.name)
    return {
        "variant": row.variant.name,
        "settings": row.variant.own,
        "chosen": chosen.setting if chosen else None,
        **{key: getattr(row, key) for key in _ROW_KEYS},
        "paired": row.paired and asdict(row.paired),
    }


def _data_words(results: Results) -> str:
    manifest = results.study.manifest
    garments = len({pair.garment for pair in manifest.usable})
    return (
        f"{manifest.folder.resolve().name}: {len(manifest.usable)} photos of {garments} garments, fingerprint"
        f" {manifest.sha256[:_DIGITS_OF_DATA]}"
    )


def _measured_words(results: Results) -> str:
    scores = [score for run in results.runs for score in run.scores]
    photos = {score.name: score for score in scores if score.measures}
    text = f"{len(photos)} of {len({score.garment for score in photos.values()})} garments"
    refused = sum(score.status == "refused" for score in scores)
    failed = sum(score.status == "failed" for score in scores)
    text += f"; {refused} times a network found no garment (counted as an empty cutout)" if refused else ""
    return text + (f"; {failed} times a photo could not be read (counted nowhere)" if failed else "")


def _sizes(results: Results) -> Sequence[str]:
    """Such as `768x512, 1000 steps of 12 photos`; several where the variants differ."""
    found = dict[str, list[str]]()
    for variant in results.study.variants:
        chosen = results.chosen.get(variant.name)
        recipe = variant.recipe(results.study.file.seeds[0], chosen.setting if chosen else None)
        height, width = recipe.data.size_hw
        words = f"{width}x{height}, {recipe.training.steps} steps of {recipe.training.batch} photos"
        found.setdefault(words, []).append(variant.name)
    return [words if len(found) == 1 else f"{words} ({', '.join(names)})" for words, names in found.items()]


def _short(name: str) -> str:
    name = "".join(letter if letter.isprintable() else "\ufffd" for letter in name)
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
