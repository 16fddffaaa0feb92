"""`garmentcut cut --ray`: the way of `garmentcut cut` that leads to a cluster."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand

from garmentcut.cli.app import MISUSE, OK, SOME_FAILED, fail
from garmentcut.cli.observation import Wanted, observed

if TYPE_CHECKING:
    from garmentcut.config import Config
    from garmentcut.photo.spec import Specification

_ADDRESS = re.compile(r"auto|local|ray://\S+|[\w.-]+:\d+|\[[0-9a-fA-F:]+\]:\d+")


class CutCommand(TyperCommand):
    """A command whose `--ray` may stand alone: this machine's cores are the cluster then."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Give a `--ray` that no address follows the address `local`."""
        followers = [*args[1:], ""]
        filled = [
            "--ray=local" if arg == "--ray" and not _ADDRESS.fullmatch(after) else arg
            for arg, after in zip(args, followers, strict=False)  # one longer where there are no arguments
        ]
        return super().parse_args(ctx, filled)


def check_places(places: list[str], *, ray: bool, watch: bool) -> None:
    """Leave with a message where paths or URLs do not fit what is asked for."""
    urls = [place for place in places if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", place)]
    if urls and not ray:
        fail(f"{urls[0]}: URLs are read and written with --ray only; add it", MISUSE)
    if ray and watch:
        fail("--watch and --ray do not go together: run the same --ray command again when photos have come", MISUSE)


def cut_on_cluster(
    photos: list[str],
    out: str,
    *,
    model: Path | None,
    order: "tuple[Config, Specification | None, bool]",
    address: str,
    wanted: Wanted,
    as_json: bool,
) -> int:
    """Cut what is not done yet on a Ray cluster, with a progress bar; returns the exit code.

    Args:
        photos: paths or URLs.
        out: path or URL.
        model: the model's file.
        order: settings, specification, and whether to overwrite.
        address: of the cluster.
        wanted: log and metrics.
        as_json: print the summary as JSON.
    """
    _check_installed()
    from garmentcut.cluster.ledger import ClusterError
    from garmentcut.cluster.run import ClusterCutter, Model
    from garmentcut.prediction.cutter import Cutter
    from garmentcut.prediction.results import report_row
    from garmentcut.terminal import Summary, progress_of

    config, specification, overwrite = order
    loaded = Model(model, Cutter.load(model, config=config.runtime, cut=config.cut))
    run = ClusterCutter(loaded, out, config=config, overwrite=overwrite, specification=specification)
    summary = Summary(run.target.url, run.results)
    try:
        with observed(wanted) as monitor, run:
            plan = run.plan(photos)
            monitor.trouble("start")
            summary.num_skipped = len(plan.done)
            with run.ready_for(plan, address) as workers, progress_of(plan.num_todo) as advance:
                for number, row in enumerate(run.cut(plan, workers), 1):
                    report_row(monitor, row)
                    monitor.queue(cutting=plan.num_todo - number)
                    summary.add(row)
                    advance(row)
    except ClusterError as error:
        fail(str(error), SOME_FAILED)
    finally:  # also of a run that was stopped
        if summary.num_photos:
            typer.echo(json.dumps(summary.as_dict()) if as_json else summary.as_text())
    return SOME_FAILED if summary.num_failed else OK


def _check_installed() -> None:
    try:
        import fsspec  # noqa: F401
        import pyarrow  # noqa: F401
        import ray.data  # noqa: F401
    except ModuleNotFoundError as error:
        fail(f"{error.name} is not installed; run: pip install 'garmentcut[cluster]'", MISUSE)
