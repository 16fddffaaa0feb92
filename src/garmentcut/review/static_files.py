"""Scripts, styles and icons: held in memory, at addresses that change with their content, so that browsers keep them.

A page asks for some sixty of them at once; a file read and a question whether it has changed for each took longer than
all the rest of opening a photo.
"""

import hashlib
from pathlib import Path

from fastapi import APIRouter, HTTPException, Request
from starlette.responses import Response

_FOLDER = Path(__file__).parent / "static"
_KINDS = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}
_CONTENTS = {
    path.relative_to(_FOLDER).as_posix(): path.read_bytes()
    for path in sorted(_FOLDER.rglob("*"))
    if path.suffix in _KINDS
}


def version_of(contents: dict[str, bytes]) -> str:
    """Of all files, their names and contents, hashed."""
    digest = hashlib.sha256()
    for name, content in contents.items():
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:16]


_VERSION = f"v-{version_of(_CONTENTS)}"
ADDRESS = f"/static/{_VERSION}"
"""What pages put before a file's name; scripts find each other by relative names below it."""

router = APIRouter(include_in_schema=False, default_response_class=Response)


@router.api_route("/static/{path:path}", methods=["GET", "HEAD"])
async def send_static(request: Request, path: str) -> Response:
    """A file: kept for ever under the right version, else asked for again each time."""
    version, _, name = path.partition("/")
    is_versioned = version.startswith("v-")
    content = _CONTENTS.get(name if is_versioned else path)
    if content is None:
        raise HTTPException(404, "there is no such file")
    is_kept = version == _VERSION
    headers = {
        "cache-control": "private, max-age=31536000, immutable" if is_kept else "no-cache",
        "etag": f'"{hashlib.sha256(content).hexdigest()[:32]}"',
    }
    if request.headers.get("if-none-match") == headers["etag"]:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=_KINDS[Path(path).suffix], headers=headers)
