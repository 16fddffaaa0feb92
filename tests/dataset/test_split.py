import hashlib
import io
import random
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from garmentcut.dataset.ledger import LEDGER_NAME, read_hashes
from garmentcut.dataset.manifest import Pair, fault_of
from garmentcut.dataset.split import (
    NEAR,
    Scheme,
    assign_splits,
    choose_scheme,
    find_met,
    find_near,
    group_garments,
    mark_duplicates,
    packed_hashes,
    perceptual_hash,
    prove_split,
    unpacked_hashes,
)
from garmentcut.errors import DatasetError
from garmentcut.naming import VIEWS
from garmentcut.photo.photo import resize_alpha, resize_rgb

SIZE_HW = (288, 192)


def distance(one, other):
    ((_, _, found),) = find_near(np.stack([one, other]), near=99)
    return found


def saved(rgb, alpha):
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, "JPEG", quality=70)
    return np.asarray(Image.open(file)), alpha


def wider(alpha):
    """The mask a pixel wider all round."""
    padded = np.pad(alpha, 1)
    return np.max([padded[y : y + alpha.shape[0], x : x + alpha.shape[1]] for y in range(3) for x in range(3)], axis=0)


@pytest.mark.parametrize(
    "change",
    [
        saved,
        lambda rgb, alpha: (resize_rgb(rgb, (144, 96)), resize_alpha(alpha, (144, 96))),
        lambda rgb, alpha: (resize_rgb(rgb, (432, 288)), resize_alpha(alpha, (432, 288))),
        lambda rgb, alpha: ((rgb * 0.75).astype(np.uint8), alpha),
        lambda rgb, alpha: ((rgb * 0.9 + 25).astype(np.uint8), alpha),
        lambda rgb, alpha: (np.roll(rgb, (7, -9), (0, 1)), np.roll(alpha, (7, -9), (0, 1))),
        lambda rgb, alpha: (np.pad(rgb, ((40, 0), (0, 30), (0, 0)), mode="edge"), np.pad(alpha, ((40, 0), (0, 30)))),
        lambda rgb, alpha: (rgb, wider(alpha)),
        lambda rgb, alpha: (np.asarray(Image.fromarray(rgb).convert("L").convert("RGB")), alpha),
    ],
    ids=["saved again", "half", "enlarged", "darker", "flatter", "moved", "other frame", "wider mask", "gray"],
)
def test_the_same_photo_is_near(draw_pair, change):
    for seed in range(5):
        rgb, alpha = draw_pair(seed, *SIZE_HW)
        assert distance(perceptual_hash(rgb, alpha), perceptual_hash(*change(rgb, alpha))) < NEAR


def test_other_photos_are_not(draw_pair):
    hashes = np.stack([perceptual_hash(*draw_pair(seed, *SIZE_HW)) for seed in range(40)])
    assert list(find_near(hashes)) == []


def test_the_same_cloth_in_another_cut_is_not(draw_pair):
    rgb, _ = draw_pair(1, *SIZE_HW)
    skirt, dress = np.zeros(SIZE_HW, np.float32), np.zeros(SIZE_HW, np.float32)
    skirt[100:180, 60:120] = 1
    dress[100:180, 60:120] = dress[40:100, 75:105] = 1
    assert distance(perceptual_hash(rgb, skirt), perceptual_hash(rgb, dress)) > NEAR


def test_garments_at_the_frame_and_of_one_pixel():
    rgb = np.full((60, 40, 3), 90, np.uint8)
    whole, dot = np.ones((60, 40), np.float32), np.zeros((60, 40), np.float32)
    dot[59, 39] = 1
    for alpha in (whole, dot):
        made = perceptual_hash(rgb, alpha)
        assert made.shape == (192,) and made.dtype == np.int8


def test_all_pairs_are_compared_across_chunks():
    random = np.random.default_rng(0)
    hashes = random.integers(-120, 120, (300, 192), np.int8)
    hashes[299] = hashes[0]
    hashes[130] = hashes[129] + (random.random(192) < 0.1)
    found = {(i, j): d for i, j, d in find_near(hashes)}
    assert set(found) == {(0, 299), (129, 130)}
    changed = (hashes[130].astype(float) - hashes[129]) / 31
    assert found[129, 130] == pytest.approx(np.sqrt((changed**2).sum() / 96), abs=1e-3)


def test_groups_are_what_links_lead_to():
    groups = group_garments("edcbaf", [("c", "e"), ("d", "e"), ("a", "b")])
    assert groups == {"a": "a", "b": "a", "c": "c", "d": "c", "e": "c", "f": "f"}


def test_near_photos_name_their_nearest(small_dataset):
    rows = [replace(small_dataset.pairs[0], name=name, garment=name, photo_sha256=name, faults=()) for name in "xyz"]
    hashes = np.zeros((3, 192), np.int8)
    hashes[1:, :10], hashes[2, 20:25] = 9, 6
    marked = mark_duplicates(rows, dict(zip("xyz", map(bytes, hashes), strict=True)))
    assert {row.name: row.faults[0].text for row in marked} == {
        "x": "looks like y (distance 0.09)",
        "y": "looks like z (distance 0.04)",
        "z": "looks like y (distance 0.04)",
    }


@pytest.fixture
def marked(small_dataset, draw_pair):
    """Marks rows given as `(garment, view, photo hash, seed of its looks)`."""

    def call(*given, known=()):
        rows, hashes = [], {}
        for garment, view, digest, seed in given:
            name = f"{garment}_{view}"
            pair = replace(small_dataset.pairs[0], name=name, garment=garment, view=view, photo_sha256=digest)
            rows.append(replace(pair, split="", group=""))
            rgb, alpha = draw_pair(seed)
            hashes[name] = perceptual_hash(np.asarray(rgb), alpha).tobytes()
        return {row.name: row for row in mark_duplicates(rows, hashes, known=known)}

    return call


def test_a_copy_of_a_file_is_refused_and_names_the_first(marked):
    rows = marked(("b", "Front", "1", 1), ("a", "Front", "1", 1), ("c", "Front", "2", 2))
    assert [name for name, row in rows.items() if row.refused] == ["b_Front"]
    assert "the same photo file as a_Front" in rows["b_Front"].faults[0].text
    assert rows["b_Front"].alpha == rows["b_Front"].group == ""
    assert rows["a_Front"].faults == rows["c_Front"].faults == ()


def test_of_two_copies_the_one_already_there_stays(marked):
    rows = marked(("b", "Front", "1", 1), ("a", "Front", "1", 1), known=["b_Front"])
    assert [name for name, row in rows.items() if row.refused] == ["a_Front"]


def test_look_alikes_are_suspect_and_share_a_group(marked):
    rows = marked(("b", "Front", "1", 1), ("c", "Front", "2", 1), ("c", "Back", "3", 3), ("d", "Front", "4", 2))
    assert {name: row.group for name, row in rows.items()} == {
        "b_Front": "b",
        "c_Front": "b",
        "c_Back": "b",
        "d_Front": "d",
    }
    assert {name: [f.code for f in row.faults] for name, row in rows.items() if row.faults} == {
        "b_Front": ["near_duplicate"],
        "c_Front": ["near_duplicate"],
    }
    assert not any(row.refused for row in rows.values())


def test_refused_rows_take_no_part(small_dataset):
    gone = replace(small_dataset.pairs[0], faults=(fault_of("empty", ""),), photo_sha256="1", group="")
    (row,) = mark_duplicates([gone], {})
    assert row is gone


NOTHING = Pair("", "", "Front", "p", "c", "a", "", "", (9, 9), (0, 0, 9, 9), "", "transparency", (), "")


def pair_of(garment, view="Front", group=None):
    return replace(
        NOTHING,
        name=f"{garment}_{view}",
        garment=garment,
        view=view,
        group=group or garment,
        photo_sha256=f"{garment}{view}",
    )


def random_pairs(seed):
    """Garments of one to four views, some of them alike."""
    draw = random.Random(seed)
    leaders = {}
    pairs = []
    for number in range(draw.randint(8, 60)):
        garment = f"g{number}"
        leaders[garment] = leaders[f"g{draw.randrange(number)}"] if number and draw.random() < 0.1 else garment
        views = ["Front"] if draw.random() < 0.6 else draw.sample([*VIEWS, "unknown"], draw.randint(1, 4))
        pairs += [pair_of(garment, view, leaders[garment]) for view in views]
    return pairs


def split(pairs, scheme, **options):
    groups = assign_splits(pairs, scheme, **{"seed": 0, **options})
    return [replace(pair, split=groups[pair.group]) for pair in pairs]


def counts(pairs, **only):
    return Counter(pair.split for pair in pairs if all(getattr(pair, key) == value for key, value in only.items()))


@pytest.mark.parametrize("scheme", [Scheme.of_folds(5), Scheme.of_parts("70/15/15"), Scheme.of_parts("3/1")], ids=str)
def test_nothing_leaks_and_every_split_has_its_share(scheme):
    for seed in range(60):
        pairs = random_pairs(seed)
        if len({pair.group for pair in pairs}) < len(scheme.shares):
            continue
        done = split(pairs, scheme, seed=seed)
        prove_split(done)
        largest = max(Counter(pair.group for pair in pairs).values())
        got = counts(done)
        for name, share in scheme.shares:
            assert got[name] > 0
            assert abs(got[name] - share * len(pairs)) <= 2 * largest
            for view in {pair.view for pair in pairs}:
                wanted = share * sum(pair.view == view for pair in pairs)
                assert abs(counts(done, view=view)[name] - wanted) <= 1 + largest


def test_the_order_of_the_pairs_does_not_count_but_the_seed_does():
    pairs = random_pairs(1)
    first = assign_splits(pairs, Scheme.of_folds(4), seed=3)
    assert assign_splits(random.Random(0).sample(pairs, len(pairs)), Scheme.of_folds(4), seed=3) == first
    assert assign_splits(pairs, Scheme.of_folds(4), seed=4) != first


def test_rare_views_are_spread():
    """As in the real data: 163 Front, of which three garments have Back and FrontRight too."""
    pairs = [pair_of(f"g{n}") for n in range(163)] + [
        pair_of(f"g{n}", v) for n in range(3) for v in ("Back", "FrontRight")
    ]
    done = split(pairs, Scheme.of_folds(5))
    assert sorted(counts(done, view="Back").values()) == sorted(counts(done, view="FrontRight").values()) == [1, 1, 1]
    assert sorted(counts(done, view="Front").values()) in ([32, 32, 33, 33, 33], [31, 33, 33, 33, 33])


def test_garments_keep_their_split_when_others_come():
    for seed in range(30):
        pairs = random_pairs(seed)
        groups = sorted({pair.group for pair in pairs})
        known = [pair for pair in pairs if pair.group in groups[: len(groups) // 2 + 1]]
        if len({pair.group for pair in known}) < 3:
            continue
        kept = {pair.garment: pair.split for pair in split(known, Scheme.of_folds(3))}
        done = split(pairs, Scheme.of_folds(3), kept=kept)
        assert all(pair.split == kept[pair.garment] for pair in done if pair.garment in kept)
        prove_split(done)
        assert max(counts(done).values()) - min(counts(done).values()) <= 2 * max(
            Counter(p.group for p in pairs).values()
        )


def test_new_look_alikes_move_to_the_split_of_most_pairs():
    pairs = [pair_of("a", group="a"), pair_of("b", group="a"), pair_of("b", "Back", group="a"), pair_of("c")]
    done = assign_splits(pairs, Scheme.of_folds(2), seed=0, kept={"a": "fold0", "b": "fold1", "c": "fold0"})
    assert done == {"a": "fold1", "c": "fold0"}


def test_no_split_stays_empty():
    pairs = [pair_of("a"), pair_of("b"), pair_of("c")]
    assert sorted(assign_splits(pairs, Scheme.of_parts("98/1/1"), seed=0).values()) == ["test", "train", "validation"]


def test_too_few_garments():
    pairs = [pair_of("a"), pair_of("a", "Back"), pair_of("b"), pair_of("c", group="b")]
    with pytest.raises(DatasetError, match=r"2 garments \(look-alikes counted once\) .* 3 splits .*; use --folds 2"):
        assign_splits(pairs, Scheme.of_folds(3), seed=0)
    with pytest.raises(DatasetError, match=r"1 garment .*; add garments, or check that --pattern"):
        assign_splits(pairs[:2], Scheme.of_folds(3), seed=0)


@pytest.mark.parametrize(
    ("one", "other", "says"),
    [
        (pair_of("a"), replace(pair_of("a", "Back"), group="x"), "garment a"),
        (pair_of("A"), replace(pair_of("a", "Back"), group="x"), "garment a"),
        (pair_of("a", group="g"), pair_of("b", group="g"), "group g"),
        (pair_of("a"), replace(pair_of("b"), photo_sha256="aFront"), "photo aFront"),
    ],
)
def test_the_proof_finds_every_leak(one, other, says):
    pairs = [replace(one, split="fold0"), replace(other, split="fold1")]
    with pytest.raises(DatasetError, match=rf"leaks: {says} is in fold0 \({one.name}\) and in fold1 \({other.name}\)"):
        prove_split(pairs)
    prove_split([replace(pair, split="fold0") for pair in pairs])
    prove_split([pairs[0], replace(pairs[1], faults=(fault_of("duplicate", ""),))])


def test_schemes():
    assert [name for name, _ in Scheme.of_folds(3).shares] == ["fold0", "fold1", "fold2"]
    assert [name for name, _ in Scheme.of_folds(11).shares][9:] == ["fold09", "fold10"]
    assert Scheme.of_parts("70/15/15").shares == (("train", 0.7), ("validation", 0.15), ("test", 0.15))
    assert Scheme.of_parts("3/1").shares == (("train", 0.75), ("validation", 0.25))
    for scheme in (Scheme.of_folds(7), Scheme.of_parts("8/1/1")):
        assert Scheme.parse(scheme.text) == scheme


@pytest.mark.parametrize("text", ["70", "70/15/15/5", "70/0/30", "a/b", "70/-1", "0.7/0.3", "", "folds 2", "parts 1/1"])
def test_parts_that_make_no_sense(text):
    with pytest.raises(DatasetError, match="such as 70/15/15"):
        Scheme.of_parts(text)


@pytest.mark.parametrize("text", ["folds 1", "folds 101", "folds x", "halves 2", ""])
def test_schemes_that_make_no_sense(text):
    with pytest.raises(DatasetError):
        Scheme.parse(text)


def test_a_data_set_keeps_its_scheme_unless_told():
    five, own = Scheme.of_folds(5), (Scheme.of_parts("8/2"), 3)
    assert choose_scheme(None, None, own=None) == (five, 0)
    assert choose_scheme(Scheme.of_folds(2), 9, own=None) == (Scheme.of_folds(2), 9)
    assert choose_scheme(None, None, own=own) == own
    assert choose_scheme(own[0], 3, own=own) == own
    for asked, seed in ((five, None), (None, 4)):
        with pytest.raises(DatasetError, match="split as parts 8/2, seed 3; use --resplit"):
            choose_scheme(asked, seed, own=own)
    assert choose_scheme(five, None, own=own, resplit=True) == (five, 3)


def test_photos_that_somebody_has_met_before(shop, tmp_path, draw_pair):
    first, second = shop, type(shop)(tmp_path / "second", draw_pair)
    first.add("a_Front", "a_Back", "b_Front", "c_Front")
    trained = first.ingest().manifest
    mark = next(pair.photo_sha256[:12] for pair in trained.usable if pair.name == "a_Front")
    assert find_met(trained, {mark}) == {"a_Front", "a_Back"}  # another view of the garment
    assert find_met(trained, set()) == set()
    second.add("z_Front", seed=int.from_bytes(hashlib.sha256(b"a_Front").digest()[:4]), suffix=".jpg")  # re-saved
    second.add("x_Front", "y_Front")
    other = second.ingest().manifest
    hashes = packed_hashes(read_hashes(trained.folder).values())
    assert len(unpacked_hashes(hashes)) == 4
    assert find_met(other, {mark}) == set()
    assert find_met(other, {mark}, hashes) == {"z_Front"}
    ledger = other.folder / LEDGER_NAME
    for left in (ledger.read_text().replace('"fingerprint": "', '"fingerprint": "zz'), None):
        ledger.unlink() if left is None else ledger.write_text(left)
        assert find_met(other, {mark}, hashes) == {"z_Front"}, "drawn anew, where the ledger has no hash"
    assert unpacked_hashes("no base64!") == ()
