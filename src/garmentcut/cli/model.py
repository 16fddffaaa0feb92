"""`garmentcut card` shows a model file's card; `garmentcut export` makes a model file of a trained run."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from garmentcut.cli import shell as cli
from garmentcut.errors import counted

if TYPE_CHECKING:
    from garmentcut.model.card import ModelCard


@cli.command(cli.TRAIN)
def card(
    model: Annotated[Path | None, cli.argument("MODEL", "Model file. The default is the embedded model.")] = None,
    all: Annotated[bool, cli.flag("--all", "Show every field, not only what most people ask for.")] = False,
    as_json: cli.JsonOption = False,
) -> None:
    """Show a model's card: what it is, what it learned from, how good it is.

    Example: garmentcut card
    """
    from garmentcut.model.card import read_model
    from garmentcut.prediction.cutter import default_model

    found = read_model(model or default_model())[1]
    words = cli.shown("garmentcut", "card", *([model] if model else []), "--all")
    cli.show(
        asdict(found),
        lambda: "\n".join(_all_lines(found) if all else _ten_lines(found)),
        as_json=as_json,
        next_step="" if all else f"{words} shows every field",
    )


def _ten_lines(card: "ModelCard") -> list[str]:
    """What most people ask of a model."""
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
def export(
    run: Annotated[Path, cli.argument("RUN", "Folder of a training (its best.safetensors), or a .safetensors file.")],
    out: Annotated[Path, cli.out_option("Model file to write, for example model.onnx.", "FILE")],
    name: Annotated[str | None, cli.option("Name on the card. The default is the training's.", "TEXT")] = None,
    training_data: Annotated[str | None, cli.option("On the card: what it was trained on, in words.", "TEXT")] = None,
    licence: Annotated[str | None, cli.option("On the card: licence of the weights.", "TEXT")] = None,
    folds: Annotated[
        bool, cli.flag("--folds", "Also write RUN/folds/*/model.onnx, which `garmentcut calibrate RUN` uses.")
    ] = False,
    as_json: cli.JsonOption = False,
) -> None:
    """Turn a trained network into a model file that `garmentcut cut --model` takes.

    The file takes photos of any size and carries its card. Its alphas are compared with the trained network's; nothing
    is written if they differ by more than 0.001. All three networks of a model of stages go into one file.

    Example: garmentcut export runs/mine -o mine.onnx
    """
    from garmentcut.export.model_file import export_folder, export_folds
    from garmentcut.model.card import card_of
    from garmentcut.photo.files import write_atomic

    words = {"name": name, "training_data": training_data, "licence": licence}
    content = export_folder(run, {key: value for key, value in words.items() if value is not None})
    write_atomic(out, content)
    for path, of_fold in (export_folds(run) if folds else {}).items():
        write_atomic(path, of_fold)
    found = card_of(content)
    cut = cli.shown("garmentcut", "cut", "photos", "--out", "cutouts", "--model", out)
    cli.show(
        asdict(found),
        lambda: "\n".join(_written_lines(found, out, len(content))),
        as_json=as_json,
        next_step=f"{cut} to cut with it",
    )


def _written_lines(card: "ModelCard", out: Path, num_bytes: int) -> list[str]:
    height, width = card.working_size_hw
    lines = [f"{out}: {card.label}, {num_bytes / 1e6:.1f} MB, for photos of about {width}x{height} pixels"]
    if card.stages is not None:
        lines.append("three stages in one file; weights are packed: locate's 8 bits each, the others' 16")
    return [*lines, f"alpha differs from the trained network's by {card.parity} at most"]
