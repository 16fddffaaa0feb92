"""results.jsonl followed while `garmentcut cut` still writes it: only what is new is read."""

import os
from dataclasses import dataclass
from pathlib import Path

from garmentcut.prediction.results import RESULTS_NAME, Row, read_row


@dataclass
class Feed:
    """The rows of an output folder as they come.

    `cut` appends whole lines; at its begin and end it puts another file in the place of this one, with one row a
    photo. The last row of a photo counts.
    """

    folder: Path
    _inode: int = 0
    _offset: int = 0
    _last: bytes = b""
    _stamp: tuple[int, int, int] = (0, 0, 0)

    def rows(self) -> list[Row]:
        """Finished rows, `ok` or `failed`, that came since the last call; all of them where the file was exchanged.

        Raises:
            OSError: the file cannot be read.
        """
        try:
            status = (self.folder / RESULTS_NAME).stat()
        except FileNotFoundError:
            return []
        if (stamp := (status.st_ino, status.st_size, status.st_mtime_ns)) == self._stamp:
            return []
        lines = self._read_lines()
        self._stamp = stamp
        rows = {row.input: row for line in lines if (row := read_row(line)) is not None}
        return [row for row in rows.values() if row.status != "pending"]

    def _read_lines(self) -> list[bytes]:
        with (self.folder / RESULTS_NAME).open("rb") as file:
            status = os.fstat(file.fileno())
            file.seek(max(self._offset - len(self._last), 0))
            if status.st_ino != self._inode or file.read(len(self._last)) != self._last:  # inodes are used again
                self._inode, self._offset, self._last = status.st_ino, 0, b""
                file.seek(0)
            *lines, torn = file.read().split(b"\n")
            self._offset = file.tell() - len(torn)
            self._last = lines[-1] + b"\n" if lines else self._last
        return lines
