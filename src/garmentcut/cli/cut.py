"""`garmentcut cut`: cuts a folder of photos once, continuously with --watch, or on a Ray cluster."""

import ctypes
import logging
import re
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout, suppress
from dataclasses import dataclass, field
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

from garmentcut.cli import shell as cli
from garmentcut.errors import FolderError, SourceError, counted
from garmentcut.naming import FORMATS, NAMES
from garmentcut.observe.monitor import (
    Health,
    Metrics,
    Monitor,
    StopRequest,
    log_event,
    notify_service,
    printable,
    start_logging,
)

if TYPE_CHECKING:
    from garmentcut.config import Config, RuntimeConfig
    from garmentcut.photo.files import NotLookedAt
    from garmentcut.photo.spec import Specification
    from garmentcut.prediction.folder import FolderCutter
    from garmentcut.prediction.results import Row

_MANY = 1000  # number of photos that a watch is tuned for
_SHOWN = 20  # most failures, doubtful cutouts and notes, of each kind, in the summary
_MOST_NAMED = 100  # most failures that a watch running for months remembers by name
_HOST = "127.0.0.1"
_ADDRESS = re.compile(r"auto|local|ray://\S+|[\w.-]+:\d+|\[[0-9a-fA-F:]+\]:\d+")
_FILE_SUFFIXES = {suffix for row in FORMATS.values() for suffix in row.suffixes}
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


class _CutCommand(cli.Command):
    """A command whose `--ray` may be given without a value, which means a cluster of this machine's cores."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        end = [*args, "--"].index("--")  # behind it stand names of files
        pairs = pairwise([*args[:end], ""])  # each argument with the next one
        filled = ["--ray=local" if arg == "--ray" and not _ADDRESS.fullmatch(after) else arg for arg, after in pairs]
        return super().parse_args(ctx, [*filled, *args[end:]])


class _Order(NamedTuple):
    """The options and arguments of the command line."""

    config: "Config"  # all settings
    specification: "Specification | None"  # a customer's
    overwrite: bool  # replace files that garmentcut did not write
    model: Path | None  # file; None: the embedded one
    log_format: str  # `text`, `json`, or empty: no log
    metrics_port: str  # a port, or `HOST:PORT`; empty: none
    as_json: bool  # print the summary as JSON
    fail_on: tuple[str, ...]  # `doubtful`, `foreign`, `skipped`: what else ends with exit code 3


@cli.command(cli.CUT, cls=_CutCommand)
@cli.options(f"""
    PHOTOS: Photos, or folders, searched with their subfolders; with --ray also URLs.
    --out -o FOLDER: Folder for the cutouts, which mirrors the photos' folders; with --ray also a URL.
    --effort NAME: fast (without the refine stage) or normal. The default is normal.
    --choke PIXELS: Move the edge inwards by this many pixels, fractions allowed; negative moves it outwards.
    --accept-risk SHARE: Share of the accepted garments that may fall short. The default is the model's.
Files to write:
    --format NAME: One of {NAMES}. May be given several times. The default is png.
    --background COLOR: Put the garment on this colour, for example '#ffffff' or white; in psd as a layer below it.
    --trim: Crop to the garment; specks are ignored.
    --margin PIXELS: With --trim: keep this many pixels around the garment.
    --each: Write garments on separate mannequins to separate files: a-1.png, a-2.png ..., from the left.
    --hidden NAME: Content of hidden pixels: clear, keep (the photo, untouched), or auto (keep in psd and tiff). The
        default is auto.
    --path NAME: Clipping path in psd, tiff and jpeg: none, editable or exact. By default, psd has an editable one.
    --quality NUMBER: Quality of jpeg, 1 to 100; it makes webp lossy. The default is 95, and lossless for webp.
    --spec FILE: A customer's specification (TOML), which determines the files.
    --overwrite: Replace files that garmentcut did not write.
Running:
    --watch: Keep running, and cut photos as they arrive in the folders.
    --ray [ADDRESS]: Cut on a Ray cluster: auto, HOST:PORT, or nothing for this machine's cores. See docs/cluster.md.
    --metrics-port [HOST:]PORT: Serve /metrics, /healthz and /readyz here; without HOST, on this machine only.
    --log-format NAME: Log a line per photo to stderr: text (the default with --watch) or json.
    --fail-on NAME: End with exit code 3 if there are doubtful cutouts (doubtful), photos unlike the model's studio
        (foreign), or files that were not looked at (skipped). May be given several times.
""")
def cut(
    photos: list[str],
    out: str,
    model: Path | None = None,
    format: list[str] | None = None,
    background: str | None = None,
    trim: bool | None = None,
    margin: int | None = None,
    each: bool | None = None,
    hidden: str | None = None,
    path: str | None = None,
    quality: int | None = None,
    spec: Path | None = None,
    overwrite: bool = False,
    effort: str | None = None,
    choke: float | None = None,
    accept_risk: float | None = None,
    watch: bool = False,
    ray: str = "",
    metrics_port: str = "",
    log_format: str = "",
    fail_on: list[str] | None = None,
    config: Path | None = None,
    set: list[str] | None = None,
    as_json: bool = False,
) -> int:
    """Cut the garment out of each photo.

    Photos already cut with the same model and options are skipped, so the same command continues a run that was
    stopped. OUT/results.jsonl has a row for each photo. Exit code 0: all fine, or a watch was stopped by SIGTERM, 1:
    some photos failed, or the run could not finish, 2: misuse, 3: none failed, but a --fail-on condition was met.

    Example: garmentcut cut photos/ -o cutouts/
    """
    if not all([out, *photos]):
        cli.fail("an empty path, perhaps a variable that is not set; '.' means this folder")
    _check_places([*photos, out], ray=bool(ray), watch=watch)
    for name in fail_on or ():
        if name not in ("doubtful", "foreign", "skipped"):
            cli.fail(f"--fail-on: {name!r} is none of doubtful, foreign, skipped")
    if fail_on and watch:
        cli.fail("--fail-on does not work with --watch, which does not end: leave one of them out")
    options: dict[str, tuple[str, Any]] = {
        "output.formats": ("--format", tuple(format) if format else None),
        "output.background": ("--background", background),
        "output.trim": ("--trim", trim),
        "output.margin_px": ("--margin", margin),
        "output.each": ("--each", each),
        "output.hidden": ("--hidden", hidden),
        "output.path": ("--path", path),
        "output.quality": ("--quality", quality),
        "cut.effort": ("--effort", effort),
        "cut.choke_px": ("--choke", choke),
        "folder.accept_risk": ("--accept-risk", accept_risk),
    }
    with suppress(AttributeError, OSError, TypeError):  # of other C libraries than glibc
        ctypes.CDLL(None).mallopt(-8, 2)  # M_ARENA_MAX: threads share freed memory; saves 0.1 GB at the same speed
    settings = cli.load_settings(config, set, options)
    specification = _specification(spec, settings, options)
    if quality is not None and not {"jpeg", "webp"}.intersection(settings.output.formats):
        cli.fail("--quality: neither jpeg nor webp is written; add --format jpeg, or leave --quality out")
    log_format = log_format or ("text" if watch else "")
    order = _Order(settings, specification, overwrite, model, log_format, metrics_port, as_json, tuple(fail_on or ()))
    if ray and settings.output.each:
        cli.fail("--each does not work with --ray; leave one of them out")
    if ray:
        return _cut_on_cluster(photos, out, order, address=ray)
    return _cut_folder([Path(photo) for photo in photos], Path(out), order, watch=watch)


def _check_places(places: list[str], *, ray: bool, watch: bool) -> None:
    urls = [place for place in places if _URL.match(place)]
    if urls and not ray:
        cli.fail(f"{urls[0]}: URLs need --ray; add it")
    if Path(places[-1]).suffix.lower() in _FILE_SUFFIXES and not Path(places[-1]).is_dir():
        name = cli.shown(Path(places[-1]).parent)
        cli.fail(f"--out {places[-1]}: a file name; give a folder, such as {name}, and the format with --format")
    if ray and Path(places[-1]).resolve() in {Path(place).resolve() for place in places[:-1]}:  # before it is locked
        raise SourceError(f"{places[-1]}: the output folder must not be the photos' folder; choose another --out")
    if ray and watch:
        cli.fail("--watch does not work with --ray: run the same --ray command again when photos have arrived")


def _specification(path: Path | None, config: "Config", options: dict[str, tuple[str, Any]]) -> "Specification | None":
    if path is None:
        return None
    from garmentcut.config import OutputConfig
    from garmentcut.photo.spec import read_specification

    specification = read_specification(path)
    is_given = any(key.startswith("output.") and value is not None for key, (_, value) in options.items())
    if is_given or config.output != OutputConfig():
        others = "--format, --background and the other output options" if is_given else "all output settings"
        cli.fail(f"--spec determines the files: leave out {others}")
    return specification


def _cut_folder(photos: list[Path], out: Path, order: _Order, *, watch: bool) -> int:
    from garmentcut.photo.files import NotLookedAt
    from garmentcut.prediction.runtime import runtime_for
    from garmentcut.prediction.sources import Skipped, find_sources
    from garmentcut.prediction.watch import watched_folders

    skipped: list[Skipped] = []
    sources = [] if watch else find_sources(photos, out, skipped=skipped)
    folders = watched_folders(photos, out) if watch else []
    with _observed(order) as monitor:
        runtime = runtime_for(order.config.runtime, _MANY if watch else len(sources))
        with _folder_cutter(order, out, runtime) as folder:
            if folder.note:
                cli.say(printable(folder.note), err=True)
            if watch:
                return _watch(folder, folders, monitor, as_json=order.as_json)
            folder.record_skipped(skipped)
            return _cut_once(folder, sources, monitor, order, NotLookedAt(skipped))


def _folder_cutter(order: _Order, out: Path, runtime: "RuntimeConfig") -> "FolderCutter":
    from garmentcut.prediction.cutter import Cutter
    from garmentcut.prediction.folder import FolderCutter

    cutter = Cutter.load(order.model, config=runtime, cut=order.config.cut)
    wanted: dict[str, Any] = {"overwrite": order.overwrite, "specification": order.specification}
    return FolderCutter(cutter, out, config=order.config, model=order.model, **wanted)


def _cut_once(
    folder: "FolderCutter", sources: list[Any], monitor: Monitor, order: _Order, not_looked_at: "NotLookedAt"
) -> int:
    """Cut the remaining photos with a progress bar; return the exit code."""
    plan = folder.plan(sources)
    monitor.health.problem("start")
    monitor.health.add_check("output folder", folder.problem)
    summary = Summary(folder.out_dir, folder.journal.path, not_looked_at)
    summary.counts.update(damaged_lines=folder.num_damaged, left=len(plan.todo))
    for row in plan.done:
        summary.add(row, was_done=True)
    journal, rows = folder.journal, folder.cut(plan, monitor=monitor)
    before = {path: journal.rows.get(path) for path in map(str, plan.todo)}
    try:
        _follow(rows, monitor, summary)
    except FolderError:
        summary.counts["gone"] = folder.num_gone()
        raise
    finally:  # also of a run that a full disk or Ctrl-C has stopped
        rows.close()
        # Photos that were in progress at the stop are finished, too, or wait for their garment's other views.
        now = ((journal.rows.get(path), old) for path, old in before.items() if path not in summary.counted_as)
        _follow((new for new, old in now if new and new is not old and new.status != "pending"), monitor, summary)
        _show(summary, as_json=order.as_json)
    return _code_of(summary, order)


def _follow(rows: "Iterable[Row]", monitor: Monitor, summary: "Summary") -> None:
    """Count, log and show each photo as it is finished."""
    from garmentcut.prediction.results import report_row

    with cli.progress_bar(summary.counts["left"], "photos") as advance:
        for row in rows:
            report_row(monitor, row)
            summary.counts["left"] -= 1
            monitor.queue(cutting=summary.counts["left"])
            summary.add(row)
            advance(row.input, "" if row.ok else row.reason)


def _code_of(summary: "Summary", order: _Order) -> int:
    if summary.counts["failed"]:
        return cli.SOME_FAILED
    found = Counter({**summary.counts, "skipped": summary.not_looked_at.num_files})
    return cli.FAIL_ON if any(found[name] for name in order.fail_on) else cli.OK


def _watch(folder: "FolderCutter", folders: list[Any], monitor: Monitor, *, as_json: bool) -> int:
    """Cut photos that appear in the folders until SIGTERM or Ctrl-C; return the exit code."""
    from garmentcut.photo.files import NotLookedAt
    from garmentcut.prediction.results import report_row
    from garmentcut.prediction.watch import Watch

    summary = Summary(folder.out_dir, folder.journal.path, NotLookedAt(), most_named=_MOST_NAMED, has_pace=False)
    next_warning = 1  # of foreign photos: at the 1st, 2nd, 4th ..., to warn early but not too often
    with StopRequest() as stop:
        folder.record_order()
        watch = Watch(folder, folders, stop=stop, monitor=monitor)
        monitor.health.problem("start")
        notify_service("READY=1")
        log_event("watching", folders=[str(watched.root) for watched in folders], out=str(folder.out_dir))
        for row in watch.rows():
            report_row(monitor, row)
            summary.add(row)
            if summary.counts["foreign"] >= next_warning:
                log_event("foreign", level=logging.WARNING, text=summary.foreign_warning)
                next_warning *= 2
        notify_service("STOPPING=1")
        for path in summary.counted_as.keys() - folder.journal.rows.keys():
            if "failed" in summary.counted_as[path]:  # a folder that can be read by now
                summary.drop(path)
        log_event("stopped", cut=summary.counts["cut"], failed=summary.counts["failed"])
    _show(summary, as_json=as_json)
    return cli.INTERRUPTED if stop.number == signal.SIGINT else cli.OK


def _cut_on_cluster(photos: list[str], out: str, order: _Order, *, address: str) -> int:
    """Cut the remaining photos on a Ray cluster with a progress bar; return the exit code."""
    for package in ("fsspec", "pyarrow", "ray"):  # check first that the extra's packages are installed
        import_module(package)

    from garmentcut.cluster.run import ClusterCutter, connected
    from garmentcut.photo.files import NotLookedAt

    run = ClusterCutter(_folder_cutter(order, Path(), order.config.runtime), out)
    summary = Summary(run.target.folder or run.target.url, run.results, NotLookedAt())
    try:
        with _observed(order) as monitor, redirect_stdout(sys.stderr), run, ExitStack() as cluster:  # Ray prints there
            plan = run.plan(photos)
            monitor.problem("start")
            for row in plan.done:
                summary.add(row, was_done=True)
            summary.not_looked_at = NotLookedAt(run.skipped)
            summary.counts["left"] = sum(map(len, plan.groups))
            # If there is nothing to do, no cluster is connected or started.
            workers = cluster.enter_context(connected(address, order.config)) if plan.groups else None
            _follow(run.cut(plan, workers), monitor, summary)
    finally:  # also of a run that was stopped
        if summary.counts.total():
            _show(summary, as_json=order.as_json)
    return _code_of(summary, order)


def _show(summary: "Summary", *, as_json: bool) -> None:
    out = summary.out_dir
    if summary.counts["gone"]:
        next_step = "put the output folder back, or create a new one, and run the same command again"
    elif summary.counts["left"]:
        next_step = "run the same command again to cut the photos that are left"
    elif summary.counts["review"] or summary.counts["doubtful"]:
        next_step = f"{cli.shown('garmentcut', 'review', out)} to look at the doubtful cutouts"
    elif summary.counts["failed"]:
        next_step = "fix the problems above and run the same command again"
    else:
        next_step = f"{cli.shown('garmentcut', 'sheet', out)} to see all cutouts on one page"
    cli.show(summary.as_dict(), summary.as_text, as_json=as_json, next_step=next_step)


@contextmanager
def _observed(order: _Order) -> Iterator[Monitor]:
    """A context with a run's monitor: its log goes to stderr, and its metrics and health are served."""
    if order.log_format not in ("", "text", "json"):
        cli.fail(f"--log-format: {order.log_format!r} is neither text nor json")
    if order.log_format:
        start_logging(cast(Literal["text", "json"], order.log_format), sys.stderr)
    health = Health(on_beat=lambda: notify_service("WATCHDOG=1"))
    with ExitStack() as stack:
        if not order.metrics_port:
            yield Monitor(health=health)
            return
        host, _, port = order.metrics_port.rpartition(":")
        if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            no = f"{order.metrics_port!r} is neither a port such as 9464 nor an address such as 0.0.0.0:9464"
            cli.fail(f"--metrics-port: {no}")
        from garmentcut.observe.server import StatusServer

        monitor = Monitor(Metrics(), health)
        monitor.health.problem("start", "the model is being loaded")
        try:
            stack.enter_context(StatusServer(monitor, host=host.strip("[]") or _HOST, port=int(port)))
        except (OSError, UnicodeError) as error:  # UnicodeError: no host can have this name
            reason = getattr(error, "strerror", None) or error
            cli.fail(f"--metrics-port {order.metrics_port}: {reason}; choose another")
        yield monitor


@dataclass
class Summary:
    """Counts of a run, and the rows that are shown by name."""

    # Locations of cutouts and rows; paths or URLs.
    out_dir: Path | str
    results: Path | str
    not_looked_at: "NotLookedAt"  # what was passed over among the photos
    most_named: int | None = None  # rows named for one reason at most; None: all. The counts are of all.
    has_pace: bool = True  # seconds per photo mean something: the run did nothing else
    # By the keys of `as_dict`. Verdicts include photos done before, and count a person's approval as accepted; `left`:
    # photos not finished yet, or that a stopped run did not finish; `moved`: photos whose name now differs from that of
    # their files; `gone`: cutouts deleted with the output folder.
    counts: Counter[str] = field(default_factory=Counter)
    counted_as: dict[str, tuple[str, ...]] = field(default_factory=dict)  # keys of `counts`, by the photo's input
    named: dict[str, list["Row"]] = field(default_factory=lambda: defaultdict(list))  # likewise
    started: float = field(default_factory=time.perf_counter)

    def add(self, row: "Row", *, was_done: bool = False) -> None:
        """Count one photo by its newest row; `was_done`: it was cut in an earlier run."""
        from garmentcut.prediction.steps import APPROVED, review_state

        verdict, is_doubtful = row.verdict, row.is_doubtful
        if is_doubtful and isinstance(self.out_dir, Path) and review_state(self.out_dir, row) in APPROVED:
            verdict, is_doubtful = verdict and "accept", False
        found = {"moved": "moved" in row.flags, "replaced": "replaced" in row.flags and not was_done}
        found |= {"missing": row.code == "missing", "doubtful": is_doubtful, "foreign": row.ok and row.is_foreign}
        found |= {"accepted": row.ok and verdict == "accept", "review": row.ok and verdict == "review"}
        self.drop(row.input)  # a watch cuts some photos again
        kind = "skipped" if was_done else "cut" if row.ok else "failed"
        self.counted_as[row.input] = (kind, *(name for name, is_so in found.items() if is_so))
        self.counts.update(self.counted_as[row.input])
        named = {"failures": not (was_done or row.ok), "notes": row.notes and not was_done, "doubts": is_doubtful}
        for why, is_named in named.items():
            if is_named and (self.most_named is None or len(self.named[why]) < self.most_named):
                self.named[why].append(row)

    def drop(self, path: str) -> None:
        """Forget a photo, or a folder that could not be read; nothing happens if it was not counted."""
        if earlier := self.counted_as.pop(path, ()):
            self.counts.subtract(earlier)
            for rows in self.named.values():
                rows[:] = [other for other in rows if other.input != path]

    @property
    def foreign_warning(self) -> str:
        """See `garmentcut.prediction.results.foreign_warning`."""
        from garmentcut.prediction.results import foreign_warning

        return foreign_warning(self.counts["foreign"], self.counts["cut"] + self.counts["skipped"], self.out_dir)

    def as_dict(self) -> dict[str, Any]:
        """The summary for machines: counts, seconds of the whole run, failures with their reasons."""
        counts, named = self.counts, self.named
        return {
            "photos": counts["cut"] + counts["skipped"] + counts["failed"] + counts["left"],
            **{key: counts[key] for key in ("cut", "skipped", "failed", "left", "doubtful", "foreign", "accepted")},
            **{key: counts[key] for key in ("review", "replaced", "moved", "gone", "damaged_lines")},
            "seconds": round(time.perf_counter() - self.started, 3),
            "out": str(self.out_dir),
            "results": str(self.results),
            "failures": [{"input": row.input, "code": row.code, "reason": row.reason} for row in named["failures"]],
            "notes": [{"input": row.input, "notes": list(row.notes)} for row in named["notes"]],
            "doubts": [
                {"input": row.input, "doubt": row.doubt, "flags": list(row.flags), "reasons": list(row.reasons)}
                for row in named["doubts"]
            ],
            **self.not_looked_at.as_dict(),
        }

    def as_text(self) -> str:
        """The summary for people: one line, then a line for each failure and each note."""
        counts = self.as_dict()
        parts = [f"{counts['cut']} cut"]
        words = {"skipped": "done before", "failed": "failed", "left": "left", "doubtful": "doubtful"}
        parts += [f"{counts[key]} {word}" for key, word in words.items() if counts[key]]
        if counts["accepted"] or counts["review"]:
            parts.append(f"{counts['accepted']} accepted, {counts['review']} to review")
        rate = f", {counts['seconds'] / counts['cut']:.2f} s per photo" if counts["cut"] and self.has_pace else ""
        lines = [f"{counted(counts['photos'], 'photo')}: {', '.join(parts)}{rate}; rows in {self.results}"]
        lines += filter(None, [counts["doubtful"] and self.foreign_warning])
        for key, what in (("failures", "failed"), ("doubts", "doubtful")):
            shown = [f"{what}: {row.input}: {_why(row)}" for row in self.named[key][:_SHOWN]]
            more = counts[what] - len(shown)
            lines += [*shown, f"... and {more} more, listed in {self.results}"] if more else shown
        lines += [f"note: {row.input}: {'; '.join(row.notes)}" for row in self.named["notes"][:_SHOWN]]
        return "\n".join(map(printable, [*lines, *self._others()]))

    def _others(self) -> Iterator[str]:
        """Lines about the folders instead of single photos."""
        own, counts = f"{self.out_dir}/.garmentcut", self.counts
        if counts["gone"]:
            yield f"{counted(counts['gone'], 'photo')} of these went with the output folder: cut before, files gone"
        if (number := counts["missing"]) > 1:
            yield f"{number} photos are no longer there; if their disk or share is gone, run again once it is back"
        if number := counts["replaced"]:
            yield f"{counted(number, 'photo')} replaced by a new one of the same name"
        if number := counts["moved"]:
            moved = f"{counted(number, 'photo')} moved since the cut"
            yield f"{moved}; the files keep their names, unless you remove them and run again"
        yield from self.not_looked_at.lines(f"{own}/skipped.jsonl")
        if number := counts["damaged_lines"]:
            yield f"{counted(number, 'damaged line')} of results.jsonl set aside in {own}/damaged.jsonl"


def _why(row: "Row") -> str:
    return row.reason or "; ".join((*row.reasons, *([] if row.doubt is None else [f"doubt {row.doubt:.2f}"])))
