import json
import re

import numpy as np
import pytest

from garmentcut.review.routes import ADDRESS, version_of


def embedded(page):
    """The data that a page brings along."""
    return json.loads(re.search(r'<script type="application/json"[^>]*>(.*?)</script>', page, re.DOTALL)[1])


def test_pages_bring_their_first_data_and_the_token(review):
    queue = review.get("/", params={"view": "Front"})
    assert queue.status_code == 200 and queue.headers["cache-control"] == "no-store"
    assert [item["name"] for item in embedded(queue.text)["items"]] == ["a_Front", "b_Front"]
    assert f'content="{review.service.access.page_token}"' in queue.text
    photo = review.get(f"/photos/{embedded(queue.text)['items'][0]['id']}")
    assert embedded(photo.text)["name"] == "a_Front"
    for path in ("/statistics", "/help", "/docs"):
        assert review.get(path).status_code == 200


def test_names_cannot_break_out_of_the_page(cut_batch, open_review):
    client = open_review(cut_batch(["</script><img src=x onerror=alert(1)>_Front".replace("/", "")]))
    page = client.get("/")
    assert "<img src=x" not in page.text
    item = embedded(page.text)["items"][0]
    note = {"version": 1, "note": "</script><script>alert(1)</script>"}
    assert client.post(f"/api/photos/{item['id']}/note", json=note).status_code == 200
    for path in ("/", f"/photos/{item['id']}"):
        assert "<script>alert" not in client.get(path).text


@pytest.mark.parametrize(("path", "reason"), [("/photos/999", "photo"), ("/nothing", "nothing is at this address")])
def test_an_error_is_a_page_for_a_person(review, path, reason):
    answer = review.get(path)
    assert answer.status_code == 404 and answer.headers["content-type"].startswith("text/html")
    assert reason in answer.text and "Not Found" not in answer.text


def test_a_name_that_is_no_text(cut_batch, open_review, draw, tmp_path, png):
    try:
        draw(tmp_path / "photos" / "a\udcff_Front.png")
    except (OSError, UnicodeEncodeError):
        pytest.skip("this file system takes only names that are text")
    client = open_review(cut_batch(["b_Front"]))
    names = [item["name"] for item in client.get("/api/photos", params={"sort": "name"}).json()["items"]]
    assert names == ["a\\udcff_Front", "b_Front"]
    item = client.get("/api/photos", params={"text": "udcff"}).json()["items"][0]
    assert client.get(item["urls"]["alpha"]).status_code == 200
    body = {"version": 1, "action": "accept"}
    assert client.post(f"/api/photos/{item['id']}/decision", json=body).status_code == 200
    alpha = png(np.zeros((96, 64), np.uint8))
    (client.service.folder / "a\udcff_Front.png").write_bytes(b"retouched")
    item = client.put(f"/api/photos/{item['id']}/alpha?version=2&accept=1", content=alpha).json()
    assert item["undelivered"].startswith("a\\udcff_Front.png was changed outside of garmentcut")
    for file in (client.service.folder / ".garmentcut/review").rglob("*.decision.json"):
        file.write_bytes(b"")
    item = client.post(f"/api/photos/{item['id']}/decision", json={"version": 3, "action": "reject"}).json()
    assert "\\udcff_Front.decision.json: a decision that cannot be read" in item["undelivered"]


def test_photos_of_one_place_are_kept_apart(cut_batch, open_review, draw, tmp_path):
    draw(tmp_path / "photos" / "a_Front.png", shift=4)
    draw(tmp_path / "photos" / "a_Front.tif", shift=9)
    client = open_review(cut_batch([], page="[file]\nname = '{stem}_{counter}'\n"))
    items = client.get("/api/photos", params={"sort": "name"}).json()["items"]
    assert [item["place"] for item in items] == ["a_Front", "a_Front~tif"]
    contents = {client.get(item["urls"]["alpha"]).content for item in items}
    assert len(contents) == 2
    for item in items:
        body = {"version": item["version"], "action": "accept"}
        assert client.post(f"/api/photos/{item['id']}/decision", json=body).status_code == 200


def test_what_a_page_asks_for_is_there_and_kept_for_ever(review):
    page = review.get("/photos/1").text
    assert "{{" not in page
    addresses = re.findall(r'(?:href|src)="(/static/[^"]+)"', page)
    assert len(addresses) > 20
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
