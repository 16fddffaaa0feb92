"""A data set's folder while it is written to: its lock, and what earlier runs left in it."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from garmentcut.dataset.examination import ALPHA_FOLDER, PHOTO_FOLDER, write_error
from garmentcut.dataset.ledger import Ledger
from garmentcut.dataset.manifest import MANIFEST_NAME, DatasetError, Manifest, Pair, read_manifest, write_manifest
from garmentcut.photo.files import LOCK_NAME, remove_staged


class Store:
    """The folder; open between `open` and `close`.

    Attributes:
        folder: absolute path.
        earlier: the manifest as the last run left it; empty if there is none.
        ledger: what was found in the files.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.earlier = Manifest(folder, ())
        self._lock = FileLock(folder / LOCK_NAME, timeout=0)

    def open(self) -> None:
        """Take the lock, read what is there and clear what a killed run left half written.

        Raises:
            DatasetError: another run is at work there, its files are not garmentcut's or are damaged, or it cannot be
                written.
        """
        try:
            (self.folder / ALPHA_FOLDER).mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
        except Timeout as error:
            raise DatasetError(f"{self.folder}: another run is at work there; wait or choose another --out") from error
        except OSError as error:
            raise DatasetError(f"{self.folder} cannot be the data set's folder: {error.strerror}") from error
        try:
            self._read()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give the lock back."""
        self._lock.release()

    def save(self, manifest: Manifest) -> None:
        """Write the manifest; then drop entries, targets and photos of pairs that are no longer there.

        Raises:
            garmentcut.dataset.examination.WriteError: it cannot be written, and is as it was.
        """
        names = [pair.name for pair in manifest.pairs if pair.photo_sha256]  # the others were not read
        try:
            write_manifest(manifest)
            self._remove_unneeded(names)
            self.ledger.keep(names)
        except OSError as error:
            raise write_error(self.folder / MANIFEST_NAME, error) from error

    def _read(self) -> None:
        if (self.folder / MANIFEST_NAME).exists():
            self.earlier = read_manifest(self.folder)
        try:
            self.ledger = Ledger(self.folder)
            for folder in (self.folder, self.folder / ALPHA_FOLDER, self.folder / PHOTO_FOLDER):
                remove_staged(folder)
        except OSError as error:
            raise write_error(self.folder, error) from error

    def _remove_unneeded(self, names: Iterable[str]) -> None:
        """Remove targets and photos that runs wrote and no row needs; what garmentcut did not write stays."""
        entries = self.ledger.entries
        needed = {text for name in names if name in entries for text in _files_of(entries[name].pair)}
        for pair in (*self.earlier.usable, *(entry.pair for entry in entries.values())):
            for text in set(_files_of(pair)) - needed:
                with suppress(OSError):
                    (self.folder / text).unlink()


def _files_of(pair: Pair) -> list[str]:
    """Those of a pair's files that were written for it."""
    if "/" in pair.name:
        return []
    own = ((pair.alpha, ALPHA_FOLDER), (pair.photo, PHOTO_FOLDER))
    return [text for text, folder in own if text == f"{folder}/{pair.name}.png"]
