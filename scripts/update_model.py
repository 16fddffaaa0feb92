"""Train one stage of the embedded model a little longer, and put the mean of its old and new weights into the model.

    python scripts/update_model.py recipe segment segment.toml data.varied=24 training.steps=420
    garmentcut train segment.toml --data DATASET --out RUN --fold none
    python scripts/update_model.py embed segment RUN 0.5 "what the card says about where the weights come from"

The recipe is `finetune`'s for this stage, with the given keys. 0.5 is the share of the new weights. The card keeps its
scores, doubt and acceptance: they are of fold networks, which `scripts/embed_model.py` measures.
"""

import sys
from dataclasses import replace
from pathlib import Path

from garmentcut.config import parse_override
from garmentcut.export.model_file import packed
from garmentcut.export.onnx import card_of_network, export_network
from garmentcut.model.card import card_of, read_model, split_card, stage_network_of, with_card, with_stage
from garmentcut.model.checkpoint import load_network, save_network
from garmentcut.photo.files import write_atomic
from garmentcut.recipe import STAGES, load_recipe, recipe_toml, stage_recipe

WEIGHTS = Path(__file__).parents[1] / "src/garmentcut/weights"


def write_recipe(stage: str, target: Path, overrides: list[str]) -> None:
    """Write the recipe that continues the training of a stage from the embedded model's weights."""
    write_atomic(target, recipe_toml(stage_recipe(load_recipe(Path("finetune")), stage)).encode())
    changed = load_recipe(target, dict(map(parse_override, overrides)))
    write_atomic(target, recipe_toml(changed).encode())


def embed(stage: str, run: Path, share: float, origin: str) -> None:
    """Mix the run's weights with those of the embedded model's stage, and exchange the stage in its file."""
    path = WEIGHTS / f"default-{stage}.safetensors"
    network, spec = load_network(path)
    new = load_network(run / "best.safetensors")[0].state_dict()
    for name, weights in network.state_dict().items():  # in place
        weights.copy_((1 - share) * weights + share * new[name] if weights.is_floating_point() else new[name])
    save_network(path, network, spec, half=True)
    network, spec = load_network(path)  # as it was stored, in 16 bits
    model_path = WEIGHTS / "default.onnx"
    content, card = read_model(model_path)
    exported = export_network(network, card_of_network(network, spec))
    parts = {name: stage_network_of(content, card, name) for name in STAGES if name != "segment"}
    parts["segment"] = split_card(content)[1]
    parts[stage] = packed(split_card(exported)[1], 8 if stage == "locate" else 16)
    joined = parts["segment"]
    for name in ("locate", "refine"):
        joined = with_stage(joined, name, parts[name])
    parity = max(card.parity or 0.0, card_of(exported).parity or 0.0)
    write_atomic(model_path, with_card(joined, replace(card, started_from=origin, parity=parity)))


if __name__ == "__main__":
    action, stage, *words = sys.argv[1:]
    if action == "recipe":
        write_recipe(stage, Path(words[0]), words[1:])
    else:
        embed(stage, Path(words[0]), float(words[1]), words[2])
