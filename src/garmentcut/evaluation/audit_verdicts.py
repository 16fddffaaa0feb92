"""What people say of cutouts, kept in the manifest: wrong, right or unsure."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal, get_args

from filelock import FileLock, Timeout

from garmentcut.dataset.manifest import DatasetError, Manifest, read_manifest, write_manifest
from garmentcut.errors import EvaluationError
from garmentcut.photo.files import LOCK_NAME

CutoutVerdict = Literal["", "wrong", "right", "unsure"]
"""Empty: nobody has looked, or a verdict is taken back."""

_PATIENCE_S = 5.0  # for another command at work in the dataset

VERDICTS = tuple(word for word in get_args(CutoutVerdict) if word)


class VerdictError(EvaluationError):
    """Verdicts that cannot be understood, or name no pair; the message says which."""


def parse_mark(text: str) -> tuple[str, CutoutVerdict]:
    """`NAME=wrong`, or `NAME=` to take a verdict back.

    Raises:
        VerdictError: it is neither.
    """
    name, equals, verdict = text.rpartition("=")
    if not equals or not name:
        raise VerdictError(f"{text!r} is not of the form NAME=wrong")
    return name, _checked(verdict, name)


def read_verdicts(path: Path) -> dict[str, CutoutVerdict]:
    """A file that the audit's page saves: `{"verdicts": {name: verdict}}`.

    Raises:
        VerdictError: it cannot be read, or is not one.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))["verdicts"]
        return {str(name): _checked(verdict, str(name)) for name, verdict in content.items()}
    except VerdictError as error:
        raise VerdictError(f"{path}: {error}") from error
    except OSError as error:
        raise VerdictError(f"{path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise VerdictError(f"{path} is not a file of verdicts that the audit's page saved") from error


def keep_verdicts(folder: Path, verdicts: Mapping[str, CutoutVerdict]) -> Manifest:
    """Write verdicts into a dataset's manifest, all or none.

    Args:
        folder: the dataset's.
        verdicts: by the pairs' names.

    Returns:
        The manifest as written.

    Raises:
        VerdictError: there is no such pair, or it is refused.
        DatasetError: the manifest cannot be read or written, or `ingest` is at work there.
    """
    try:
        with FileLock(folder / LOCK_NAME, timeout=_PATIENCE_S):
            manifest = read_manifest(folder)
            usable = {pair.name for pair in manifest.usable}
            if unknown := sorted(set(verdicts) - usable):
                raise VerdictError(f"{folder} has no usable pair named {unknown[0]}")
            pairs = tuple(replace(pair, verdict=verdicts.get(pair.name, pair.verdict)) for pair in manifest.pairs)
            marked = replace(manifest, pairs=pairs)
            write_manifest(marked)
            return marked
    except Timeout as error:
        raise DatasetError(f"{folder}: another garmentcut is at work there; wait for it") from error
    except OSError as error:
        raise DatasetError(f"{folder}: {error.strerror or error}") from error


def _checked(verdict: object, name: str) -> CutoutVerdict:
    if verdict not in get_args(CutoutVerdict):
        raise VerdictError(f"{name}: {verdict!r} is none of {', '.join(VERDICTS)}")
    return verdict  # type: ignore[return-value]
