"""Who may write to a target: one run at a time, by numbered objects of which only one process can make the next."""

import json
import os
import secrets
import socket
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

from garmentcut.cluster.errors import TakenOverError
from garmentcut.cluster.storage import Storage
from garmentcut.errors import SourceError
from garmentcut.prediction.batch import OWN_FOLDER

RUNS = f"{OWN_FOLDER}/runs"
_TAKEN_FOR_DEAD_S = 120.0
_RENEWED_EVERY_S = 15.0
_KEPT = 5  # of the runs before


@dataclass(frozen=True)
class Claim:
    """What a run's object says.

    Attributes:
        token: drawn by its driver.
        host: name of the driver's machine, and which of its boots.
        pid: the driver's process there.
        renewed: seconds since 1970, by the driver's clock.
        ended: it has let go.
    """

    token: str
    host: str
    pid: int
    renewed: float
    ended: bool = False

    @property
    def is_live(self) -> bool:
        """Its driver may still be at work."""
        if self.ended or time.time() - self.renewed > _TAKEN_FOR_DEAD_S:
            return False
        return self.host != this_host() or _is_running(self.pid)


class Lease:
    """A run's right to write to a target; used as a context.

    Run `n` is the one that made `.garmentcut/runs/00000n.json`, which a store lets one process do. It renews it; a run
    that has not for two minutes, or whose process on this machine is gone, is dead, and run `n + 1` may begin. A run
    that was only asleep finds object `n + 1`, and stops. Clocks of the machines may differ by a minute.

    Attributes:
        number: of this run, from 1.
    """

    def __init__(self, target: Storage, *, renewed_every_s: float = _RENEWED_EVERY_S) -> None:
        self._target, self._every_s = target, renewed_every_s
        self._claim = Claim(secrets.token_hex(8), this_host(), os.getpid(), time.time())
        self._over = threading.Event()
        self._lost = ""
        self._heart = threading.Thread(target=self._renew_for_ever, daemon=True)
        self.number = 0

    def __enter__(self) -> "Lease":
        """Become the target's run.

        Raises:
            SourceError: another run is at work there.
            OSError: the target cannot be written.
        """
        self.number = self._next_number()
        name = _name(self.number)
        if not self._target.create(name, self._content()) and self._holder(name) != self._claim.token:
            raise SourceError(f"{self._target.url}: another run has begun there just now; wait for it")
        self._target.delete(_name(number) for number in range(max(self.number - 2 * _KEPT, 1), self.number - _KEPT))
        self._heart.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go."""
        self._over.set()
        self._heart.join()
        if not self._lost:
            self._claim = Claim(**{**asdict(self._claim), "ended": True})
            try:
                self._target.put(_name(self.number), self._content())
            except OSError:  # it will be taken for dead in two minutes
                return

    def check(self) -> None:
        """Raises TakenOverError if another run has taken the target."""
        if self._lost:
            raise TakenOverError(self._lost)

    def _next_number(self) -> int:
        numbers = [int(Path(found.name).stem) for found in self._target.walk(RUNS) if found.name.endswith(".json")]
        last = max(numbers, default=0)
        if last and (claim := _read_claim(self._target, _name(last))) is not None and claim.is_live:
            machine = "this machine" if claim.host == this_host() else claim.host.partition("/")[0]
            raise SourceError(
                f"{self._target.url}: another run is at work there (process {claim.pid} on {machine}); wait, or choose"
                f" another --out. If it was killed, it is taken for dead after {_TAKEN_FOR_DEAD_S:.0f} s"
            )
        return last + 1

    def _holder(self, name: str) -> str:
        claim = _read_claim(self._target, name)
        return claim.token if claim else ""

    def _content(self) -> bytes:
        return json.dumps(asdict(self._claim)).encode()

    def _renew_for_ever(self) -> None:
        failing_since = None
        while not self._over.wait(self._every_s):
            try:
                if _read_claim(self._target, _name(self.number + 1)) is not None:
                    self._lost = f"{self._target.url}: another run has taken it over; let it finish"
                    return
                self._claim = Claim(**{**asdict(self._claim), "renewed": time.time()})
                self._target.put(_name(self.number), self._content())
                failing_since = None
            except Exception as error:  # noqa: BLE001 - the store may be back before anyone takes this run for dead
                failing_since = failing_since or time.monotonic()
                if time.monotonic() - failing_since > _TAKEN_FOR_DEAD_S:
                    self._lost = f"{self._target.url} cannot be reached any more: {error}; run again to go on"
                    return


def this_host() -> str:
    """Name of the machine and which of its boots: after another boot no process of the last one runs."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        boot = ""
    return f"{socket.gethostname()}/{boot}"


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True


def _name(number: int) -> str:
    return f"{RUNS}/{number:06d}.json"


def _read_claim(target: Storage, name: str) -> Claim | None:
    try:
        return Claim(**json.loads(target.read(name)))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):  # being written at this moment
        return Claim("", "a machine unknown", 0, time.time())
