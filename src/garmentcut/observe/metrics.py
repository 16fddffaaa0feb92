"""Prometheus metrics of a run; needs `prometheus-client` (extra `observe`), which is imported only here."""

from importlib.metadata import version

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector
from prometheus_client.exposition import choose_encoder

from garmentcut.errors import FAILURES

STAGES = ("read", "network", "write")
_STAGE_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_DOUBT_BUCKETS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1)


class Metrics:
    """Counts and times, in a registry of their own; docs/operation.md explains each. May be used from any thread.

    Attributes:
        registry: for further metrics, such as a server's own.
    """

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        Info("garmentcut_build", "The program.", registry=registry).info({"version": version("garmentcut")})
        self._photos = Counter("garmentcut_photos", "Photos worked on, by outcome.", ["status"], registry=registry)
        self._failures = Counter("garmentcut_failures", "Photos that failed, by code.", ["code"], registry=registry)
        self._seconds = Histogram(
            "garmentcut_stage_seconds",
            "Seconds a photo spends in a stage, waiting not counted.",
            ["stage"],
            buckets=_STAGE_BUCKETS_S,
            registry=registry,
        )
        self._doubt = Histogram(
            "garmentcut_doubt",
            "1 - expected surface Dice at 2 px, of each cutout whose model can tell.",
            buckets=_DOUBT_BUCKETS,
            registry=registry,
        )
        self._queue = Gauge("garmentcut_queue_photos", "Photos that wait, by what for.", ["state"], registry=registry)
        self._success = Gauge(
            "garmentcut_last_success_timestamp_seconds", "When the last photo was cut; Unix time.", registry=registry
        )
        self._scan = Gauge("garmentcut_look_seconds", "What the last look at the folders took.", registry=registry)
        self._found = Gauge("garmentcut_found_photos", "Photos the last look found, done ones too.", registry=registry)
        for child in ("ok", "failed"):  # a series that is not there yet cannot be told from one that is broken
            self._photos.labels(child)
        for child in FAILURES:
            self._failures.labels(child)
        for child in STAGES:
            self._seconds.labels(child)

    def count_photo(self, *, code: str = "", doubt: float | None = None) -> None:
        """Count a photo that is finished.

        Args:
            code: why it failed, a key of `garmentcut.errors.FAILURES`; empty: it was cut.
            doubt: in [0, 1]; None: the model cannot tell.
        """
        self._photos.labels("failed" if code else "ok").inc()
        if code:
            self._failures.labels(code).inc()
            return
        self._success.set_to_current_time()
        if doubt is not None:
            self._doubt.observe(doubt)

    def time_stage(self, stage: str, seconds: float) -> None:
        """Record what a photo took in one of `STAGES`."""
        self._seconds.labels(stage).observe(seconds)

    def set_queue(self, **waiting: int) -> None:
        """How many photos wait, by state."""
        for state, number in waiting.items():
            self._queue.labels(state).set(number)

    def set_look(self, seconds: float, num_photos: int) -> None:
        """What the last look at the watched folders took and found."""
        self._scan.set(seconds)
        self._found.set(num_photos)

    def page(self, accept: str = "") -> tuple[str, bytes]:
        """All metrics as Prometheus reads them.

        Args:
            accept: the request's header of that name.

        Returns:
            The content type, and the content.
        """
        encode, content_type = choose_encoder(accept)
        return content_type, encode(self.registry)
