"""A web service of your own that cuts photos: `uvicorn fastapi_service:app`, then POST a photo file to /cutout."""

from functools import lru_cache
from typing import Annotated

from fastapi import FastAPI, File, HTTPException, Response

from garmentcut import Cutter, PhotoError

app = FastAPI(title="Cutouts")


@lru_cache(maxsize=1)
def cutter() -> Cutter:
    """The model, loaded with the first request."""
    return Cutter.load()


@app.post("/cutout", response_class=Response)
def cut_photo(photo: Annotated[bytes, File()]) -> Response:
    """The cutout as PNG; the photo's doubt stands in a header. FastAPI calls this in a thread of its own."""
    try:
        cutout = cutter()(photo)
    except PhotoError as error:
        raise HTTPException(422, {"code": error.code, "reason": str(error)}) from error
    doubt = {} if cutout.doubt is None else {"X-Doubt": f"{cutout.doubt:.4f}"}
    return Response(cutout.to_bytes("png"), media_type="image/png", headers=doubt)
