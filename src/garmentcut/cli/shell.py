"""What all commands share: registration, options, grouped help, error messages with exit codes, progress bars."""

import gc
import io
import json
import logging
import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import partial, wraps
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from garmentcut import __version__
from garmentcut.errors import ConfigError, GarmentcutError, UsageError, code_of
from garmentcut.observe.monitor import HANGUP, printable

if TYPE_CHECKING:
    from garmentcut.config import Config

OK, SOME_FAILED, MISUSE, FAIL_ON, INTERRUPTED = 0, 1, 2, 3, 130
SETTINGS_NAME = "garmentcut.toml"
CUT, TRAIN, JUDGE = "Cut and review", "Data and training", "Measure and compare"  # groups of commands

_Options = Mapping[str, tuple[str, Any]]
_Command = Callable[..., int | None]
"""A command: a function of the given options and arguments that returns the exit code; None means 0."""
_SHARED = f"""
    --model FILE: Model file. The default is the embedded model.
    --host ADDRESS: Address to listen on. Any other than this machine's own needs a token.
    --port NUMBER 0..65535: Port to listen on; 0 picks a free one.
    --split NAME: Use only this part of the dataset, for example fold0. May be given several times.
    --data DATASET: Folder that `garmentcut ingest` made.
    DATASET: Folder that `garmentcut ingest` made.
Running:
    --config FILE: TOML file with any of the settings in docs/cli.md. The default is {SETTINGS_NAME} in the working
        directory, if there is one.
    --set KEY=VALUE: A setting, for example runtime.threads=2. May be given several times.
    --minutes MINUTES 0..: Stop after this time; the same command continues.
    --accelerator NAME: auto (a GPU if there is one), cpu or cuda.
    --json: Print the result as JSON.
"""
"""Options and arguments shared by commands, for `options`; a command's own declaration takes precedence."""

_OF_SPECIFICATIONS = {"canvas", "garment", "color", "file", "view"}  # sections
_OF_RECIPES = {"network", "data", "augment", "loss", "optimizer", "schedule", "training"}
_OLD_OPTIONS = {"--mend": "--resample", "--arm": "--variant"}
"""Names of options until November 2026, and their current names."""
_EXTRAS = {
    **dict.fromkeys(("ray", "fsspec", "pyarrow", "s3fs"), "cluster"),
    **dict.fromkeys(("fastapi", "multipart", "pg8000", "sqlalchemy", "starlette", "uvicorn"), "web"),
    "prometheus_client": "observe",
}
"""The extra that installs a module; modules not listed here are installed by `train`."""
_names: ContextVar[Mapping[str, str]] = ContextVar("_names", default={})  # noqa: B039 not mutated
"""What errors call settings: the options for them, but for those that were given in another way."""
_owed_json: ContextVar[dict[str, Any] | None] = ContextVar("_owed_json", default=None)
"""If JSON was requested and has not been printed yet: what was done before an error, which is printed with it."""


class _Advice(logging.Handler):
    """Says on stderr what is logged for a person: a setting that has another name now, say. Events have a log."""

    def emit(self, record: logging.LogRecord) -> None:
        if not hasattr(record, "fields"):
            say(f"garmentcut: {record.getMessage()}", err=True)


logging.getLogger("garmentcut").addHandler(_Advice())


class Command(TyperCommand):
    """A command whose help shows its options in groups, without loading rich, and that still takes old option names."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Arguments as everybody writes them: Typer puts braces around those that are needed."""
        return [piece.replace("{", "").replace("}", "") for piece in super().collect_usage_pieces(ctx)]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Translate old names of this command's options, with a line of advice on each, then parse."""
        own = {name for parameter in self.params for name in parameter.opts}
        args, end = list(args), [*args, "--"].index("--")  # behind it stand names of files
        for place, (name, equals, value) in enumerate(arg.partition("=") for arg in args[:end]):
            if (new := _OLD_OPTIONS.get(name)) in own:
                say(f"garmentcut: {name} is called {new} now", err=True)
                args[place] = f"{new}{equals}{value}"
        _owed_json.set({} if "--json" in own and "--json" in args[:end] else None)
        try:
            for name in (arg.partition("=")[0] for arg in args[:end]):
                if name.startswith("-") and f"-{name}" in own:  # otherwise `-out OUT` is taken for `-o ut OUT`
                    ctx.fail(f"{name}: long options need two dashes: -{name}")
            return super().parse_args(ctx, args)
        except typer.Exit:  # of --help
            raise
        except Exception as error:  # misuse that the parser sees; it prints it on stderr itself
            _show_error(getattr(error, "format_message", error.__str__)(), UsageError.code)
            raise

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments first, then each group of options in the order of the command's parameters."""
        groups: dict[str, list[Any]] = {"Arguments": [], "Options": []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                title = "Arguments" if parameter.param_type_name == "argument" else "Options"
                if title == "Arguments":  # without the type that Typer puts behind their names
                    record = (record[0].partition(" <")[0], record[1])
                groups.setdefault(getattr(parameter, "rich_help_panel", None) or title, []).append(record)
        for title, records in groups.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


class _Root(TyperGroup):
    """The program, whose help shows the commands in groups."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        groups: dict[str, list[tuple[str, str]]] = {CUT: [], TRAIN: [], JUDGE: []}
        for name in self.list_commands(ctx):
            panel = getattr(self.commands[name], "rich_help_panel", None)
            groups.setdefault(str(panel), []).append((name, (self.commands[name].help or "").partition("\n\n")[0]))
        for title, records in groups.items():
            with formatter.section(title):
                formatter.write_dl(records)


app = typer.Typer(
    name="garmentcut",
    cls=_Root,
    help="Cut garments out of studio photos of dressed mannequins.",
    epilog="Run garmentcut COMMAND --help for help on a command. Start with: garmentcut cut photos/ -o cutouts/",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", "-V", help="Print the version and exit.")] = False,
) -> None:
    if version:
        typer.echo(__version__)  # as help: where it cannot be written, nothing was done
        raise typer.Exit(OK)
    if context.invoked_subcommand is None:
        raise typer.Exit(MISUSE)


def command(
    panel: str, *, stopped: str = "stopped; run the same command again to continue", cls: type[Command] = Command
) -> Callable[[_Command], Callable[..., None]]:
    """Register a command in a group of the help; every error in it becomes one line on stderr and an exit code.

    Ctrl-C prints `stopped`.
    """

    def register(run: _Command) -> Callable[..., None]:
        options(_SHARED)(run)

        @wraps(run)
        def reported(*args: Any, **kwargs: Any) -> None:
            with _failures_reported(stopped):
                if code := run(*args, **kwargs):
                    raise typer.Exit(code)

        return app.command(cls=cls, rich_help_panel=panel)(reported)

    return register


def options(text: str) -> Callable[[_Command], _Command]:
    """Declare a command's options and arguments as its help shows them; what was declared before stays.

    `--columns NUMBER 0..100: Cutouts in a line.` are an option's names, what stands for its value (nothing: it is a
    flag), the least and the most of a number, and what the help says; `PHOTOS: Photos, or folders.` is an argument. A
    line without an indent begins a group; one that is indented twice continues the line before.
    """

    def declare(run: _Command) -> _Command:
        group = None
        for line in text.strip("\n").replace("\n        ", " ").splitlines():
            if not line.startswith(" "):
                group = line.removesuffix(":")
                continue
            head, _, help = line.strip().partition(": ")
            names = [word for word in head.split() if word.startswith("-")]
            metavar, limits, *_ = [*head.split()[len(names) :], "", ""]
            name = (names or [metavar])[0].partition("/")[0].removeprefix("--").replace("-", "_").lower()
            name = "as_json" if name == "json" else name
            assert name in run.__annotations__ or text is _SHARED, name
            hint = run.__annotations__.get(name)
            if hint is None or hasattr(hint, "__metadata__"):  # not the command's, or declared already
                continue
            least, most = (json.loads(limit or "null") for limit in (limits or "..").split(".."))
            info: Any = typer.Argument(metavar=metavar, help=help)
            if names:
                shown: Any = {"metavar": metavar or None, "rich_help_panel": group}
                info = typer.Option(*names, help=help, min=least, max=most, **shown)
            run.__annotations__[name] = Annotated[hint, info]
        return run

    return declare


@contextmanager
def _failures_reported(stopped: str) -> Iterator[None]:
    is_main = threading.current_thread() is threading.main_thread()
    ours = [number for number in {signal.SIGTERM, HANGUP} if is_main and signal.getsignal(number) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, partial(_terminate, os.getpid()))
    try:
        yield
    except GarmentcutError as error:
        message = error.named(_names.get()) if isinstance(error, ConfigError) else str(error)
        _end(message, error.exit_code, error.code)
    except ModuleNotFoundError as error:
        package = (error.name or "garmentcut").partition(".")[0]
        if package == "garmentcut":
            raise
        extra = _EXTRAS.get(package, "train")
        _end(f"{package} is not installed; run: pip install 'garmentcut[{extra}]'", MISUSE, "not_installed")
    except (OSError, MemoryError) as error:
        where = f"{name}: " if (name := getattr(error, "filename", None)) else ""
        reason = getattr(error, "strerror", "not enough memory") or error
        _end(f"{where}{reason}; fix that and run the same command again", SOME_FAILED, code_of(error))
    except Terminated as error:
        say(f"garmentcut: {stopped}", err=True)
        _show_error(stopped, "stopped")
        signal.signal(error.number, signal.SIG_DFL)
        signal.raise_signal(error.number)  # whoever sent it sees that it was heeded
    except KeyboardInterrupt:
        _end(stopped, INTERRUPTED, "stopped")
    except Exception as error:
        _show_error(f"{type(error).__name__}: {error}", code_of(error))
        raise
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


class Terminated(KeyboardInterrupt):
    """A signal came that ends the process: as at Ctrl-C, what was begun is tidied up before."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def _terminate(main_pid: int, number: int, frame: FrameType | None) -> None:
    handler = signal.getsignal(signal.SIGTERM)
    if os.getpid() == main_pid and callable(handler) and not isinstance(handler, partial):
        handler(number, frame)  # a server's for SIGTERM: a closed terminal, too, lets it finish its requests
        return
    if os.getpid() == main_pid:
        raise Terminated(number)
    signal.signal(number, signal.SIG_DFL)  # a worker that was forked: it has nothing to tidy up
    signal.raise_signal(number)


def fail(message: str) -> NoReturn:
    """End the command: it was not used as it is meant, as the message says."""
    raise UsageError(message)


def require_writable(file: Path | None, folder: Path | None = None) -> None:
    """End the command before its long work if the file or the folder that it writes at its end could not be written."""
    for path in filter(None, (file, folder and folder / "file")):
        above = next(parent for parent in path.absolute().parents if parent.exists())
        if path.is_dir() or not (above.is_dir() and os.access(above, os.W_OK)):
            why = "it is a folder" if path.is_dir() else f"{above} is no folder that you may write to"
            fail(f"{file or folder} cannot be written: {why}; choose another")


def _end(message: str, exit_code: int, code: str) -> NoReturn:
    say("\n".join(map(printable, f"garmentcut: {message}".splitlines())), err=True)
    _show_error(message, code)
    raise typer.Exit(exit_code)


def _show_error(message: str, code: str) -> None:
    if (done := _owed_json.get()) is not None:
        _owed_json.set(None)
        say(json.dumps({**done, "error": {"code": code, "message": message}}))


def say(text: object, *, err: bool = False) -> None:
    """Print a line; if nobody can read it (a closed pipe, a full disk), go on."""
    with suppress(OSError):
        typer.echo(text, err=err)


def show(content: Any, text: Callable[[], str], *, as_json: bool, next_step: str = "") -> None:
    """Print a command's result: for machines its content, for people a text and, on stderr, what is done next.

    While an error ends the command, the content is printed with that error, once it is reported.
    """
    if as_json:
        _owed_json.set(content if sys.exception() else None)
        if not sys.exception():
            say(json.dumps(content))
        return
    say(text())
    if next_step:
        say(f"next: {next_step}", err=True)


def shown(*words: object) -> str:
    """Words as a command line that a shell can read."""
    return printable(shlex.join(map(str, words)))


def load_settings(path: Path | None, settings: list[str] | None, options: _Options | None = None) -> "Config":
    """Load all settings: from the file, then from `--set`, then from the command's own options; later ones win.

    `options` has, by setting, the option's name and value; None: it was not given. Errors then speak of these options.

    Without a file, `garmentcut.toml` in the working directory is read and named on stderr. No other folder is searched:
    a folder of photos may come from anybody.
    """
    from garmentcut.config import load_config, parse_override, read_tree

    if path is None and Path(SETTINGS_NAME).is_file():
        path = Path(SETTINGS_NAME)
        say(f"garmentcut: settings of {path.resolve()}", err=True)
    sections = read_tree(path) if path else {}
    if isinstance(sections.get("output"), list) or sections.keys() & _OF_SPECIFICATIONS:
        raise ConfigError(f"{path}: a customer's specification, not settings; pass it with --spec")
    if sections.keys() & _OF_RECIPES:
        raise ConfigError(f"{path}: a recipe, not settings; pass it to garmentcut train")
    options, overrides = options or {}, dict(map(parse_override, settings or []))
    given = {key: value for key, (_, value) in options.items() if value is not None}
    tables = ((section, keys) for section, keys in sections.items() if isinstance(keys, dict))
    elsewhere = overrides.keys() | {f"{section}.{key}" for section, keys in tables for key in keys}
    _names.set({key: option for key, (option, _) in options.items() if key in given or key not in elsewhere})
    return load_config(path, overrides | given)


@contextmanager
def progress_bar(total: int, unit: str) -> Iterator[Callable[[str, str], None]]:
    """A bar with rate and time left on stderr; silent where stderr is no terminal or nothing is to do.

    Yields a function to call after each step, with its name or path, and why it failed; empty: it did not.
    """
    if not total or not sys.stderr.isatty():
        yield lambda _name, _failure: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    rate_column, name_column = TextColumn("{task.fields[rate]}"), TextColumn("{task.fields[name]}")
    columns = BarColumn(), MofNCompleteColumn(), rate_column, TimeRemainingColumn(), name_column
    started = time.perf_counter()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=total, rate="", name="")

        def advance(name: str, failure: str) -> None:
            progress.advance(task)
            rate = progress.tasks[0].completed / (time.perf_counter() - started)
            progress.update(task, rate=f"{rate:.2f} {unit}/s", name=printable(Path(name).name[-40:]))
            if failure:
                progress.console.print(printable(f"failed: {name}: {failure}"), markup=False, highlight=False)

        yield advance


def main() -> None:
    """Entry point of the `garmentcut` command."""
    _open_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file name may hold what the terminal cannot show
    try:
        try:
            app()
        except OSError as error:  # of help that cannot be written; commands tell of their own failures
            say(f"garmentcut: {error.strerror or error}", err=True)
            raise SystemExit(SOME_FAILED) from error
    except SystemExit as end:
        for stream in (sys.stdout, sys.stderr):
            _flush(stream)
        runtime = sys.modules.get("garmentcut.prediction.runtime")
        if runtime is not None and runtime.hangs():
            os._exit(end.code if isinstance(end.code, int) else SOME_FAILED)
        gc.freeze()  # otherwise Python, at its end, looks for garbage in all of torch, for many seconds
        raise


def _open_streams() -> None:
    """Open standard output or error on the null device if it is closed, so that no file takes its number."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        continue
    os.close(number)
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115 as long as the process
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115


def _flush(stream: Any) -> None:
    """Flush a stream, and drop what cannot be written: otherwise Python's exit would change the exit code."""
    try:
        stream.flush()
    except OSError:
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
