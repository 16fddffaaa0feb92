"""Recipes: all options of `garmentcut train`, read from TOML files and validated.

A new experiment is a new file. A recipe may build on another one (`base = "cutnet"`) and then states only differences.
"""

import json
from dataclasses import asdict, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from garmentcut.config import STRICT, check_sections, load_sections, read_tree, rename_keys
from garmentcut.errors import ConfigError

_BUILT_IN = (Path(__file__).parent / "recipes", Path(__file__).parents[2] / "recipes")  # in a wheel; in a clone
_OLD_KEYS = {"loss.rim_weight": "loss.edge_weight", "loss.rim_px": "loss.edge_px"}
"""Old names of keys, until November 2026, and their present names."""

_Share = Annotated[float, Field(ge=0, le=1, strict=True)]
_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)]
_NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)]
_Count = Annotated[int, Field(ge=1, strict=True)]


@dataclass(frozen=True, config=STRICT)
class NetworkConfig:
    """What is trained, and what it starts from."""

    name: str = "cutnet"
    """Name of a network, such as `cutnet`, `simple` or `unet`: see docs/networks.md."""
    options: dict[str, Any] = field(default_factory=dict)
    """Arguments of the network's class, for example `{ size = 256 }`."""
    start: str = "imagenet"
    """`imagenet`: encoder weights from the hub; `scratch`; `default`: the embedded model's, of the same stage; or a
    .safetensors file, of an encoder or of a whole network."""
    frozen_stages: Annotated[int, Field(ge=0, strict=True)] = 0
    """How many of the encoder's first stages are frozen; 0: none."""


@dataclass(frozen=True, config=STRICT)
class DataConfig:
    """What the network sees, and what its target is."""

    size_hw: tuple[_Count, _Count] = (1728, 1152)
    """Height and width in pixels of the network's input: the size of a window, or of a whole photo, which is scaled to
    the height and padded or cropped to the width."""
    window: Literal["photo", "garment", "edge"] = "photo"
    """`photo`: the whole photo; `garment`: a window around the middle of the garment; `edge`: a window on its edge,
    with the segment stage's alpha as fourth channel."""
    frame_height: _Count = 1728
    """For windows: height in pixels to which whole photos are scaled before windows are taken from them."""
    target: Literal["alpha", "alpha >= 128", "alpha > 0"] = "alpha"
    """Soft alpha, or a hard mask made from it."""
    wrong_weight: _Share = 0.0
    """How often a cutout that was marked wrong (`garmentcut audit`) is used, relative to the others; 0: never."""
    rare_views: Annotated[float, Field(ge=1, allow_inf_nan=False, strict=True)] = 1.0
    """Draw photos of rare views (such as Back and FrontRight) at most this many times as often as those of the most
    common view; 1: all equally often."""
    hard_photos: Annotated[float, Field(ge=1, allow_inf_nan=False, strict=True)] = 1.0
    """Draw photos with a high loss at most this many times as often, and those with a low loss down to half as often;
    1: all equally often."""
    synthetic: Annotated[int, Field(ge=0, strict=True)] = 0
    """Number of drawn photos of sheer cloth and lace to add to the training; their alpha is exact."""
    varied: Annotated[int, Field(ge=0, strict=True)] = 0
    """Number of drawn photos to add to the training that show other mannequins and backgrounds, sleeves,
    trousers, thin straps and skin-coloured cloth."""
    composites: Annotated[int, Field(ge=0, strict=True)] = 0
    """Number of photos to add to the training that show the training photos' garments on other backgrounds and
    mannequins."""
    cache_gb: _NotNegative = 4.0
    """Most memory, in gigabytes, in which each device's process keeps scaled photos and alphas; the others are read
    from disk each time."""
    workers: Annotated[int, Field(ge=0, le=256, strict=True)] = 0
    """Threads that prepare batches for the network; 0: as many as the processor has cores, at most 16."""


@dataclass(frozen=True, config=STRICT)
class Strength:
    """How often, and how strongly at most."""

    p: _Share
    """Share of the samples that it changes."""
    amount: _NotNegative
    """Largest change; each is drawn uniformly from 0 up to it. The unit is given with each augmentation."""


_OFF = Strength(0.0, 0.0)


@dataclass(frozen=True, config=STRICT)
class AugmentConfig:
    """Augmentations, drawn for each sample; all off by default. `{ p = 0.5, amount = 0.06 }`."""

    shift: Strength = _OFF
    """Shifted by up to `amount` of the frame's sides."""
    zoom: Strength = _OFF
    """Scaled by a factor between 1 / (1 + amount) and 1 + amount."""
    aspect: Strength = _OFF
    """Only the width scaled, by a factor between 1 / (1 + amount) and 1 + amount: imitates a turned mannequin."""
    rotation: Strength = _OFF
    """Rotated by up to `amount` degrees."""
    perspective: Strength = _OFF
    """Corners moved by up to `amount` of the sides."""
    flip: Strength = _OFF
    """All views except FrontRight mirrored; `amount` is ignored."""
    flip_front_right: Strength = _OFF
    """FrontRight mirrored: it then shows a mannequin turned to the left; `amount` is ignored."""
    brightness: Strength = _OFF
    """Multiplied by a factor between 1 - amount and 1 + amount."""
    contrast: Strength = _OFF
    """Scaled around the mean, by a factor between 1 - amount and 1 + amount."""
    saturation: Strength = _OFF
    """Scaled by a factor between 1 - amount and 1 + amount."""
    hue: Strength = _OFF
    """Rotated by up to `amount` of the colour circle, at most 0.5."""
    gamma: Strength = _OFF
    """Exponent between 1 / (1 + amount) and 1 + amount."""
    white_balance: Strength = _OFF
    """Red and blue multiplied by factors between 1 - amount and 1 + amount."""
    noise: Strength = _OFF
    """Gaussian noise, standard deviation up to `amount` of full white."""
    blur: Strength = _OFF
    """Gaussian blur, sigma up to `amount` pixels."""
    jpeg: Strength = _OFF
    """JPEG quantisation, quality down to 100 - amount."""
    light: Strength = _OFF
    """A smooth light gradient over the frame, up to 1 +- amount."""
    recolor: Strength = _OFF
    """Only the garment: dyed another colour, with its folds and prints; blended in up to `amount`."""
    pattern: Strength = _OFF
    """Only the garment: stripes, checks or dots added, with a contrast up to `amount`."""
    panel: Strength = _OFF
    """Only the garment: a part made sheer, or nearly of the colour beside it, up to `amount`; it stays garment."""
    background: Strength = _OFF
    """Everything except the garment: colour and brightness changed, up to `amount`."""
    map_corruption: Strength = _OFF
    """Only the map of an `edge` window: eroded, dilated, blurred, thin parts lost, holes and false positives; `amount`
    is the largest kernel in pixels."""
    paste: Strength = _OFF
    """Another photo's garment pasted over this one's, which it replaces; `amount` is ignored. Needs two photos per
    device."""


@dataclass(frozen=True, config=STRICT)
class StagesConfig:
    """Three networks in turn (`garmentcut.prediction.cutter`); each uses the recipe's sections, which it may override.

    `[stages.segment.data]`, `[stages.refine.training]` ... Give all three, or none: then one network is trained.
    """

    locate: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Settings of the network that finds the garment in a small copy of the photo."""
    segment: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Settings of the network that decides what is garment, at a fraction of the native size."""
    refine: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Settings of the network that draws the soft edge, at native size."""
    folds: Annotated[int, Field(ge=2, le=10, strict=True)] = 2
    """Refine learns from maps of photos that the other stages have not seen. For these maps, this many more networks of
    each are trained, each without its share of the photos."""
    fold_steps: Annotated[float, Field(gt=0, le=1, strict=True)] = 0.6
    """Steps of those fold networks, as a share of the final networks' steps."""
    fold_start: str = "imagenet"
    """Where the weights of `network.start` have seen held-out photos, fold networks start from this instead:
    `imagenet`, `scratch`, or a .safetensors file of an encoder."""

    @model_validator(mode="after")
    def _all_or_none(self) -> "StagesConfig":
        if len({bool(stage) for stage in (self.locate, self.segment, self.refine)}) > 1:
            raise ValueError("give all of locate, segment and refine, or none of them")
        return self


@dataclass(frozen=True, config=STRICT)
class LossConfig:
    """Weights of the loss terms, which are summed; at least one is above 0."""

    bce: _NotNegative = 1.0
    """Binary cross-entropy."""
    dice: _NotNegative = 1.0
    """1 - soft Dice (the proposal's -2 Dice is a weight of 2)."""
    focal: _NotNegative = 0.0
    """Focal loss (Lin 2017)."""
    focal_gamma: _NotNegative = 2.0
    """Exponent of the focal loss."""
    lovasz: _NotNegative = 0.0
    """Lovasz hinge (Berman 2018), with the target thresholded at 0.5."""
    l1: _NotNegative = 0.0
    """Mean absolute difference of the alphas."""
    laplacian: _NotNegative = 0.0
    """L1 between Laplacian pyramids of the alphas (Hou 2019)."""
    gradient: _NotNegative = 0.0
    """L1 between the differences of neighbouring pixels of the alphas."""
    edge_weight: Annotated[float, Field(ge=1, allow_inf_nan=False, strict=True)] = 4.0
    """Weight of pixels near the target's edge in cross-entropy, focal loss and L1; 1: like all others."""
    edge_px: _Count = 7
    """Half the width of that edge band, in pixels; soft pixels belong to it too."""
    thin_weight: Annotated[float, Field(ge=1, allow_inf_nan=False, strict=True)] = 1.0
    """Weight of pixels on and near thin parts (straps, ties, fringe) in the same losses; 1: like all others."""
    thin_px: _Count = 17
    """A part is thin if no square with sides of this many pixels fits into it; even numbers are rounded up to odd."""

    @model_validator(mode="after")
    def _not_all_zero(self) -> "LossConfig":
        if not any((self.bce, self.dice, self.focal, self.lovasz, self.l1, self.laplacian, self.gradient)):
            raise ValueError("at least one of bce, dice, focal, lovasz, l1, laplacian, gradient must be above 0")
        return self


@dataclass(frozen=True, config=STRICT)
class OptimizerConfig:
    """The optimizer."""

    name: Literal["adam", "adamw", "rmsprop", "adadelta", "sgd", "nesterov", "lion", "muon"] = "adamw"
    """`nesterov`: SGD with Nesterov momentum. `muon`: Muon for matrices, AdamW for the rest."""
    lr: _Positive = 2e-3
    """Learning rate, at the schedule's peak."""
    weight_decay: _NotNegative = 0.01
    """Not applied to biases and norms. Decoupled in `adamw`, `lion` and `muon`; the others add it to the gradient."""
    momentum: Annotated[float, Field(ge=0, lt=1, strict=True)] = 0.9
    """Momentum of SGD, RMSProp and Muon; first beta of the Adam family and of Lion."""
    encoder_factor: Annotated[float, Field(gt=0, le=1, strict=True)] = 1.0
    """Factor on the encoder's learning rate; below 1 for a pretrained encoder."""
    clip_norm: _NotNegative = 1.0
    """Gradients are clipped to this norm; 0: never."""

    @model_validator(mode="after")
    def _nesterov_moves(self) -> "OptimizerConfig":
        if self.name == "nesterov" and self.momentum == 0:
            raise ValueError("nesterov needs momentum above 0; use sgd without momentum")
        return self


@dataclass(frozen=True, config=STRICT)
class ScheduleConfig:
    """The learning rate over the steps, as a factor of `optimizer.lr`."""

    name: Literal["constant", "step", "cosine", "one_cycle", "triangular", "plateau"] = "cosine"
    """`triangular`: cyclical (Smith 2015)."""
    warmup: _Share = 0.08
    """Share of the steps over which the rate first rises from 0, on top of the schedule."""
    floor: _Share = 0.0
    """Lowest factor of any schedule; the minimum of the triangles."""
    factor: Annotated[float, Field(gt=0, le=1, strict=True)] = 0.1
    """`step` and `plateau`: multiplies the rate each time; `triangular`: multiplies the peak after each cycle; 1: no
    decay."""
    cycles: _Count = 4
    """`triangular`: number of cycles; `step`: number of phases of constant rate."""
    patience: _Count = 3
    """`plateau`: evaluations without gain before the rate falls."""


@dataclass(frozen=True, config=STRICT)
class TrainingConfig:
    """The training loop."""

    steps: _Count = 4000
    """Total number of optimizer steps."""
    batch: _Count = 6
    """Photos per step, over all devices."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """`auto`: bfloat16 autocast on CUDA, float32 on a CPU; with stages, whichever is faster in a few trial steps."""
    compile: Literal["auto", "on", "off"] = "auto"
    """torch.compile, which takes a while at the start on CUDA. `auto`: on CUDA, from 1500 steps."""
    ema: Annotated[float, Field(ge=0, lt=1, strict=True)] = 0.998
    """Decay of the exponential moving average of the weights, which is evaluated and saved; 0: no average."""
    evaluate_every: _Count = 250
    """Steps between evaluations on the validation photos."""
    save_every: _Count = 100
    """Steps between saves of the state; it is also saved after each evaluation."""
    patience: Annotated[int, Field(ge=0, strict=True)] = 0
    """Evaluations without gain before the training stops; 0: never."""
    seed: Annotated[int, Field(ge=0, strict=True)] = 0
    """Seed of all random numbers."""


@dataclass(frozen=True, config=STRICT)
class Recipe:
    """All sections."""

    network: NetworkConfig = field(default_factory=NetworkConfig)
    data: DataConfig = field(default_factory=DataConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    stages: StagesConfig = field(default_factory=StagesConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)


STAGES = ("locate", "segment", "refine")
"""In the order in which they run."""


def stage_recipe(recipe: Recipe, stage: str) -> Recipe:
    """The recipe of one stage; raises ConfigError if `stages` has an unknown section, key or value."""
    own: dict[str, Any] = {section: dict(keys) for section, keys in getattr(recipe.stages, stage).items()}
    rename_keys(own, _OLD_KEYS)
    if "stages" in own:  # it would be ignored
        raise ConfigError(f"stages.{stage}.stages: a stage has no stages; write these keys under [stages]")
    sections = _laid_over({**asdict(recipe), "stages": {}}, own)
    if sections["network"].get("start") == "default":
        sections["network"] = {**sections["network"], "start": f"default/{stage}"}
    return check_sections(Recipe, sections, source=f"stages.{stage}")


def load_recipe(path: Path | None = None, overrides: dict[str, Any] | None = None) -> Recipe:
    """Read a recipe and the recipes that it builds on.

    A file may have one key above its sections, `base`: the file of another recipe, relative to this one's folder, or
    the name of a built-in recipe. Keys that are left out keep its values; a key that is a table, such as
    `network.options`, is replaced as a whole.

    Args:
        path: a TOML file, or the name of a built-in recipe such as `cutnet`; None: the defaults.
        overrides: see `garmentcut.config.load_sections`.

    Raises:
        ConfigError: there is no such file or recipe, recipes build on each other in a circle, or a key or value is
            unknown; the message names the nearest known key.
    """
    recipe = load_sections(Recipe, path, overrides, read=_read_recipe, old_keys=_OLD_KEYS)
    for stage in STAGES if recipe.stages.refine else ():
        stage_recipe(recipe, stage)  # so that a wrong key in any of them is named at once
    return recipe


def _read_recipe(name: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The sections of a recipe, merged over those that it builds on; `above`: the recipes that build on it."""
    path = _found(name, folder=above[-1].parent if above else Path())
    if path in above:
        raise ConfigError(f"{above[-1]}: base: {path.name} is itself based on this recipe")
    tree = read_tree(path)
    base = tree.pop("base", None)
    rename_keys(tree, _OLD_KEYS, where=f"{path}: ")
    if base is None:
        return tree
    if not isinstance(base, str):
        raise ConfigError(f"{path}: base should be the file or the name of a recipe, not {base!r}")
    return _laid_over(_read_recipe(Path(base), (*above, path)), tree)


def _laid_over(below: dict[str, Any], tree: dict[str, Any], depth: int = 2) -> dict[str, Any]:
    """Merge sections over others, `depth` tables deep; below `stages` one deeper, because stages have sections too."""
    merged = dict(below)
    for key, value in tree.items():
        lower = merged.get(key)
        if depth > 1 and isinstance(lower, dict) and isinstance(value, dict):
            value = _laid_over(lower, value, 3 if key == "stages" else depth - 1)
        merged[key] = value
    return merged


def _found(name: Path, *, folder: Path) -> Path:
    """A recipe's file, relative to a folder, or else the built-in recipe of that name."""
    if (folder / name).is_file():
        return (folder / name).resolve()
    built_in = next((place for place in _BUILT_IN if place.is_dir()), None)
    known = {Path(path.stem): path for path in sorted(built_in.glob("*.toml"))} if built_in else {}
    if name in known:
        return known[name].resolve()
    if (folder / name).is_dir():
        raise ConfigError(f"{folder / name}: a folder, not a recipe; pass a dataset with --data")
    there_are = f"; built in are {', '.join(map(str, known))}" if known else ""
    raise ConfigError(f"{folder / name}: there is no such file{there_are}")


def recipe_toml(recipe: Recipe) -> str:
    """The whole recipe, with defaults, as TOML from which `load_recipe` reads an equal one."""
    parts = []
    for section, keys in asdict(recipe).items():
        parts += [f"[{section}]", *(f"{key} = {_toml(value)}" for key, value in keys.items()), ""]
    return "\n".join(parts)


def _toml(value: Any) -> str:
    if isinstance(value, str | bool):
        # A TOML basic string escapes as JSON does, except for DEL.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_toml(entry)}" for key, entry in value.items()) + " }"
    return repr(value)
