"""A data set's folder while it is written to: its lock, and what earlier runs left in it."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from garmentcut.dataset.examination import ALPHA_FOLDER, write_error
from garmentcut.dataset.ledger import Ledger
from garmentcut.dataset.manifest import MANIFEST_NAME, DatasetError, Manifest, read_manifest, write_manifest
from garmentcut.dataset.pairing import LOCK_NAME
from garmentcut.photo.files import remove_staged


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
        """Write the manifest; then drop entries and targets of pairs that are no longer there.

        Raises:
            garmentcut.dataset.examination.WriteError: it cannot be written, and is as it was.
        """
        names = [pair.name for pair in manifest.pairs if pair.photo_sha256]  # the others were not read
        try:
            write_manifest(manifest)
            self._remove_targets(names)
            self.ledger.keep(names)
        except OSError as error:
            raise write_error(self.folder / MANIFEST_NAME, error) from error

    def _read(self) -> None:
        if (self.folder / MANIFEST_NAME).exists():
            self.earlier = read_manifest(self.folder)
        try:
            self.ledger = Ledger(self.folder)
            for folder in (self.folder, self.folder / ALPHA_FOLDER):
                remove_staged(folder)
        except OSError as error:
            raise write_error(self.folder, error) from error

    def _remove_targets(self, names: Iterable[str]) -> None:
        """Remove targets that runs wrote and no row needs; what garmentcut did not write stays."""
        entries = self.ledger.entries
        needed = {entries[name].pair.alpha for name in names if name in entries}
        for pair in (*self.earlier.usable, *(entry.pair for entry in entries.values())):
            text = f"{ALPHA_FOLDER}/{pair.name}.png"
            if pair.alpha == text and text not in needed and "/" not in pair.name:
                with suppress(OSError):
                    (self.folder / text).unlink()
