"""The model, loaded once, when it is first needed, and shared by all that run it."""

import threading
from pathlib import Path

from garmentcut.config import CutConfig, RuntimeConfig
from garmentcut.model.card import read_model
from garmentcut.photo.cutout import Cutout
from garmentcut.photo.photo import Photo
from garmentcut.prediction.cutter import Cutter, default_model
from garmentcut.prediction.runtime import load_runtime
from garmentcut.review.tiles import Tiles


class Model:
    """Loads a model file on first use.

    Args:
        path: an ONNX file with a card; None: the embedded one.
        config: backend and threads.
        cut: effort and choke.
    """

    def __init__(
        self, path: Path | None = None, config: RuntimeConfig | None = None, cut: CutConfig | None = None
    ) -> None:
        self._path, self._config, self._cut = path, config, cut
        self._cutter: Cutter | None = None
        self._tiles: Tiles | None = None
        self._loading = threading.Lock()
        self._running = threading.Lock()

    def tiles(self) -> Tiles:
        """The model for the smart brush.

        Raises:
            garmentcut.model.card.ModelError: it cannot be loaded.
        """
        with self._loading:
            if self._tiles is None:
                self._tiles = load_tiles(self._path, self._config)
            return self._tiles

    @property
    def is_loaded(self) -> bool:
        """It need not be waited for."""
        return self._cutter is not None and self._tiles is not None

    def cutter(self) -> Cutter:
        """The loaded model.

        Raises:
            garmentcut.model.card.ModelError: it cannot be loaded.
        """
        with self._loading:
            if self._cutter is None:
                self._cutter = Cutter.load(self._path, config=self._config, cut=self._cut)
            return self._cutter

    def cut(self, photo: Photo) -> Cutout:
        """Cut one photo; calls wait for each other, so that the memory of one is enough.

        Raises:
            garmentcut.photo.photo.PhotoError: no garment was found.
        """
        cutter = self.cutter()
        with self._running:
            return cutter(photo)


def load_tiles(path: Path | None, config: RuntimeConfig | None) -> Tiles:
    """A model file's network for tiles.

    Raises:
        garmentcut.model.card.ModelError: it cannot be used.
    """
    content, card = read_model(path if path is not None else default_model())
    tiles = Tiles(card, load_runtime(content, card, config))
    tiles.warm_up()
    return tiles
