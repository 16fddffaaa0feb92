"""What a monitor is told of a photo's row, alike in a folder run, a watch and on a cluster."""

from garmentcut.observe.monitor import Monitor
from garmentcut.prediction.results import Row


def report_row(monitor: Monitor, row: Row) -> None:
    """Count a finished photo and log its line."""
    monitor.photo(
        row.input,
        failure=None if row.ok else row.reason,
        doubt=row.doubt,
        verdict=row.verdict or None,
        outputs=list(row.outputs) or None,
        notes=list(row.notes) or None,
        seconds=row.seconds,
        size_hw=row.size_hw,
        input_bytes=row.input_bytes,
    )
