"""What a write is refused with; each has its status in HTTP."""

from typing import Any


class ReviewError(ValueError):
    """A request that cannot be met; the message can be shown, `status` is HTTP's."""

    status = 400


class NotFoundError(ReviewError):
    """There is no such photo, or nothing of the kind for it."""

    status = 404


class ConflictError(ReviewError):
    """Somebody else was faster; `item` is the photo as it now is."""

    status = 409

    def __init__(self, message: str, item: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.item = item


class UnfitError(ReviewError):
    """The body is not what it should be."""

    status = 422


class BusyError(ReviewError):
    """Too many wait already."""

    status = 503
