"""Commands for datasets (`garmentcut ingest`, `studio`) and for model files (`card`, `export`)."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from garmentcut.cli import shell as cli
from garmentcut.errors import counted

if TYPE_CHECKING:
    from garmentcut.model.card import ModelCard


@cli.command(cli.TRAIN)
@cli.options("""
    --out -o FOLDER: The dataset's folder.
    PHOTOS: Folder of the photos, searched with its subfolders; not needed with --from-review.
    CUTOUTS: Folder of the retouchers' cutouts. The default is the PSD files in the first folder.
    --from-review FOLDER: Take the corrections made in this folder with garmentcut review. May be given several times.
    --with-accepted: With --from-review: also take accepted cutouts.
    --pattern PATTERN: How files are named; * is anything, / a folder; <garment>/<garment> joins folder and file name.
    --cutout-pattern PATTERN: How cutouts are named, if not like the photos.
    --resample: Resample cutouts that have the photo's proportions, but not its size.
    --accept-unchanged: Also use PSD files that garmentcut wrote and nobody changed.
    --add: Keep the pairs of earlier runs that are not in these folders.
Split:
    --folds NUMBER: Split the garments into this many folds. The default is 5.
    --parts A/B/C: Split the garments into train, validation and test instead, for example 70/15/15.
    --seed NUMBER 0..: Seed of the split. The default is 0.
    --resplit: Make a new split, in which garments may change sides.
Running:
    --workers NUMBER 0..256: Number of threads; 0 is one per core.
""")
def ingest(
    out: str,
    photos: Path | None = None,
    cutouts: Path | None = None,
    from_review: list[Path] | None = None,
    with_accepted: bool = False,
    pattern: str = "<garment>_<view>",
    cutout_pattern: str = "",
    resample: bool = False,
    accept_unchanged: bool = False,
    add: bool = False,
    folds: int | None = None,
    parts: str | None = None,
    seed: int | None = None,
    resplit: bool = False,
    workers: int = 0,
    config: Path | None = None,
    set: list[str] | None = None,
    as_json: bool = False,
) -> int:
    """Make a dataset from photos and cutouts: pair them by name, check them, split them by garment.

    A cutout is a PNG, WebP or TIFF with alpha, a PSD, a file with a clipping path, or a mask, white on black. If a PSD
    has no photo file, its photo is taken from inside it; so one folder is enough for PSDs that garmentcut wrote and a
    retoucher corrected, or that lie beside their photos. Unchanged pairs are not read again, so the same command
    continues a run that was stopped; garments keep their split when others are added. OUT/manifest.jsonl has a row for
    each pair, including refused ones. Exit code 0: all fine, 1: some pairs were refused, 2: misuse.

    Example: garmentcut ingest photos/ cutouts/ -o dataset/

    Example: garmentcut ingest corrected/ -o dataset/ --add

    Example: garmentcut ingest --from-review cutouts/ -o dataset/ --add
    """
    if not out:
        cli.fail("an empty --out, perhaps a variable that is not set; '.' means this folder")
    if photos is None and not from_review:
        cli.fail("no photos: give their folder, or a folder of cutouts with --from-review")
    if folds is not None and parts is not None:
        cli.fail("--folds and --parts: give only one of them")
    from garmentcut.dataset.corrections import ReviewSource
    from garmentcut.dataset.ingest import Ingest, IngestOptions, IngestSummary
    from garmentcut.dataset.split import Scheme

    scheme = Scheme.of_parts(parts) if parts else Scheme.of_folds(folds) if folds is not None else None
    review, read = ReviewSource(tuple(from_review or ()), with_accepted), cli.load_settings(config, set).read
    flags = resplit, resample, accept_unchanged, add
    options = IngestOptions(pattern, cutout_pattern, scheme, seed, *flags, review, workers, read)
    with Ingest(photos, cutouts, Path(out), options) as work:
        plan = work.plan()
        summary = IngestSummary(work.folder, num_read=len(plan.todo), skipped=plan.skipped)
        with cli.progress_bar(len(plan.todo), "pairs") as advance:
            for entry in work.examine(plan):
                advance(entry.pair.name, next((f.text for f in entry.pair.faults if entry.pair.refused), ""))
        summary.rows = work.rows(plan)
        try:
            summary.outcome = work.finish(summary.rows)
        finally:  # also if there are too few garments, perhaps because most pairs were refused
            train = cli.shown("garmentcut", "train", "default", "--data", out, "--out", "runs/first")
            hint = "" if summary.rows else "correct cutouts in garmentcut review; accepted ones need --with-accepted"
            next_step = f"{train} to train a network" if summary.num_usable and summary.outcome else hint
            cli.show(summary.as_dict(), summary.as_text, as_json=as_json, next_step=next_step)
    return cli.SOME_FAILED if summary.refused else cli.OK


@cli.command(cli.TRAIN, stopped="stopped; the photos written so far are complete")
@cli.options("""
    --out -o FOLDER: Folder for the photos.
    --cutouts FOLDER: Folder for their exact cutouts. By default none are written.
    --seed NUMBER 0..: Draw the garment of this seed. May be given several times.
    --garments NUMBER 1..: Without --seed: how many garments to draw, with seeds 0, 1, 2 ...
    --height PIXELS 96..12000: Height in pixels; the width is two thirds of it.
""")
def studio(
    out: Path, cutouts: Path | None = None, seed: list[int] | None = None, garments: int = 1, height: int = 1728
) -> None:
    """Draw synthetic studio photos, three views of each garment, whose alpha is known exactly.

    They are for demonstrations, tests and pre-training. The same seed always draws the same photo.

    Example: garmentcut studio -o photos --cutouts cutouts --garments 10
    """
    from garmentcut.dataset.split import NUM_FOLDS
    from garmentcut.synthetic import write_studio_photos

    seeds = seed or list(range(garments))
    for path in write_studio_photos(out, seeds, size_hw=(height, height * 2 // 3), cutouts_dir=cutouts):
        cli.say(path)
    next_step = f"{cli.shown('garmentcut', 'cut', out, '--out', 'cut')} to cut them"
    if cutouts is not None and len(seeds) >= NUM_FOLDS:  # fewer garments are not enough for a dataset
        next_step = f"{cli.shown('garmentcut', 'ingest', out, cutouts, '--out', 'dataset')} to make a dataset"
    cli.say(f"next: {next_step}", err=True)


@cli.command(cli.TRAIN)
@cli.options("""
    MODEL: Model file. The default is the embedded model.
    --all: Show every field, not only what most people ask for.
""")
def card(model: Path | None = None, all: bool = False, as_json: bool = False) -> None:
    """Show a model's card: what it is, what it learned from, how good it is.

    Example: garmentcut card
    """
    from garmentcut.model.card import read_model
    from garmentcut.prediction.cutter import model_path

    found = read_model(model_path(model or "default"))[1]
    words = cli.shown("garmentcut", "card", *([model] if model else []), "--all")
    cli.show(
        asdict(found),
        lambda: "\n".join(_all_lines(found) if all else _ten_lines(found)),
        as_json=as_json,
        next_step="" if all else f"{words} shows every field",
    )


def _ten_lines(card: "ModelCard") -> list[str]:
    """The facts about a model that most people want to know."""
    height, width = card.working_size_hw
    lines = [
        f"model: {card.label}",
        f"licence: {card.licence}",
        f"trained on: {card.training_data}",
        f"photos remembered: {_trained_on(card)}",
        f"works at: {width}x{height} pixels",
    ]
    if card.stages is not None:
        height, width = card.stages.locate_hw
        lines.append(f"stages: locate at {width}x{height} pixels, segment at half size, refine along the edge")
    lines.append(f"edge: threshold {card.edge_bias:g}, steepness {card.edge_gain:g}, choke {card.choke_px:g} px")
    for score in card.scores[:1]:
        dice = f"{score.mean_dice:.4f}, median {score.median_dice:.4f} ({score.convention})"
        lines.append(f"score: mean Dice {dice}: {score.data}")
    return [*lines, f"doubt: {_doubt_text(card)}", f"acceptance: {_acceptance_text(card)}"]


def _all_lines(card: "ModelCard") -> list[str]:
    content = asdict(card)
    content["trained_on"] = _trained_on(card)
    del content["trained_hashes"]
    content["parity"] = "not measured" if card.parity is None else card.parity
    content["doubt"], content["acceptance"] = _doubt_text(card), _acceptance_text(card)
    scores = content.pop("scores")
    lines = [f"{key}: {_plain(value)}" for key, value in content.items()]
    return [*lines, *(f"score: {_plain(score)}" for score in scores)]


def _plain(value: Any) -> str:
    return ", ".join(f"{key} {one}" for key, one in value.items()) if isinstance(value, dict) else str(value)


def _trained_on(card: "ModelCard") -> str:
    return f"{counted(len(card.trained_on), 'photo')}, whose hashes --json lists" if card.trained_on else "none"


def _doubt_text(card: "ModelCard") -> str:
    if card.doubt is None:
        return "none; garmentcut calibrate teaches it"
    rank = card.doubt.rank_correlation
    return f"learned from {card.doubt.data}; rank correlation {'not known' if rank is None else rank}"


def _acceptance_text(card: "ModelCard") -> str:
    acceptance = card.acceptance
    if acceptance is None:
        return "none"
    found = next(one for one in acceptance.thresholds if one.risk == acceptance.risk)
    guarantee = f"risk {acceptance.risk:g} of falling under {acceptance.quality:g}"
    if found.max_doubt is None:
        return f"{guarantee}: {found.reason}"
    return f"{guarantee}, confidence {acceptance.confidence:g}: doubt up to {found.max_doubt:.3f}"


@cli.command(cli.TRAIN, stopped="stopped; nothing was written")
@cli.options("""
    RUN: Folder of a training run (its best.safetensors), or a .safetensors file.
    --out -o FILE: Model file to write, for example model.onnx.
    --name TEXT: Name on the card. The default is the training's.
    --training-data TEXT: Description of the training data, for the card.
    --licence TEXT: Licence of the weights, for the card.
    --folds: Also write RUN/folds/*/model.onnx, which `garmentcut calibrate RUN` uses.
""")
def export(
    run: Path,
    out: Path,
    name: str | None = None,
    training_data: str | None = None,
    licence: str | None = None,
    folds: bool = False,
    as_json: bool = False,
) -> None:
    """Turn a trained network into a model file for `garmentcut cut --model`.

    The model takes photos of any size, and the file contains its card. Its alphas are compared with the trained
    network's; nothing is written if they differ by more than 0.001. A model of three stages is one file, too.

    Example: garmentcut export runs/mine -o mine.onnx
    """
    from garmentcut.export.model_file import export_folder, export_folds, unfinished
    from garmentcut.model.card import card_of
    from garmentcut.photo.files import write_atomic

    words = {"name": name, "training_data": training_data, "licence": licence}
    content = export_folder(run, {key: value for key, value in words.items() if value is not None})
    write_atomic(out, content)
    for path, of_fold in (export_folds(run) if folds else {}).items():
        write_atomic(path, of_fold)
    if left := unfinished(run):
        so_far = f"an export of its {left['weights']} weights so far, of step {left['step']} of {left['steps']}"
        cli.say(f"garmentcut: {run}: the training has not finished: {so_far}; its command continues it", err=True)
    found = card_of(content)
    height, width = found.working_size_hw
    lines = [f"{out}: {found.label}, {len(content) / 1e6:.1f} MB, for photos of about {width}x{height} pixels"]
    if found.stages is not None:
        lines.append("three stages in one file; weights are packed: locate's 8 bits each, the others' 16")
    lines.append(f"alpha differs from the trained network's by {found.parity} at most")
    cut = cli.shown("garmentcut", "cut", "photos", "--out", "cutouts", "--model", out)
    shown = asdict(found) | {"unfinished": left}
    cli.show(shown, lambda: "\n".join(lines), as_json=as_json, next_step=f"{cut} to cut with it")
