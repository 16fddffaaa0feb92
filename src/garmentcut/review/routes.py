"""The JSON interface below /api, and the pictures below /media."""

from typing import Annotated, Any, Literal
from urllib.parse import unquote

from fastapi import APIRouter, Depends, Header, Path, Query, Request
from starlette.responses import Response

from garmentcut.review.conflicts import NotFoundError
from garmentcut.review.items import content_keys, heat_path, subject_of_photo, utc_of
from garmentcut.review.messages import DecisionBody, Fault, NoteBody
from garmentcut.review.queries import QueueQuery
from garmentcut.review.service import Service
from garmentcut.review.statistics import statistics_of
from garmentcut.review.store import Basis
from garmentcut.review.tables import PhotoRow

_MAX_NAME_CHARS = 80
_FOREVER = "private, max-age=31536000, immutable"
_ASK_AGAIN = "private, no-cache"
_FAULTS: dict[int | str, dict[str, Any]] = {
    404: {"model": Fault, "description": "No such photo in this batch."},
    409: {"model": Fault, "description": "Somebody was faster; `item` is the photo as it now is."},
}

api = APIRouter(prefix="/api", tags=["review"])
media = APIRouter(prefix="/media", tags=["media"], default_response_class=Response)

PhotoId = Annotated[int, Path(ge=1, le=2**31 - 1, description="Of the photo.")]
Content = Annotated[str, Query(alias="v", description="As in `urls`; the answer may then be kept for ever.")]


def service_of(request: Request) -> Service:
    """What all routes share."""
    service: Service = request.app.state.service
    return service


Serving = Annotated[Service, Depends(service_of)]


def person_of(x_garmentcut_person: Annotated[str, Header(description="Who acts, percent-encoded UTF-8.")] = "") -> str:
    """Name of who acts; empty: not said."""
    name = "".join(letter for letter in unquote(x_garmentcut_person) if letter.isprintable())
    return name.strip()[:_MAX_NAME_CHARS]


Person = Annotated[str, Depends(person_of)]


@api.get("/photos", responses={400: {"model": Fault, "description": "`after` is no page's cursor."}})
def list_photos(service: Serving, query: Annotated[QueueQuery, Query()]) -> dict[str, Any]:
    """A page of the queue."""
    return service.queue(query)


@api.get("/photos/{photo_id}", responses={404: _FAULTS[404]})
def show_photo(service: Serving, photo_id: PhotoId, query: Annotated[QueueQuery, Query()]) -> dict[str, Any]:
    """A photo, its garment's views, and its neighbours in the queue."""
    return service.photo(photo_id, query)


@api.get("/changes")
def list_changes(service: Serving, since: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0) -> dict[str, Any]:
    """What was written after a revision; for a page to ask every two seconds."""
    return service.changes(since)


@api.get("/statistics")
def show_statistics(service: Serving) -> dict[str, Any]:
    """Hands-on seconds a photo, and how much of the edge was moved."""
    service.store.refresh()
    with service.database.read() as session:
        return statistics_of(session, service.store.batch_id)


@api.get("/photos/{photo_id}/actions", responses={404: _FAULTS[404]})
def list_actions(service: Serving, photo_id: PhotoId) -> dict[str, Any]:
    """What was done to a photo, newest first."""
    actions = [
        {
            "at": utc_of(action.at).isoformat(),
            "who": action.who,
            "kind": action.kind,
            "state": action.state,
            "version": action.version,
            "seconds": action.seconds,
            "note": action.note,
            "pixels_changed": action.pixels_changed,
            "edge_share": action.edge_share,
        }
        for action in service.store.actions(photo_id)
    ]
    return {"actions": actions}


@api.post("/photos/{photo_id}/decision", responses=_FAULTS)
def decide(service: Serving, who: Person, photo_id: PhotoId, body: DecisionBody) -> dict[str, Any]:
    """Accept, reject, open again, or go back to the prediction."""
    return service.store.decide(Basis(photo_id, body.version, who, body.seconds), body.action, body.note)


@api.post("/photos/{photo_id}/note", responses=_FAULTS)
def write_note(service: Serving, who: Person, photo_id: PhotoId, body: NoteBody) -> dict[str, Any]:
    """Replace a photo's note."""
    return service.store.write_note(Basis(photo_id, body.version, who, body.seconds), body.note)


@media.get("/{photo_id}/thumbnail.jpg")
def send_thumbnail(
    request: Request, service: Serving, photo_id: PhotoId, v: Content = "", of: Literal["cutout", "photo"] = "cutout"
) -> Response:
    """The cutout on gray, or the photo; at most 320 pixels high."""
    photo = service.store.find(photo_id)
    key = content_keys(photo)["thumbnail"]
    answer = _Picture(request, key + of, is_asked_for=v == key, kind="image/jpeg")
    return answer.send(lambda: service.media.thumbnail(subject_of_photo(photo), key, of_photo=of == "photo"))


@media.get("/{photo_id}/photo.jpg")
def send_photo(request: Request, service: Serving, photo_id: PhotoId, v: Content = "") -> Response:
    """The photo at full size: upright, sRGB, quality 95, colours not halved."""
    photo = service.store.find(photo_id)
    key = content_keys(photo)["photo"]
    answer = _Picture(request, key, is_asked_for=v == key, kind="image/jpeg")
    return answer.send(lambda: service.media.photo(subject_of_photo(photo), key))


@media.get("/{photo_id}/alpha.png")
def send_alpha(request: Request, service: Serving, photo_id: PhotoId, v: Content = "") -> Response:
    """The current alpha: 8-bit gray, full size."""
    photo = service.store.find(photo_id)
    key = content_keys(photo)["alpha"]
    answer = _Picture(request, key, is_asked_for=v == key, kind="image/png")
    return answer.send(lambda: service.media.alpha(subject_of_photo(photo), key))


@media.get("/{photo_id}/predicted.png")
def send_predicted(request: Request, service: Serving, photo_id: PhotoId, v: Content = "") -> Response:
    """The model's alpha: 8-bit gray, full size."""
    photo = service.store.find(photo_id)
    key = content_keys(photo)["predicted"]
    answer = _Picture(request, key, is_asked_for=v == key, kind="image/png")
    return answer.send(lambda: service.media.predicted(subject_of_photo(photo), key))


@media.get("/{photo_id}/heat.png")
def send_heat(request: Request, service: Serving, photo_id: PhotoId, v: Content = "") -> Response:
    """The doubt of each pixel: 8-bit gray; 404 where the model tells none."""
    photo: PhotoRow = service.store.find(photo_id)
    place = subject_of_photo(photo).row.place
    path = heat_path(service.folder, place)
    if not path.is_file():
        raise NotFoundError("there is no doubt map of this photo")
    key = f"{path.stat().st_mtime_ns:x}"
    return _Picture(request, key, is_asked_for=v == key, kind="image/png").send(lambda: service.media.heat(place))


class _Picture:
    """A picture's answer: not sent again to whoever has it."""

    def __init__(self, request: Request, key: str, *, is_asked_for: bool, kind: str) -> None:
        self._tag, self._kind = f'"{key}"', kind
        self._has_it = self._tag in request.headers.get("if-none-match", "")
        self._headers = {"etag": self._tag, "cache-control": _FOREVER if is_asked_for else _ASK_AGAIN}

    def send(self, make: Any) -> Response:
        """304, or the picture."""
        if self._has_it:
            return Response(status_code=304, headers=self._headers)
        return Response(make(), media_type=self._kind, headers=self._headers)
