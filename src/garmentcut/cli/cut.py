"""`garmentcut cut`: photos in, cutouts out."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from garmentcut.cli.app import INTERRUPTED, MISUSE, SOME_FAILED, app, fail
from garmentcut.cli.cluster_cutting import CutCommand, check_places, cut_on_cluster
from garmentcut.cli.cut_options import (
    AcceptRiskOption,
    AsJsonOption,
    BackgroundOption,
    ChokeOption,
    ConfigOption,
    EffortOption,
    FormatOption,
    HiddenOption,
    MarginOption,
    ModelOption,
    OutOption,
    OverwriteOption,
    PathOption,
    PhotosArgument,
    QualityOption,
    RayOption,
    SetOption,
    SpecOption,
    TrimOption,
    WatchOption,
)
from garmentcut.cli.cutting import cut_sources, watch_folders
from garmentcut.cli.observation import LogFormatOption, MetricsPortOption, Wanted, observed

if TYPE_CHECKING:
    from garmentcut.config import Config
    from garmentcut.photo.spec import Specification

_MANY = 1000  # photos that a watch prepares for


@app.command(cls=CutCommand)
def cut(
    photos: PhotosArgument,
    out: OutOption,
    format: FormatOption = None,
    background: BackgroundOption = None,
    trim: TrimOption = None,
    margin: MarginOption = None,
    hidden: HiddenOption = None,
    path: PathOption = None,
    quality: QualityOption = None,
    effort: EffortOption = None,
    choke: ChokeOption = None,
    spec: SpecOption = None,
    accept_risk: AcceptRiskOption = None,
    model: ModelOption = None,
    config: ConfigOption = None,
    set: SetOption = None,
    overwrite: OverwriteOption = False,
    watch: WatchOption = False,
    ray: RayOption = "",
    metrics_port: MetricsPortOption = "",
    log_format: LogFormatOption = "",
    as_json: AsJsonOption = False,
) -> None:
    """Cut the garment out of each photo.

    Photos done before with the same model and options are skipped, so a run that was stopped is started again with the
    same command. OUT/results.jsonl has a row for each photo. Exit code 0: all fine, or a watch was stopped by SIGTERM,
    1: some photos failed, 2: misuse.

    Example: garmentcut cut photos/ --out cutouts/
    """
    options = {
        "output.formats": tuple(format) if format else None,
        "output.background": background,
        "output.trim": trim,
        "output.margin_px": margin,
        "output.hidden": hidden,
        "output.path": path,
        "output.quality": quality,
        "cut.effort": effort,
        "cut.choke_px": choke,
        "folder.accept_risk": accept_risk,
    }
    if not all([out, *photos]):
        fail("an empty path, perhaps a variable that is not set; '.' means this folder", MISUSE)
    check_places([*photos, out], ray=bool(ray), watch=watch)
    _cut(
        photos,
        out,
        model=model,
        order=(*_asked_for(config, set or [], options, spec), overwrite),
        ray=ray,
        watch=watch,
        wanted=Wanted(log_format or ("text" if watch else ""), metrics_port),
        as_json=as_json,
    )


def _asked_for(
    config_path: Path | None, overrides: list[str], options: dict[str, Any], spec: Path | None
) -> "tuple[Config, Specification | None]":
    """All settings, and the customer's specification where there is one."""
    from garmentcut.config import ConfigError, OutputConfig, load_config, parse_override
    from garmentcut.photo.spec import read_specification

    given = {key: value for key, value in options.items() if value is not None}
    try:
        config = load_config(config_path, {**dict(map(parse_override, overrides)), **given})
        specification = read_specification(spec) if spec else None
    except ConfigError as error:
        fail(str(error), MISUSE)
    if specification and (any(key.startswith("output.") for key in given) or config.output != OutputConfig()):
        fail("--spec decides the files: leave --format, --background and the other output options out", MISUSE)
    return config, specification


def _cut(
    photos: list[str],
    out: str,
    *,
    model: Path | None,
    order: "tuple[Config, Specification | None, bool]",
    ray: str,
    watch: bool,
    wanted: Wanted,
    as_json: bool,
) -> None:
    # Imported here: `--help` must not wait for a network runtime.
    from garmentcut.errors import UsageError
    from garmentcut.prediction.arrivals import watched_folders
    from garmentcut.prediction.cutter import Cutter
    from garmentcut.prediction.folder import FolderCutter
    from garmentcut.prediction.results import FolderError
    from garmentcut.prediction.runtime import runtime_for
    from garmentcut.prediction.sources import find_sources

    config, specification, overwrite = order
    try:
        if ray:
            raise typer.Exit(
                cut_on_cluster(photos, out, model=model, order=order, address=ray, wanted=wanted, as_json=as_json)
            )
        paths, out_dir = [Path(photo) for photo in photos], Path(out)
        sources = [] if watch else find_sources(paths, out_dir)
        folders = watched_folders(paths, out_dir) if watch else []
        with observed(wanted) as monitor:
            cutter = Cutter.load(
                model, config=runtime_for(config.runtime, _MANY if watch else len(sources)), cut=config.cut
            )
            ordered: dict[str, Any] = {"config": config, "overwrite": overwrite, "specification": specification}
            with FolderCutter(cutter, out_dir, **ordered, model=model) as folder:
                if watch:
                    code = watch_folders(folder, folders, monitor=monitor, as_json=as_json)
                else:
                    code = cut_sources(folder, sources, monitor=monitor, as_json=as_json)
    except UsageError as error:
        fail(str(error), MISUSE)
    except FolderError as error:
        fail(str(error), SOME_FAILED)
    except KeyboardInterrupt:
        fail("stopped; run the same command again to go on", INTERRUPTED)
    raise typer.Exit(code)
