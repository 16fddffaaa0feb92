"""Writes the report of a study: its question, conclusions, table, plots, and how to repeat it."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from matplotlib.ticker import LogLocator, MaxNLocator

from garmentcut.evaluation.report import SERIES, Chart, new_axes, page_environment, svg_of, titled
from garmentcut.photo.files import write_atomic
from garmentcut.study.compare import (
    Growth,
    Results,
    VariantResult,
    conclusions,
    headline,
    interval_text,
    power_law,
    reach_of,
    signed,
)
from garmentcut.study.declare import Variant, at_edge, words_of
from garmentcut.training.run import versions

_DIGITS_OF_DATA = 12
_LONGEST_NAME = 34
_BETTER, _WORSE, _OPEN = "#2b7a4b", "#b3402a", "#7d8794"


def write_report(results: Results, command: str) -> Path:
    """Write `report.html`, `report.md`, `results.json` and `plots/` into the study's folder; returns the HTML page."""
    study, folder = results.study, results.study.folder
    drawn = ("differences", differences_chart(results.rows)), ("curves", curves_chart(results))
    charts = {name: chart for name, chart in (*drawn, ("growth", growth_chart(results.growth))) if chart}
    for name, chart in charts.items():
        alone = chart.svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
        write_atomic(folder / "plots" / f"{name}.svg", alone.encode())
    numbers = {row.variant.name: {run.num_garments for run in results.of(row.variant)} for row in results.rows}
    content = as_dict(results, command)
    values = content | {
        "study": study,
        "results": results,
        "charts": charts,
        "said": list(zip(results.rows[1:], content["conclusions"], strict=True)),
        "reach": reach_of(results.rows),
        "tuned": [(one, chosen_words(one, results)) for one in study.variants if one.table.is_tuned],
        "without_score": [run for run in results.runs if run.outcome != "done"],
        "with_garments": any(variant.table.garments for variant in study.variants),
        "garments": {name: " to ".join(map(str, sorted({min(found), max(found)}))) for name, found in numbers.items()},
    }
    write_atomic(folder / "results.json", (json.dumps(content, indent=1) + "\n").encode())
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


def as_dict(results: Results, command: str) -> dict[str, Any]:
    """The contents of the report for machines; can be stored as JSON."""
    study = results.study
    return {
        "title": study.file.title,
        "question": study.file.question,
        "headline": headline(results.rows),
        "conclusions": conclusions(results.rows),
        "reference": study.variants[0].name,
        "variants": [
            vars(row)
            | {
                "variant": row.variant.name,
                "settings": row.variant.table.by_key,
                "chosen": results.chosen[row.variant.name].setting if row.variant.name in results.chosen else None,
                "paired": row.paired and asdict(row.paired),
            }
            for row in results.rows
        ],
        "runs": [
            {"run": run.key.path, "variant": run.key.variant.name, "seed": run.key.seed, "fold": run.key.fold}
            | {name: getattr(run, name) for name in ("outcome", "reason", "mean_dice", "seconds")}
            for run in results.runs
        ],
        "growth": results.growth and asdict(results.growth),
        "facts": facts_of(results, command),
        "data_sha256": study.manifest.sha256,
    }


def facts_of(results: Results, command: str) -> dict[str, str]:
    """What is needed to repeat a study, in words."""
    study, manifest = results.study, results.study.manifest
    scores = [score for run in results.runs for score in run.scores]
    photos = {score.name: score.garment for score in scores if score.measures}
    measured = f"{len(photos)} of {len(set(photos.values()))} garments"
    if refused := sum(score.status == "refused" for score in scores):
        measured += f"; {refused} times a network found no garment (counted as an empty cutout)"
    if failed := sum(score.status == "failed" for score in scores):
        measured += f"; {failed} times a photo could not be read (counted nowhere)"
    return {
        "command": command,
        "data": f"{manifest.folder.resolve().name}: {len(manifest.usable)} photos of"
        f" {len({pair.garment for pair in manifest.usable})} garments, fingerprint {manifest.sha256[:_DIGITS_OF_DATA]}",
        "photos measured": measured,
        "convention": "Dice of alpha >= 128 on both sides, at the photos' own size, weights of the last step",
        "seeds": ", ".join(map(str, study.file.seeds)),
        "folds held out": f"{', '.join(map(str, study.file.folds))} ({manifest.scheme or 'splits of its own'})",
        "trained at": "; ".join(_sizes(results)),
        "machine": "; ".join(sorted({run.machine for run in results.runs if run.machine})) or "none yet",
        "versions": ", ".join(f"{name} {number}" for name, number in versions().items()),
    }


def differences_chart(rows: Sequence[VariantResult]) -> Chart | None:
    """A chart of each variant's difference from the reference, with its interval; None: there is none yet."""
    shown = [(row.variant.name, row.paired) for row in rows[1:] if row.paired]
    if not shown:
        return None
    axes = new_axes(8.2, 0.9 + 0.3 * len(shown))
    numbers = [(name, signed(paired.dice.value), interval_text(paired.dice)) for name, paired in shown]
    for place, (words, (_, paired)) in enumerate(zip(numbers, shown, strict=True)):
        color = {"better": _BETTER, "worse": _WORSE}.get(paired.verdict, _OPEN)
        if paired.dice.low is not None and paired.dice.high is not None:
            axes.plot([paired.dice.low, paired.dice.high], [place, place], "|-", color=color, linewidth=2)
        gid = titled("{}: {} {}".format(*words).strip())
        axes.plot([paired.dice.value], [place], "o", color=color, gid=gid)
    axes.axvline(0, color=_OPEN, linewidth=1)
    axes.set_yticks(range(len(shown)), [_short(name) for name, _ in shown])
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x")
    title = f"difference of mean Dice from {rows[0].variant.name}: to the right, better"
    return Chart(title, svg_of(axes), ("variant", "difference", "95 % interval"), tuple(numbers))


def curves_chart(results: Results) -> Chart | None:
    """A chart of mean Dice on held-out photos during training; None: nothing was run.

    Each variant has a line, and thin lines for its runs. The axis is scaled to the second half, where variants differ.
    """
    runs = {one.name: [run.curve for run in results.of(one) if run.curve] for one in results.study.variants}
    if not (curves := {name: found for name, found in runs.items() if found}):
        return None
    axes, numbers = new_axes(8.2, 3.4), []
    for number, (name, found) in enumerate(curves.items()):
        color, style = SERIES[number % len(SERIES)], ("-", "--", ":", "-.")[number // len(SERIES) % 4]
        for curve in found if len(found) > 1 else ():
            axes.plot(*zip(*curve, strict=True), color=color, linewidth=0.7, alpha=0.4)
        tables = [dict(curve) for curve in found]
        steps = sorted(set.intersection(*map(set, tables)))
        means = [fmean(table[step] for table in tables) for step in steps]
        axes.plot(steps, means, style, color=color, label=_short(name).lstrip("_"))
        for step, dice in zip(steps, means, strict=True):
            axes.plot([step], [dice], "o", color=color, markersize=3.5, gid=titled(f"{name}, step {step}: {dice:.4f}"))
            numbers.append((name, str(step), f"{dice:.4f}"))
    late = [dice for found in curves.values() for curve in found for step, dice in curve if 2 * step >= curve[-1][0]]
    room = max(0.06 * (max(late) - min(late)), 1e-4)
    axes.set(ylim=(min(late) - room, max(late) + room), xlabel="step")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, labelcolor=_OPEN)
    return Chart("mean Dice while training", svg_of(axes), ("variant", "step", "mean Dice"), tuple(numbers))


def growth_chart(growth: Growth | None) -> Chart | None:
    """A chart of errors over numbers of garments, measured and extrapolated; None: there is no curve."""
    if growth is None:
        return None
    axes, points = new_axes(8.2, 3.4), (*growth.measured, *growth.beyond)
    garments = [point.garments for point in points]
    sizes = np.geomspace(min(garments) / 1.3, max(garments) * 1.3, 81)
    axes.plot(sizes, power_law(sizes, growth.floor, growth.factor, growth.exponent), "--", color=SERIES[0], linewidth=1)
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
    """A sentence that says what tuning chose, and whether a better value may lie outside the tried range."""
    if (chosen := results.chosen.get(variant.name)) is None:
        return results.permanent_failures.get(variant.name, "not chosen yet")
    text = f"{words_of(chosen.setting)}, of {chosen.num_tried} tried" if chosen.dice else words_of(chosen.setting)
    text += f", {chosen.num_failed} of them failed" if chosen.num_failed else ""
    if edge := at_edge(chosen.setting, variant.table.tune.by_key):
        text += f"; {', '.join(edge)} is at the edge of what was tried: a better value may lie beyond"
    return text


def _sizes(results: Results) -> Sequence[str]:
    """Descriptions such as `768x512, 1000 steps of 12 photos`; several if the variants differ."""
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
