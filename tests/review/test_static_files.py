import re

import pytest

from garmentcut.review.static_files import ADDRESS, version_of


def test_what_a_page_asks_for_is_there_and_kept_for_ever(review):
    page = review.get("/photos/1").text
    assert "{{" not in page
    addresses = re.findall(r'(?:href|src)="(/static/[^"]+)"', page)
    assert len(addresses) > 40
    for address in addresses:
        answer = review.get(address)
        assert (answer.status_code, address.startswith(ADDRESS)) == (200, True), address
        assert "immutable" in answer.headers["cache-control"]
    assert review.head(addresses[-1]).status_code == 200


@pytest.mark.parametrize("folder", ["", "v-0123456789abcdef/"])
def test_under_another_version_it_is_asked_for_again_each_time(review, folder):
    answer = review.get(f"/static/{folder}editor/editor.js")
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-cache")
    assert answer.headers["content-type"].startswith("text/javascript")
    again = review.get(f"/static/{folder}editor/editor.js", headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("path", ["nothing.js", "", f"{ADDRESS[8:]}", f"{ADDRESS[8:]}/nothing.js"])
def test_what_is_not_there(review, path):
    assert review.get(f"/static/{path}").status_code == 404


def test_another_content_has_another_version():
    assert len({version_of(files) for files in ({"a": b"b"}, {"a": b"c"}, {"b": b"b"}, {"a": b"", "b": b""})}) == 4
