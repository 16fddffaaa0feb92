"""systemd's notifications (sd_notify(3)): ready, alive, stopping; silent where nobody listens."""

import os
import socket
from contextlib import suppress


def notify_service(message: str) -> None:
    """Tell systemd, if it started this process with `Type=notify`.

    Args:
        message: `READY=1`, `WATCHDOG=1`, `STOPPING=1` or `STATUS=` and a line for `systemctl status`.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address[:1] not in ("/", "@") or not hasattr(socket, "AF_UNIX"):
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as outlet:
        outlet.setblocking(False)  # a full queue is no reason to stop cutting
        outlet.sendto(message.encode(), "\0" + address[1:] if address.startswith("@") else address)
