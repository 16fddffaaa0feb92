import numpy as np
import pytest

from garmentcut.export.model_file import packed
from garmentcut.model.card import card_of, split_card
from garmentcut.prediction.runtime import load_runtime


@pytest.mark.parametrize(("bits", "share", "apart"), [(16, 0.6, 0.01), (8, 0.36, 0.2)])
def test_a_packed_network_is_smaller_and_answers_alike(exported, bits, share, apart):
    network = split_card(exported)[1]
    small = packed(network, bits)
    assert len(small) < share * len(network)
    rgb = np.random.default_rng(0).integers(0, 255, (96, 96, 3), np.uint8)
    from garmentcut.config import RuntimeConfig

    for backend in ("openvino", "onnxruntime"):
        config = RuntimeConfig(backend=backend, threads=1)
        before, after = (load_runtime(content, card_of(exported), config)(rgb) for content in (network, small))
        assert before.std() > 0.05  # there is something to differ in
        assert np.abs(before - after).max() < apart
        assert not np.array_equal(before, after)
