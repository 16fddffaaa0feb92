"""What a study may conclude, in words: no more than its intervals allow."""

from collections.abc import Sequence

from garmentcut.evaluation.intervals import Difference
from garmentcut.study.comparison import SIGNIFICANCE, ArmResult, Paired

_DRAWN = {
    "garments and seeds": "other garments of this kind and other seeds",
    "folds": "other folds, each a training of its own",
    "garments": "other garments of this kind, with these very networks",
}


def conclusions(rows: Sequence[ArmResult]) -> list[str]:
    """A sentence for each arm but the reference, in the order of the table."""
    reference = _quoted(rows[0].arm.name)
    return [_sentence(row, reference) for row in rows[1:]]


def headline(rows: Sequence[ArmResult]) -> str:
    """The answer in a line."""
    reference = _quoted(rows[0].arm.name)
    words = {
        "better": f"Better than {reference}",
        "worse": f"Worse than {reference}",
        "no difference shown": f"No difference from {reference} shown",
        "one training each": "No verdict, one training each",
        "too few garments": "No verdict, too few garments",
        "incomplete": "No verdict, runs are missing",
    }
    found: dict[str, list[str]] = {verdict: [] for verdict in words}
    for row in rows[1:]:
        found[row.paired.verdict if row.paired else "incomplete"].append(_quoted(row.arm.name))
    return " ".join(f"{words[verdict]}: {', '.join(names)}." for verdict, names in found.items() if names)


def _quoted(name: str) -> str:
    """An arm's name as it stands in a sentence: one with a comma would read as two."""
    return f'"{name}"' if "," in name else name


def reach_of(rows: Sequence[ArmResult]) -> str:
    """What the intervals are over, in a sentence."""
    paired = [row.paired for row in rows if row.paired]
    whole = [pairing for pairing in paired if pairing.verdict != "incomplete"]
    drawn = {pairing.dice.drawn for pairing in whole or paired}
    if not drawn:
        return ""
    num = sum(pairing.p_holm is not None for pairing in paired)
    over = "; or ".join(_DRAWN[kind] for kind in sorted(drawn))
    text = f"95 % intervals: where the mean difference would lie with {over}."
    if num > 1:
        text += (
            f" A verdict needs an interval without 0, and p at most {SIGNIFICANCE:g} after Holm's correction for"
            f" {num} comparisons."
        )
    return text


def signed(value: float, decimals: int = 4) -> str:
    """`+0.0012`, and `0.0000` without a sign."""
    text = f"{value:+.{decimals}f}"
    return text[1:] if float(text) == 0 else text


def interval_text(difference: Difference) -> str:
    """`[-0.0003, +0.0021]`, or nothing where there is none."""
    if difference.low is None or difference.high is None:
        return ""
    return f"[{signed(difference.low)}, {signed(difference.high)}]"


def _sentence(row: ArmResult, reference: str) -> str:
    name, paired = _quoted(row.arm.name), row.paired
    if paired is None:
        return f"{name}: not measured ({row.num_done} of {row.num_runs} runs done)."
    shown = f"{signed(paired.dice.value)} Dice"
    interval = interval_text(paired.dice)
    shown += f" {interval}" if interval else ""
    counts = f"better on {paired.better} photos, worse on {paired.worse}"
    counts += f", the same on {paired.same}" if paired.same else ""
    return f"{name}: {_verdict_words(paired, reference, row)}: {shown}; {counts}."


def _verdict_words(paired: Paired, reference: str, row: ArmResult) -> str:
    if paired.verdict in ("better", "worse"):
        return f"{paired.verdict} than {reference}"
    if paired.verdict == "incomplete":
        return f"no verdict, {row.num_done} of its {row.num_runs} runs are done, or not all of {reference}'s"
    if paired.verdict == "one training each":
        return "no verdict, one training each: another training might turn it round"
    if paired.verdict == "too few garments":
        return "no verdict, too few garments for an interval"
    if _excludes_zero(paired.dice):
        return f"no difference from {reference} shown, once corrected for the number of comparisons"
    return f"no difference from {reference} shown"


def _excludes_zero(difference: Difference) -> bool:
    low, high = difference.low, difference.high
    return low is not None and high is not None and (low > 0 or high < 0)
