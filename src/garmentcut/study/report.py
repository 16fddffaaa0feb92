"""The page of a study: its question, what may be concluded, table, plots, and all that is needed to repeat it."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from garmentcut.photo.files import write_atomic
from garmentcut.study.arms import Arm
from garmentcut.study.comparison import ArmResult, compare
from garmentcut.study.growth import Growth, fit_growth
from garmentcut.study.knobs import at_edge, words_of
from garmentcut.study.plots import curves_svg, differences_svg, growth_svg
from garmentcut.study.results import Results
from garmentcut.study.verdicts import conclusions, headline, interval_text, reach_of, signed
from garmentcut.training.run import versions

CONVENTION = "alpha >= 128"
_SIGNS_OF_DATA = 12


@dataclass(frozen=True)
class Report:
    """Everything that the page says.

    Attributes:
        results: of the study.
        rows: a row an arm, the reference first.
        growth: a fitted curve; None: not asked for, or too few arms.
        command: that made it.
    """

    results: Results
    rows: tuple[ArmResult, ...]
    growth: Growth | None
    command: str

    @property
    def headline(self) -> str:
        """The answer in a sentence."""
        return headline(self.rows)

    @property
    def conclusions(self) -> list[str]:
        """What may be said of each arm."""
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
            "arms": [_arm_dict(row, self.results) for row in self.rows],
            "runs": [
                {
                    "run": run.cell.key,
                    "arm": run.cell.arm.name,
                    "seed": run.cell.seed,
                    "fold": run.cell.fold,
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
    folder, plots = report.results.study.folder, plots_of(report)
    for name, svg in plots.items():
        write_atomic(folder / "plots" / f"{name}.svg", svg.encode())
    values = {"report": report, "study": report.results.study, "plots": plots, **_page_values(report)}
    write_atomic(folder / "results.json", (json.dumps(report.as_dict(), indent=1) + "\n").encode())
    write_atomic(folder / "report.md", _environment(escape=False).get_template("report.md.j2").render(values).encode())
    page = folder / "report.html"
    write_atomic(page, _environment(escape=True).get_template("study.html.j2").render(values).encode())
    return page


def plots_of(report: Report) -> dict[str, str]:
    """SVG by name; those that have something to show."""
    drawn = {"differences": differences_svg(report.rows), "curves": curves_svg(report.results)}
    if report.growth is not None:
        drawn["growth"] = growth_svg(report.growth)
    return {name: svg for name, svg in drawn.items() if svg}


def chosen_words(arm: Arm, results: Results) -> str:
    """What tuning chose for an arm, and whether a better value may lie beyond what was tried."""
    if (chosen := results.chosen.get(arm.name)) is None:
        return results.hopeless.get(arm.name, "not chosen yet")
    text = f"{words_of(chosen.setting)}, of {chosen.num_tried} tried" if chosen.dice else words_of(chosen.setting)
    text += f", {chosen.num_failed} of them failed" if chosen.num_failed else ""
    if edge := at_edge(chosen.setting, arm.knobs):
        text += f"; {', '.join(edge)} is at the edge of what was tried: a better value may lie beyond"
    return text


def _environment(*, escape: bool) -> Environment:
    environment = Environment(
        # The evaluation's style sheet serves here too.
        loader=ChoiceLoader([PackageLoader("garmentcut.study"), PackageLoader("garmentcut.evaluation")]),
        autoescape=escape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "interval": interval_text,
        "signed": signed,
        "words": words_of,
        "cell": _cell,
        "p": _p_words,
    }
    return environment


def _page_values(report: Report) -> dict[str, Any]:
    results = report.results
    return {
        "rows": report.rows,
        "said": list(zip(report.rows[1:], report.conclusions, strict=True)),
        "reach": reach_of(report.rows),
        "tuned": [(arm, chosen_words(arm, results)) for arm in results.study.arms if arm.is_tuned],
        "troubled": [run for run in results.runs if run.outcome != "done"],
        "with_garments": any(arm.garments for arm in results.study.arms),
        "growth_garments": {row.arm.name: _garments(row, results) for row in report.rows},
    }


def _garments(row: ArmResult, results: Results) -> str:
    numbers = sorted({run.num_garments for run in results.of(row.arm)})
    return str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"


def _arm_dict(row: ArmResult, results: Results) -> dict[str, Any]:
    content = {key: getattr(row, key) for key in _ROW_KEYS}
    chosen = results.chosen.get(row.arm.name)
    return {
        "arm": row.arm.name,
        "settings": row.arm.own,
        "chosen": chosen.setting if chosen else None,
        **content,
        "paired": row.paired and asdict(row.paired),
    }


_ROW_KEYS = ("num_done", "num_runs", "num_photos", "mean", "median", "surface", "seconds")


def _data_words(results: Results) -> str:
    manifest = results.study.manifest
    garments = len({pair.garment for pair in manifest.usable})
    return (
        f"{manifest.folder.resolve().name}: {len(manifest.usable)} photos of {garments} garments, fingerprint"
        f" {manifest.sha256[:_SIGNS_OF_DATA]}"
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
    """Such as `768x512, 1000 steps of 12 photos`; several where the arms differ."""
    found = dict[str, list[str]]()
    for arm in results.study.arms:
        chosen = results.chosen.get(arm.name)
        recipe = arm.recipe(results.study.file.seeds[0], chosen.setting if chosen else None)
        height, width = recipe.data.size_hw
        words = f"{width}x{height}, {recipe.training.steps} steps of {recipe.training.batch} photos"
        found.setdefault(words, []).append(arm.name)
    return [words if len(found) == 1 else f"{words} ({', '.join(names)})" for words, names in found.items()]


def _p_words(p: float | None) -> str:
    if p is None:
        return ""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _cell(text: str) -> str:
    """Text for a cell of a Markdown table."""
    return " ".join(text.split()).replace("|", "\\|")
