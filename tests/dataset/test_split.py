import random
from collections import Counter
from dataclasses import replace

import pytest

from garmentcut.dataset.faults import fault_of
from garmentcut.dataset.manifest import VIEWS, Pair
from garmentcut.dataset.split import Scheme, SplitError, assign_splits, choose_scheme, prove_split

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
    with pytest.raises(SplitError, match=r"2 garments \(look-alikes counted once\) .* 3 splits .*; use --folds 2"):
        assign_splits(pairs, Scheme.of_folds(3), seed=0)
    with pytest.raises(SplitError, match=r"1 garment .*; add garments, or check that --pattern"):
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
    with pytest.raises(
        SplitError, match=rf"leaks: {says} stands in fold0 \({one.name}\) and in fold1 \({other.name}\)"
    ):
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
    with pytest.raises(SplitError, match="such as 70/15/15"):
        Scheme.of_parts(text)


@pytest.mark.parametrize("text", ["folds 1", "folds 101", "folds x", "halves 2", ""])
def test_schemes_that_make_no_sense(text):
    with pytest.raises(SplitError):
        Scheme.parse(text)


def test_a_data_set_keeps_its_scheme_unless_told():
    five, own = Scheme.of_folds(5), (Scheme.of_parts("8/2"), 3)
    assert choose_scheme(None, None, own=None) == (five, 0)
    assert choose_scheme(Scheme.of_folds(2), 9, own=None) == (Scheme.of_folds(2), 9)
    assert choose_scheme(None, None, own=own) == own
    assert choose_scheme(own[0], 3, own=own) == own
    for asked, seed in ((five, None), (None, 4)):
        with pytest.raises(SplitError, match="split as parts 8/2, seed 3; use --resplit"):
            choose_scheme(asked, seed, own=own)
    assert choose_scheme(five, None, own=own, resplit=True) == (five, 3)
