"""Put a card into an ONNX file.

    python scripts/put_card.py MODEL.onnx CARD.json OUT.onnx

CARD.json is what `garmentcut card --json` prints; its `sha256` is computed anew.
"""

import sys
from pathlib import Path

from garmentcut.model.card import parse_card, with_card
from garmentcut.photo.files import write_atomic

if __name__ == "__main__":
    model, card, out = map(Path, sys.argv[1:4])
    write_atomic(out, with_card(model.read_bytes(), parse_card(card.read_text())))
