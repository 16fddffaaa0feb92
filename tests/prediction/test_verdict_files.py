import hashlib

from garmentcut.prediction.results import Row
from garmentcut.prediction.verdict_files import (
    heat_path,
    keep_heat,
    move_outputs,
    remove_misplaced,
    sorted_outputs,
    unsorted_output,
)


def put(out, name, content=b"x"):
    path = out / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def test_names_go_to_the_verdicts_folder_and_back():
    assert sorted_outputs(["day/a.png"], "accept") == ("accepted/day/a.png",)
    assert sorted_outputs(["a.png"], "review") == ("review/a.png",)
    assert sorted_outputs(["a.png"], "") == ("a.png",)
    assert [unsorted_output(name) for name in ("accepted/day/a.png", "review/a.png", "day/a.png", "review")] == [
        "day/a.png",
        "a.png",
        "day/a.png",
        "review",
    ]


def test_heat_maps_come_and_go(tmp_path):
    keep_heat(tmp_path, "day/a", b"png")
    assert heat_path(tmp_path, "day/a").read_bytes() == b"png"
    assert heat_path(tmp_path, "day/a") == tmp_path / ".garmentcut/heat/day/a.png"
    keep_heat(tmp_path, "day/a", None)
    keep_heat(tmp_path, "day/a", None)
    assert not heat_path(tmp_path, "day/a").exists()


def test_what_an_earlier_verdict_left_goes_unless_somebody_worked_on_it(tmp_path):
    ours, changed = put(tmp_path, "review/a.png"), put(tmp_path, "review/b.png", b"retouched")
    row = Row("/in/a", outputs=("accepted/a.png",), written={"review/a.png": (ours,), "accepted/a.png": ()})
    remove_misplaced(tmp_path, row)
    assert not (tmp_path / "review/a.png").exists()
    remove_misplaced(tmp_path, Row("/in/b", outputs=("accepted/b.png",), written={"review/b.png": ("0" * 64,)}))
    assert hashlib.sha256((tmp_path / "review/b.png").read_bytes()).hexdigest() == changed


def test_outputs_move_together_or_not_at_all(tmp_path):
    hashes = put(tmp_path, "accepted/a.png"), put(tmp_path, "accepted/a_mask.png", b"m")
    names = ("accepted/a.png", "accepted/a_mask.png")
    row = Row(
        "/in/a", outputs=names, verdict="review", written=dict(zip(names, [(one,) for one in hashes], strict=True))
    )
    stranger = put(tmp_path, "review/a_mask.png", b"somebody's")
    assert move_outputs(tmp_path, row) == names
    (tmp_path / "review/a_mask.png").unlink()
    assert stranger
    assert move_outputs(tmp_path, row) == ("review/a.png", "review/a_mask.png")
    assert (tmp_path / "review/a_mask.png").read_bytes() == b"m"
    assert not (tmp_path / "accepted/a.png").exists()
