"""The log: one line for each event, as text or JSON, by the standard `logging`; and the messages to systemd."""

import json
import logging
import os
import re
import socket
import unicodedata
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

LogFormat = Literal["text", "json"]
LOGGER = logging.getLogger("garmentcut")
LOGGER.addHandler(logging.NullHandler())  # silent until somebody asks: warnings would go to stderr by themselves


def log_event(event: str, *, level: int = logging.INFO, **fields: Any) -> None:
    """Log an event.

    Args:
        event: what happened, in one or two words that do not vary: "photo", "watching", "problem".
        level: of `logging`.
        fields: what varies; whatever JSON can hold, else its `str`. None: left out.
    """
    LOGGER.log(level, event, extra={"fields": {key: value for key, value in fields.items() if value is not None}})


def printable(text: str) -> str:
    """A text on one line; what a terminal obeys is written out: control characters, line breaks, turned directions."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or unicodedata.category(char) == "Zs" else char.encode("unicode_escape").decode()
        for char in text
    )


def start_logging(form: LogFormat, stream: TextIO, *, level: int = logging.INFO) -> None:
    """Send garmentcut's events to a stream; a second call replaces the first.

    Args:
        form: `json`: one object a line; `text`: for people.
        stream: standard error, as a rule.
        level: events below it are left out.
    """
    lines = logging.StreamHandler(stream)
    lines.setFormatter(JsonLines() if form == "json" else TextLines())
    LOGGER.handlers[:] = [lines]
    LOGGER.setLevel(level)
    LOGGER.propagate = False


class JsonLines(logging.Formatter):
    """`{"time": ISO 8601 in UTC, "level", "event", ...fields}`."""

    def format(self, record: logging.LogRecord) -> str:
        """One object, on one line, in ASCII."""
        line = {"time": _time_of(record), "level": record.levelname.lower(), "event": record.getMessage()}
        line |= {key: value for key, value in _fields_of(record).items() if key not in line}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)  # ASCII: a file name that is not valid Unicode breaks no reader


class TextLines(logging.Formatter):
    """`TIME LEVEL event key=value ...`; a value with blanks stands in quotes."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, unless an exception follows it."""
        parts = [_time_of(record), record.levelname.lower(), record.getMessage()]
        line = " ".join([*parts, *(f"{key}={_quoted(value)}" for key, value in _fields_of(record).items())])
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _fields_of(record: logging.LogRecord) -> dict[str, Any]:
    fields: dict[str, Any] = getattr(record, "fields", {})
    return fields


def _time_of(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _quoted(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    text = text.encode("utf-8", "backslashreplace").decode()
    if re.fullmatch(r"[^\s\"=]+", text) and text.isprintable():
        return text
    return printable(json.dumps(text, ensure_ascii=False))


def notify_service(message: str) -> None:
    """Tell systemd, if it started this process with `Type=notify` (sd_notify(3)); silent elsewhere.

    Args:
        message: `READY=1`, `WATCHDOG=1`, `STOPPING=1` or `STATUS=` and a line for `systemctl status`.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address[:1] not in ("/", "@") or not hasattr(socket, "AF_UNIX"):
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as outlet:
        outlet.setblocking(False)  # a full queue is no reason to stop cutting
        outlet.sendto(message.encode(), "\0" + address[1:] if address.startswith("@") else address)
