"""What the page sends, and what it gets: checked at the edge, and written into the schema at /openapi.json."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

MAX_NOTE_CHARS = 2000
MAX_BOX_PX = 2048

_Seconds = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]
_Version = Annotated[int, Field(ge=0, le=2**31 - 1)]
_Note = Annotated[str, Field(max_length=MAX_NOTE_CHARS)]
_Corner = Annotated[int, Field(ge=0, le=100_000)]


class _Sent(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class DecisionBody(_Sent):
    """What a person decides."""

    version: _Version
    """Of the photo as the person saw it."""
    action: Literal["accept", "reject", "reopen", "revert"]
    note: _Note | None = None
    """Takes the place of the photo's note."""
    seconds: _Seconds = 0.0
    """Hands-on since the last write."""


class NoteBody(_Sent):
    """A note on a photo."""

    version: _Version
    note: _Note
    seconds: _Seconds = 0.0


class RedrawBody(_Sent):
    """A stroke of the smart brush."""

    box_xyxy: tuple[_Corner, _Corner, _Corner, _Corner]
    """Left, top, right, bottom on the photo; right and bottom exclusive."""
    stroke: str
    """Base64 of an 8-bit gray PNG of the box's size: where the brush went."""
    alpha: str
    """Likewise: the alpha as it now is in the page."""
    hint: Literal["auto", "add", "subtract"] = "auto"


class RedrawAnswer(BaseModel):
    """The box drawn again."""

    alpha: str
    box_xyxy: tuple[int, int, int, int]
    seconds: float


class Fault(BaseModel):
    """Every error's body."""

    error: str
