"""Makes the card of a model for `garmentcut export`, from what its checkpoint knows of network and training."""

from typing import Any

from pydantic import TypeAdapter, ValidationError
from torch import nn

from garmentcut.errors import RunError, counted
from garmentcut.model.card import ModelCard
from garmentcut.model.checkpoint import NetworkSpec

INPUT, OUTPUT = "x", "y"
"""Names of a network's input and output in an exported file."""

_FACTS = (
    "name",
    "training_data",
    "licence",
    "edge_bias",
    "edge_gain",
    "scores",
    "trained_on",
    "trained_hashes",
    "started_from",
)


def card_of_network(network: nn.Module, spec: NetworkSpec, **words: Any) -> ModelCard:
    """The card that goes with a network.

    Args:
        network: as trained.
        spec: its `facts` fill the card's fields of the same name: name, training_data, licence, edge_bias, edge_gain,
            scores, trained_on, trained_hashes, started_from. A training's own facts do where these are missing: `data`
            and `num_trained_on` say what it was trained on, `dice` is its score.
        words: further fields of the card; they win.

    Raises:
        RunError: a fact is of another type than the card's field.
    """
    millions = sum(parameter.numel() for parameter in network.parameters()) / 1e6
    options = "".join(f", {key} {value}" for key, value in spec.options.items())
    fields = {
        "name": spec.name,
        "network": f"{spec.name}{options}; {millions:.2f} M parameters",
        "working_size_hw": spec.size_hw,
        "multiple_of": network.multiple_of,
        "input_name": INPUT,
        "output_name": OUTPUT,
        "input_scale": 1 / 255,
        "convention": spec.target,
        "sees_map": getattr(network, "in_channels", 3) == 4,
        "training_data": "not stated",
        "licence": "not stated",
        **_of_training(spec),
        **{key: spec.facts[key] for key in _FACTS if key in spec.facts},
        **words,
    }
    try:
        return TypeAdapter(ModelCard).validate_python(fields)
    except ValidationError as error:
        first = error.errors()[0]
        raise RunError(f"card.{'.'.join(map(str, first['loc']))}: {first['msg']}, not {first['input']!r}") from error


def _of_training(spec: NetworkSpec) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    facts, (height, width) = spec.facts, spec.size_hw
    if "data" in facts and "num_trained_on" in facts:
        fields["training_data"] = f"{counted(facts['num_trained_on'], 'photo')} of {facts['data']}"
    if isinstance(measured := facts.get("dice"), dict):
        score = {key: measured[key] for key in ("num_photos", "mean_dice", "median_dice") if key in measured}
        data = f"{measured.get('data', 'held-out photos')}, at {width}x{height} while it was trained"
        convention = "alpha > 0" if spec.target == "alpha > 0" else "alpha >= 128"
        fields["scores"] = [{"data": data, "convention": convention, **score}]
    return fields
