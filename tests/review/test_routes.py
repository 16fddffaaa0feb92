import base64
import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from garmentcut.prediction.results import Journal, Row


def items(client, **query):
    answer = client.get("/api/photos", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def names(client, **query):
    return [item["name"] for item in items(client, **query)["items"]]


def decide(client, item, action, **more):
    body = {"version": item["version"], "action": action, **more}
    return client.post(f"/api/photos/{item['id']}/decision", json=body)


def first(client, name="a_Front"):
    return next(item for item in items(client)["items"] if item["name"] == name)


def put(client, item, content, *, accept=0, seconds=0):
    query = {"version": item["version"], "accept": accept, "seconds": seconds}
    return client.put(f"/api/photos/{item['id']}/alpha", params=query, content=content)


@pytest.fixture
def wider(gray, review):
    """The alpha of a_Front with ten columns more."""

    def widen(client=review):
        alpha = gray(client.get(first(client)["urls"]["alpha"]).content).copy()
        alpha[30:60, 10:20] = 255
        return alpha

    return widen


def test_a_batch_is_listed(review):
    page = items(review)
    assert names(review) == ["a_Back", "a_Front", "b_Front"]
    assert page["total"] == 3 and page["cursor"] is None
    assert page["counts"] == {"open": 3, "accepted": 0, "corrected": 0, "rejected": 0, "failed": 0}
    assert page["facets"] == {"view": {"Front": 2, "Back": 1}, "verdict": {"none": 3}, "doubt": {"known": 0, "none": 3}}
    item = page["items"][1]
    assert (item["garment"], item["view"], item["width"], item["height"]) == ("a", "Front", 64, 96)
    assert (item["state"], item["version"], item["has_alpha"], item["urls"]["heat"]) == ("open", 1, False, None)


def test_filters_are_anded_and_their_values_ored(review):
    assert names(review, view="Front") == ["a_Front", "b_Front"]
    assert names(review, view=["Front", "Back"], garment="a") == ["a_Back", "a_Front"]
    assert names(review, text="B_f") == ["b_Front"]
    assert names(review, text="_") == ["a_Back", "a_Front", "b_Front"]
    assert names(review, text="%") == []
    assert names(review, state="accepted") == []
    assert names(review, verdict="none", sort="name") == ["a_Back", "a_Front", "b_Front"]
    decide(review, first(review), "accept", note="Ärmel")
    assert names(review, state="accepted") == ["a_Front"]
    for text in ("ärmel", "Ärmel", "A\u0308rmel"):  # the last one as macOS names files
        assert names(review, text=text) == ["a_Front"], ascii(text)


def test_pages_follow_each_other_and_nothing_is_lost_between_them(cut_batch, open_review):
    client = open_review(cut_batch([f"g{number:02}_Front" for number in range(11)]))
    seen, cursor = [], ""
    while cursor is not None:
        page = items(client, limit=4, after=cursor)
        seen += [item["name"] for item in page["items"]]
        cursor = page["cursor"]
    assert seen == [f"g{number:02}_Front" for number in range(11)]
    for cursor in ("nonsense", base64.urlsafe_b64encode(rb'[0, "\ud800"]')):
        assert client.get("/api/photos", params={"after": cursor}).status_code == 400
    assert client.get("/api/photos", params={"limit": 0}).status_code == 422


def test_neighbours_and_siblings(review):
    item = first(review)
    shown = review.get(f"/api/photos/{item['id']}", params={"view": "Front"}).json()
    assert [sibling["view"] for sibling in shown["siblings"]] == ["Front", "Back"]
    assert (shown["previous"], shown["next"]) == (None, first(review, "b_Front")["id"])
    assert (shown["position"], shown["total"]) == (1, 2)
    decide(review, item, "accept")  # no longer in the queue, it still has a next one
    shown = review.get(f"/api/photos/{item['id']}", params={"state": "open"}).json()
    assert shown["previous"] == first(review, "a_Back")["id"]
    assert shown["next"] == first(review, "b_Front")["id"]


def test_decisions_and_their_undoing(review):
    item = decide(review, first(review), "reject", seconds=2.5, note="hem").json()
    assert (item["state"], item["version"], item["note"], item["seconds"]) == ("rejected", 2, "hem", 2.5)
    item = decide(review, item, "reopen", seconds=1).json()
    assert (item["state"], item["note"], item["seconds"]) == ("open", "hem", 3.5)
    item = decide(review, item, "accept").json()
    assert item["state"] == "accepted"
    actions = review.get(f"/api/photos/{item['id']}/actions").json()["actions"]
    assert [action["kind"] for action in actions] == ["accept", "reopen", "reject"]
    assert actions[2]["seconds"] == 2.5


def test_whoever_comes_second_is_told_who_was_faster(review):
    item = first(review)
    headers = {"x-garmentcut-person": "J%C3%BCrgen%00"}
    body = {"version": 1, "action": "reject"}
    assert review.post(f"/api/photos/{item['id']}/decision", json=body, headers=headers).status_code == 200
    late = decide(review, item, "accept")
    assert late.status_code == 409
    assert late.json()["error"].startswith("Rejected by Jürgen at ")
    assert late.json()["item"]["state"] == "rejected"
    assert first(review)["state"] == "rejected"
    note = {"version": 1, "note": "late"}
    assert review.post(f"/api/photos/{item['id']}/note", json=note).status_code == 409


def test_a_draft_survives_and_leaves_the_outputs_alone(review, wider, png, gray):
    before = (review.service.folder / "a_Front.png").read_bytes()
    item = put(review, first(review), png(wider()), seconds=4).json()
    assert (item["state"], item["has_draft"], item["seconds"]) == ("open", True, 4)
    assert item["edge_share"] > 0.1
    assert (review.service.folder / "a_Front.png").read_bytes() == before
    np.testing.assert_array_equal(gray(review.get(first(review)["urls"]["alpha"]).content), wider())


def test_an_accepted_correction_is_delivered_and_the_first_alpha_kept(review, wider, png, gray):
    predicted = gray(review.get(first(review)["urls"]["predicted"]).content)
    item = put(review, first(review), png(wider()), accept=1).json()
    assert (item["state"], item["has_draft"], item["undelivered"]) == ("corrected", False, "")
    with Image.open(review.service.folder / "a_Front.png") as image:
        np.testing.assert_array_equal(np.array(image)[..., 3], wider())
    np.testing.assert_array_equal(gray(review.get(item["urls"]["predicted"]).content), predicted)


def test_reverting_and_accepting_brings_the_first_output_back(review, wider, png):
    output = review.service.folder / "a_Front.png"
    before = output.read_bytes()
    item = put(review, first(review), png(wider()), accept=1).json()
    assert output.read_bytes() != before
    item = decide(review, item, "revert").json()
    assert (item["state"], item["has_alpha"], item["edge_share"]) == ("open", False, None)
    item = decide(review, item, "accept").json()
    assert item["state"] == "accepted"
    assert output.read_bytes() == before


def test_reopening_a_correction_makes_it_a_draft_and_accepting_it_a_correction(review, wider, png):
    item = put(review, first(review), png(wider()), accept=1).json()
    item = decide(review, item, "reopen").json()
    assert (item["state"], item["has_draft"]) == ("open", True)
    assert decide(review, item, "accept").json()["state"] == "corrected"


def test_an_alpha_like_the_prediction_is_no_correction(review, png, gray):
    alpha = gray(review.get(first(review)["urls"]["alpha"]).content)
    item = put(review, first(review), png(alpha), accept=1).json()
    assert (item["state"], item["has_alpha"], item["edge_share"]) == ("accepted", False, None)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not a PNG"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a PNG"),
        (b"\x89PNG\r\n\x1a\n", "truncated"),
        ((96, 64, 3), "8-bit RGB PNG"),
        ((96, 64, 4), "8-bit RGBA PNG"),
        ((64, 96), "96x64 pixels; must be 64x96"),
    ],
)
def test_what_is_no_alpha_is_refused(review, png, content, reason):
    data = png(np.zeros(content)) if isinstance(content, tuple) else content
    answer = put(review, first(review), data)
    assert answer.status_code == 422
    assert reason in answer.json()["error"]
    assert first(review)["version"] == 1


def test_changes_since_a_revision(review, wider, png):
    revision = items(review)["revision"]
    assert review.get("/api/changes", params={"since": revision}).json()["items"] == []
    decide(review, first(review, "b_Front"), "reject")
    put(review, first(review), png(wider()), accept=1)
    changes = review.get("/api/changes", params={"since": revision}).json()
    assert [item["name"] for item in changes["items"]] == ["b_Front", "a_Front"]
    assert changes["counts"]["rejected"] == 1 and not changes["more"]
    assert review.get("/api/changes", params={"since": changes["revision"]}).json()["items"] == []


def test_many_changes_come_in_parts(cut_batch, open_review, monkeypatch):
    monkeypatch.setattr("garmentcut.review.store._MOST_CHANGES", 4)
    client = open_review(cut_batch([f"g{number}_Front" for number in range(9)]))
    seen, revision, more = [], 0, True
    while more:
        changes = client.get("/api/changes", params={"since": revision}).json()
        seen += [item["name"] for item in changes["items"]]
        revision, more = changes["revision"], changes["more"]
    assert sorted(seen) == [f"g{number}_Front" for number in range(9)]


@pytest.mark.parametrize("path", ["/api/photos/99", "/api/photos/99/actions", "/media/99/alpha.png"])
def test_a_photo_that_is_not_there(review, path):
    answer = review.get(path)
    assert answer.status_code == 404 and "no such photo" in answer.json()["error"]


def test_statistics(review, wider, png):
    assert review.get("/api/statistics").json()["seconds"] is None
    put(review, first(review), png(wider()), accept=1, seconds=12)
    decide(review, first(review, "b_Front"), "accept", seconds=3)
    found = review.get("/api/statistics").json()
    assert (found["photos"], found["decided"], found["corrected"]) == (3, 2, 1)
    assert found["seconds"] == {"total": 15.0, "mean": 7.5, "median": 7.5, "p90": 11.1}
    assert {bar["from"]: bar["photos"] for bar in found["histogram"] if bar["photos"]} == {2: 1, 10: 1}
    assert found["by_state"]["corrected"] == {"photos": 1, "median": 12.0}
    assert sum(bar["photos"] for bar in found["edge"]["histogram"]) == 1
    assert found["by_day"][0]["photos"] == 2 and found["by_person"] == [{"who": "", "photos": 2, "seconds": 15.0}]


def test_the_schema_is_served_and_no_page_of_another_host(review):
    schema = review.get("/openapi.json").json()
    assert {"/api/photos", "/api/photos/{photo_id}/alpha", "/cut"} <= set(schema["paths"])
    page = review.get("/docs")
    assert page.status_code == 200 and "/api/photos/{photo_id}/decision" in page.text
    assert "http://" not in page.text and "https://" not in page.text
    assert review.get("/redoc").status_code == 404


def test_photos_that_could_not_be_read_have_pictures_of_their_own(cut_batch, open_review, draw, tmp_path):
    """Before, all that a share which was away had lost showed the picture of the first."""
    folder = cut_batch()
    for name, cloth in (("x_Front", (255, 0, 0)), ("y_Front", (0, 255, 0))):
        path = draw(tmp_path / f"{name}.png", cloth=cloth)
        Journal(folder).append(Row(str(path), name, status="failed", code="unreadable", reason="the share is away"))
    client, colors = open_review(folder), []
    for item in items(client, state="failed")["items"]:
        with Image.open(io.BytesIO(client.get(item["urls"]["thumbnail"]).content)) as image:
            colors.append(image.getpixel((30, 40)))
    (red, green, _), (other_red, other_green, _) = colors
    assert red > 200 > 50 > green and other_green > 200 > 50 > other_red


def test_a_photo_that_failed_says_why_and_is_open_once_it_is_fixed(cut_batch, open_review, draw, tmp_path):
    draw(tmp_path / "photos" / "z_Front.png", cloth=(200, 200, 200))  # no red: no garment
    client = open_review(cut_batch(["a_Front"]))
    item = first(client, "z_Front")
    assert items(client)["items"][-1]["id"] == item["id"]
    assert item["state"] == "failed" and "no garment" in item["reason"]
    assert (item["urls"]["alpha"], item["urls"]["predicted"], item["width"]) == (None, None, 64)
    assert client.get(item["urls"]["thumbnail"]).status_code == 200
    assert client.get(f"/media/{item['id']}/alpha.png").status_code == 404
    assert decide(client, item, "accept").status_code == 409
    assert put(client, item, b"").status_code == 422
    draw(tmp_path / "photos" / "z_Front.png")
    cut_batch([])
    assert first(client, "z_Front")["state"] == "open"


def test_a_doubt_map_is_shown_where_there_is_one(review, png):
    heat = review.service.folder / ".garmentcut" / "heat" / "a_Front.png"
    assert review.get("/media/2/heat.png").status_code == 404
    heat.parent.mkdir()
    heat.write_bytes(png(np.full((24, 16), 99, np.uint8)))
    answer = review.get(first(review)["urls"]["heat"])
    assert answer.content == heat.read_bytes() and "immutable" in answer.headers["cache-control"]
    assert first(review, "b_Front")["urls"]["heat"] is None


def test_a_thumbnail_shows_the_garment_as_large_as_it_fits(review, wider, png):
    def shown(item):
        with Image.open(io.BytesIO(review.get(item["urls"]["thumbnail"]).content)) as image:
            return image.size, np.array(image)

    size, pixels = shown(first(review))
    assert size == (24 + 20, 50 + 20)  # the dress in a photo of 64x96, and a margin
    assert np.abs(pixels[0, 0].astype(int) - 0x8C).max() < 3 and pixels[35, 22, 0] > 200
    put(review, first(review), png(wider()))
    assert shown(first(review))[0] != size  # the corrected one is drawn anew


def test_the_doubtful_come_first_and_the_unknown_after_them(cut_batch, open_review):
    folder = cut_batch()
    journal = Journal(folder)
    doubts = {"a_Front": (0.02, "accept"), "b_Front": (0.4, "review")}
    for row in list(journal.rows.values()):
        if row.place in doubts:
            doubt, verdict = doubts[row.place]
            journal.append(replace(row, doubt=doubt, verdict=verdict, reasons=("hair over the shoulder",)))
    client = open_review(folder)
    assert names(client) == ["b_Front", "a_Front", "a_Back"]
    assert names(client, verdict=["accept", "none"]) == ["a_Front", "a_Back"]
    assert items(client)["facets"]["doubt"] == {"known": 2, "none": 1}
    assert first(client, "b_Front")["reasons"] == ["hair over the shoulder"]
    seen, cursor = [], ""
    while cursor is not None:
        page = items(client, limit=1, after=cursor)
        seen += [item["name"] for item in page["items"]]
        cursor = page["cursor"]
    assert seen == ["b_Front", "a_Front", "a_Back"]


def test_a_batch_of_foreign_photos_is_warned_of(cut_batch, open_review):
    folder = cut_batch()
    client = open_review(folder)
    assert items(client)["warning"] == ""
    journal = Journal(folder)
    for row in list(journal.rows.values())[:2]:
        journal.append(replace(row, flags=("foreign", "holes"), reasons=("unlike the studio this model learned from",)))
    warning = items(client)["warning"]
    assert warning.startswith("2 of 3 photos look unlike the studio this model learned from. Do not use these cutouts")
    assert "garmentcut review" not in warning  # that is where one is
    assert 'id="warning"' in client.get("/").text
    for item in items(client)["items"]:
        client.post(f"/api/photos/{item['id']}/decision", json={"version": item["version"], "action": "accept"})
    assert items(client)["warning"] == ""  # all were seen


def test_a_correction_of_several_garments_reaches_the_files_of_each(cut_batch, open_review, tmp_path, png, gray):
    pixels = np.full((96, 64, 3), 200, np.uint8)
    pixels[20:70, 6:26] = pixels[20:70, 38:58] = (255, 0, 0)
    (tmp_path / "photos").mkdir()
    Image.fromarray(pixels).save(tmp_path / "photos/two_Front.png")
    folder = cut_batch(["two_Front"], each=True)
    client = open_review(folder)
    item = first(client, "two_Front")
    alpha = gray(client.get(item["urls"]["alpha"]).content).copy()
    alpha[70:80, 6:26] = 255  # the left one is longer
    done = put(client, item, png(alpha), accept=1).json()
    assert (done["state"], done["undelivered"]) == ("corrected", "")
    areas = [int((np.array(Image.open(folder / f"two_Front-{number}.png"))[..., 3] > 127).sum()) for number in (1, 2)]
    assert areas == [1200, 1000]
    assert not (folder / "two_Front.png").exists()
