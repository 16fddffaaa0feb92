"""Failures in few classes: a metric must not have a series for every reason in words."""

import re

# The first that fits counts. The words are those of the reasons in results.jsonl.
_CLASSES = (
    ("truncated", r"^truncated|^empty file|truncated data|premature end"),
    ("damaged", r"^damaged|^its header says|pack to far more"),
    ("unreadable", r"^cannot be read|^no such file|^not a regular file"),
    ("too_large", r"over read\.|^over \d+ pages"),
    ("no_memory", r"^not enough memory"),
    ("no_garment", r"^no garment found|^nothing is visible|too small or too narrow"),
    ("changed", r"^changed while"),
    ("output", r"is there already|itself one of the photos|file\.name gives|ends at|; use path|^\[Errno"),
    ("unsupported", r"^not a |^an? |\bconvert (it|the photo) to\b|; save |is not read"),
)
FAILURE_CLASSES = (*(name for name, _ in _CLASSES), "other")
_PATTERNS = tuple((name, re.compile(pattern, re.IGNORECASE)) for name, pattern in _CLASSES)


def failure_class(reason: str) -> str:
    """One of `FAILURE_CLASSES` for a row's reason in words."""
    return next((name for name, pattern in _PATTERNS if pattern.search(reason)), "other")
