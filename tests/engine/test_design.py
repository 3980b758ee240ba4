"""The sampling design: how many samples, of which strata, and which pixels are drawn."""

from collections import Counter
from math import hypot

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st

from stfusion.assessment._confusion import class_sizes
from stfusion.assessment._design import allocate, sample_size
from stfusion.assessment._draw import draw
from stfusion.errors import UserError
from stfusion.raster.grids import Box

OLOFSSON = {1: 200_000, 2: 150_000, 3: 3_200_000, 4: 6_450_000}
ACCURACY = {1: 0.7, 2: 0.6, 3: 0.9, 4: 0.95}
GRID = Affine(30.0, 0.0, 500_000.0, 0.0, -30.0, 5_200_000.0)


def strata(seed=0, shape=(90, 110)):
    """Three strata, the last one rare, in float32 with gaps."""
    rng = np.random.default_rng(seed)
    return rng.choice([1, 2, 30, np.nan], shape, p=[0.6, 0.28, 0.02, 0.1]).astype(np.float32)


def parts_of(values, side=None):
    """Reads the strata in squares, the last ones first."""
    rows, columns = values.shape
    side = side or max(values.shape)

    def read():
        for top in reversed(range(0, rows, side)):
            for left in range(0, columns, side):
                box = Box(top, min(top + side, rows), left, min(left + side, columns))
                yield box, values[box.top : box.bottom, box.left : box.right]

    return read


def drawn(values, wanted, seed=0, distance=0.0, side=None):
    return draw(parts_of(values, side), wanted, class_sizes(values), GRID, seed, distance)


def test_the_sample_size_of_olofsson():
    assert sample_size(OLOFSSON, ACCURACY, 0.01) == 641
    # One accuracy for all: U (1 - U) / S².
    assert sample_size(OLOFSSON, 0.8, 0.01) == 1600
    # Every stratum needs two.
    assert sample_size(OLOFSSON, 1.0, 0.01) == 8


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("equal", [160, 160, 160, 160]),
        # 12.8, 9.6, 204.8 and 412.8: what rounding down leaves goes to the largest remainders.
        ("proportional", [13, 9, 205, 413]),
        # 50 and 440 times 0.02, 0.015, 0.32 and 0.645.
        ("minimum", [59, 56, 191, 334]),
        # 640 times 0.0092, 0.0073, 0.0960 and 0.1406 over their sum.
        ("neyman", [23, 19, 243, 355]),
    ],
)
def test_allocations_follow_their_rule(rule, expected):
    assert list(allocate(640, OLOFSSON, rule, ACCURACY).values()) == expected


@settings(max_examples=200)
@given(
    st.dictionaries(st.integers(-5, 300), st.integers(0, 5000), min_size=1, max_size=12),
    st.sampled_from(["equal", "proportional", "minimum", "neyman"]),
    st.integers(2, 20_000),
    st.sampled_from([0.0, 0.5, 0.8, 1.0]),
)
def test_allocations_keep_to_the_total_and_to_the_pixels(sizes, rule, total, accuracy):
    if not sum(sizes.values()):
        with pytest.raises(UserError, match="no stratum with any pixel"):
            allocate(total, sizes, rule, accuracy)
        return
    least = 50 if rule == "minimum" else 2
    needed = sum(min(least, size) for size in sizes.values())
    if total < needed:
        with pytest.raises(UserError, match=rf"{total} samples do not reach for {least}.*{needed} samples or more"):
            allocate(total, sizes, rule, accuracy)
        return
    found = allocate(total, sizes, rule, accuracy)
    assert sum(found.values()) == min(total, sum(sizes.values()))
    for name, number in found.items():
        assert min(least, sizes[name]) <= number <= sizes[name]
    assert found.keys() == {name for name, size in sizes.items() if size}


def test_what_a_small_stratum_cannot_take_goes_to_the_others():
    assert allocate(90, {1: 10, 2: 1000, 3: 1000}, "equal") == {1: 10, 2: 40, 3: 40}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"error": 0.0}, "wanted standard error is 0"),
        ({"accuracy": 1.2}, "expected accuracy of class 1 is 1.2"),
        ({"accuracy": {1: 0.5}}, "expected accuracy of class 2 is nan"),
        ({"sizes": {}}, "no stratum with any pixel"),
    ],
)
def test_wrong_wishes_are_refused(wrong, message):
    with pytest.raises(UserError, match=message):
        sample_size(**{"sizes": OLOFSSON, "accuracy": 0.8, "error": 0.01, **wrong})


def test_points_are_distinct_pixels_of_their_strata():
    values = strata()
    wanted = {1: 200, 2: 50, 30: 20}
    found = drawn(values, wanted)
    assert Counter(point.stratum for point in found.points) == wanted
    assert found.missing == {}
    assert len({(point.row, point.column) for point in found.points}) == 270
    assert [point.id for point in found.points] == list(range(1, 271))
    sizes = class_sizes(values)
    for point in found.points:
        assert values[point.row, point.column] == point.stratum
        assert (point.x, point.y) == GRID @ (point.column + 0.5, point.row + 0.5)
        assert point.weight == sizes[point.stratum] / wanted[point.stratum]
    assert sum(point.weight for point in found.points) == pytest.approx(np.isfinite(values).sum())
    # The order does not tell the strata: the few of the last one are not together.
    places = [point.id for point in found.points if point.stratum == 30]
    assert max(places) - min(places) > 135


@settings(max_examples=25)
@given(st.integers(1, 120), st.integers(-5, 2**70))
def test_the_parts_that_are_read_do_not_matter(side, seed):
    values = strata()
    wanted = {1: 40, 30: 7}
    assert drawn(values, wanted, seed, side=side) == drawn(values, wanted, seed)
    assert drawn(values, wanted, seed, 90.0, side) == drawn(values, wanted, seed, 90.0)


def test_seeds_differ_and_a_larger_sample_holds_the_smaller():
    values = strata()
    small, large, other = drawn(values, {1: 30}), drawn(values, {1: 300}), drawn(values, {1: 30}, 1)
    places = [{(point.row, point.column) for point in each.points} for each in (small, large, other)]
    assert places[0] < places[1]
    assert len(places[0] & places[2]) < 5


def test_every_pixel_is_drawn_as_often():
    values = np.ones((10, 12), np.int16)
    values[:, 6:] = 2
    seeds = 3000
    hits, pairs = np.zeros(values.shape), 0
    for seed in range(seeds):
        points = drawn(values, {1: 6, 2: 3}, seed).points
        for point in points:
            hits[point.row, point.column] += 1
        one = [point for point in points if point.stratum == 1]
        pairs += sum(a.row == b.row and abs(a.column - b.column) == 1 for a in one for b in one if a.id < b.id)
    for half, share in ((hits[:, :6], 0.1), (hits[:, 6:], 0.05)):
        # Drawn without replacement: chi-square with 59 degrees of freedom, within five of its deviations.
        deviations = ((half - seeds * share) ** 2 / (seeds * share * (1 - share))).sum() * 59 / 60
        assert abs(deviations - 59) < 5 * (2 * 59) ** 0.5
    # Of the 60 pixels' 1770 pairs 50 are neighbours in a row; 15 pairs are drawn each time.
    assert pairs == pytest.approx(seeds * 15 * 50 / 1770, rel=0.05)


def test_all_pixels_of_a_stratum_can_be_drawn():
    values = strata()
    sizes = class_sizes(values)
    found = drawn(values, dict(sizes))
    assert len(found.points) == sum(sizes.values())
    assert all(point.weight == 1 for point in found.points)


def test_points_keep_their_distance():
    values = strata()
    wanted = {1: 60, 2: 30, 30: 5}
    found = drawn(values, wanted, distance=150.0)
    assert found.missing == {}
    assert Counter(point.stratum for point in found.points) == wanted
    gaps = [hypot(a.x - b.x, a.y - b.y) for a in found.points for b in found.points if a.id < b.id]
    assert min(gaps) >= 150
    near = drawn(values, wanted).points
    assert min(hypot(a.x - b.x, a.y - b.y) for a in near for b in near if a.id < b.id) < 150


def test_a_distance_without_room_says_how_many_are_missing():
    values = strata()
    found = drawn(values, {1: 500, 30: 20}, distance=600.0)
    counts = Counter(point.stratum for point in found.points)
    assert {name: number for name, number in found.missing.items()} == {1: 500 - counts[1], 30: 20 - counts[30]}
    assert 10 < len(found.points) < 120
    # No pixel of the strata is left that would have had room.
    rows, columns = np.nonzero((values == 1) | (values == 30))
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        x, y = GRID @ (column + 0.5, row + 0.5)
        assert min(hypot(x - point.x, y - point.y) for point in found.points) < 600
    for point in found.points:
        assert point.weight == class_sizes(values)[point.stratum] / counts[point.stratum]


def test_a_rotated_grid_has_its_centres():
    turned = Affine.translation(1000, 2000) @ Affine.rotation(30) @ Affine.scale(10, -10)
    values = np.ones((20, 20), np.uint8)
    for point in draw(parts_of(values), {1: 10}, {1: 400}, turned).points:
        assert (point.x, point.y) == pytest.approx(turned @ (point.column + 0.5, point.row + 0.5))


@pytest.mark.parametrize(
    ("wanted", "distance", "message"),
    [
        ({7: 3}, 0.0, "3 samples are wanted of stratum 7, which has 0 pixels"),
        ({1: 10**6}, 0.0, "which has [0-9]+ pixels; want fewer"),
        ({1: 3}, -1.0, "minimum distance is -1"),
    ],
)
def test_impossible_draws_are_refused(wanted, distance, message):
    with pytest.raises(UserError, match=message):
        drawn(strata(), wanted, distance=distance)


def test_strata_of_measurements_are_refused():
    with pytest.raises(UserError, match="The map of strata holds values such as"):
        draw(parts_of(strata() + np.float32(0.5)), {1: 3}, {1: 100}, GRID)
