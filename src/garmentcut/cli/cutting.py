"""The two ways of `garmentcut cut`: through photos that are there, and on and on as they come."""

import json
from typing import TYPE_CHECKING

import typer

from garmentcut.cli.app import OK, SOME_FAILED
from garmentcut.cli.stop_signal import stop_on_signals

if TYPE_CHECKING:
    from garmentcut.observe.monitor import Monitor
    from garmentcut.prediction.arrivals import Folder
    from garmentcut.prediction.folder import FolderCutter
    from garmentcut.prediction.sources import Source
    from garmentcut.terminal import Summary

_MOST_NAMED = 100  # failures that a watch of months remembers by name


def cut_sources(folder: "FolderCutter", sources: list["Source"], *, monitor: "Monitor", as_json: bool) -> int:
    """Cut what is not done yet, with a progress bar; returns the exit code."""
    from garmentcut.prediction.results import report_row
    from garmentcut.terminal import Summary, progress_of

    plan = folder.plan(sources)
    monitor.health.trouble("start")
    summary = Summary(folder.out_dir, folder.journal.path, num_skipped=len(plan.done))
    try:
        with progress_of(len(plan.todo)) as advance:
            for number, row in enumerate(folder.cut(plan, monitor=monitor), 1):
                report_row(monitor, row)
                monitor.queue(cutting=len(plan.todo) - number)
                summary.add(row)
                advance(row)
    finally:  # also of a run that a full disk or Ctrl-C has stopped
        _show(summary, as_json=as_json)
    return SOME_FAILED if summary.num_failed else OK


def watch_folders(folder: "FolderCutter", folders: list["Folder"], *, monitor: "Monitor", as_json: bool) -> int:
    """Cut what comes into the folders until SIGTERM or Ctrl-C; returns the exit code."""
    from garmentcut.observe.log import log_event
    from garmentcut.observe.service import notify_service
    from garmentcut.prediction.results import report_row
    from garmentcut.prediction.watch import Watch
    from garmentcut.terminal import Summary

    summary = Summary(folder.out_dir, folder.journal.path, most_kept=_MOST_NAMED, has_pace=False)
    with stop_on_signals() as stop:
        folder.record_order()
        watch = Watch(folder, folders, stop=stop, monitor=monitor)
        monitor.health.trouble("start")
        notify_service("READY=1")
        log_event("watching", folders=[str(watched.root) for watched in folders], out=str(folder.out_dir))
        for row in watch.rows():
            report_row(monitor, row)
            summary.add(row)
        notify_service("STOPPING=1")
        log_event("stopped", cut=summary.num_cut, failed=summary.num_failed)
    _show(summary, as_json=as_json)
    return stop.exit_code


def _show(summary: "Summary", *, as_json: bool) -> None:
    typer.echo(json.dumps(summary.as_dict()) if as_json else summary.as_text())
