"""What a request is refused with; each error has its status in HTTP, and a message that can be shown."""

from typing import Any

from garmentcut.errors import UsageError


class ReviewError(UsageError):
    """A request that cannot be met.

    Attributes:
        status: HTTP's.
        retry_after_s: when the same request may do better; 0: never.
    """

    status = 400
    retry_after_s = 0


class NotFoundError(ReviewError):
    """There is no such photo, or nothing of the kind for it."""

    status = 404


class ConflictError(ReviewError):
    """Somebody else was faster; `item` is the photo as it now is."""

    status = 409

    def __init__(self, message: str, item: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.item = item


class TooLargeError(ReviewError):
    """More pixels than are accepted."""

    status = 413


class NotAPhotoError(ReviewError):
    """What came cannot be read as a photo."""

    status = 415


class UnfitError(ReviewError):
    """The body is not what it should be."""

    status = 422


class NotStoredError(ReviewError):
    """It could not be written, and nothing has changed."""

    status = 507


class StoredError(ReviewError):
    """It is stored, but what has become of it could not be read, or its files not be settled."""

    status = 507


class QueueFullError(ReviewError):
    """As many photos wait to be cut as there is room for."""

    status, retry_after_s = 429, 10


class BusyError(ReviewError):
    """As many strokes of the smart brush wait as there is room for."""

    status, retry_after_s = 503, 2
