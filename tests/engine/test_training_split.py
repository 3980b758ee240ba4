"""What is held out shares nothing with what is learnt."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from affine import Affine
from hypothesis import assume, given
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from makers import CRS, FINE
from stfusion.errors import UserError
from stfusion.training._places import Dates, Place
from stfusion.training._plan import plan, pretended
from stfusion.training._split import split

DAYS = tuple(date(2021, month, 1) for month in (1, 3, 4, 8))


class Ground(Place):
    """A place without images."""

    def __init__(
        self, name="P", shape=(100, 200), ratio=None, real=True, use=None, grid=None, dates=(DAYS, DAYS), groups=None,
        held_out=(),
    ):
        super().__init__()
        self.name, self.bands, self.split, self._shape, self._grid = name, 1, use, shape, grid
        self.fine_dates, self.coarse_dates = dates if real else (dates[0], ())
        self.ratio = None if ratio is None else (ratio, ratio)
        self.groups, self.held_out = groups, held_out

    @property
    def shape(self):
        return self._shape

    @property
    def grid(self):
        return self._grid

    def read(self, sensor, day, box, band):
        raise AssertionError("nothing has to be read for the split")


def parts(places, share=0.2, side=16, seed=0):
    said = []
    regions = split(places, share, side, 32.0, seed, said.append)
    uses = {use: [region for region in regions if region.use == use] for use in ("training", "validation")}
    return uses["training"], uses["validation"], said


def pixels(box):
    return {(row, column) for row in range(box.top, box.bottom) for column in range(box.left, box.right)}


@given(
    st.integers(20, 160), st.integers(20, 160), st.floats(1, 12), st.floats(0.05, 0.5), st.integers(4, 24),
    st.booleans(),
)
def test_no_training_patch_is_made_of_a_held_out_pixel_or_coarse_pixel(rows, columns, ratio, share, side, real):
    assume(min(rows, columns) >= side)
    try:
        (learnt,), held, _ = parts([Ground(shape=(rows, columns), ratio=ratio, real=real)], share, side)
    except UserError:
        return
    axis = 1 if columns >= rows else 0
    begin = (held[0].inner.top, held[0].inner.left)[axis]
    last = (learnt.inner.bottom, learnt.inner.right)[axis]
    # Fine pixels that may be read around a training patch end before what is held out.
    assert (learnt.outer.bottom, learnt.outer.right)[axis] <= begin
    if real:
        # Its last pixel depends on coarse pixels whose centres are less than two coarse pixels away, wherever the
        # lattice lies; none of them reaches a held-out pixel.
        for phase in np.linspace(0, ratio, 31):
            centres = phase + (np.arange(-2, 200) + 0.5) * ratio
            seen = centres[np.abs(centres - (last - 0.5)) < 2 * ratio]
            assert seen.max() + ratio / 2 <= begin + 1e-6
            # Nor does one of those under the held-out pixels reach a training patch.
            held_out = centres[np.abs(centres - (begin + 0.5)) < 2 * ratio]
            assert held_out.min() - ratio / 2 >= last - 1e-6


@given(st.integers(16, 90), st.integers(16, 90), st.integers(4, 16), st.integers(0, 99))
def test_patches_lie_inside_and_those_held_out_apart(rows, columns, side, seed):
    learnt, held, _ = parts([Ground(shape=(rows, columns), use="training"),
                             Ground("Q", shape=(rows, columns), use="validation")], side=side)
    patch = learnt[0].draw(side, np.random.default_rng(seed))
    assert patch.shape == (side, side)
    assert patch.within(learnt[0].inner)[0].start >= 0
    assert patch.bottom <= rows
    assert patch.right <= columns
    boxes = list(held[0].lattice(side))
    assert len(boxes) == (rows // side) * (columns // side)
    assert len(set().union(*map(pixels, boxes))) == len(boxes) * side**2


def test_one_place_gives_its_last_strip():
    learnt, held, said = parts([Ground(shape=(100, 200), ratio=8)])
    assert (held[0].inner.left, held[0].inner.right) == (160, 200)
    assert learnt[0].inner.right == 140
    assert said == [
        "Held out for validation: the last 40 columns of P, after a gap of 20 pixels that is not learnt from."
    ]


def test_a_strip_is_a_patch_wide_at_least():
    _, held, _ = parts([Ground(shape=(200, 100), ratio=4)], share=0.01, side=32)
    assert (held[0].inner.top, held[0].inner.bottom) == (168, 200)


def test_enough_places_are_held_out_as_a_whole():
    places = [Ground(f"P{n}") for n in range(10)]
    learnt, held, said = parts(places)
    assert (len(learnt), len(held)) == (8, 2)
    assert all(region.inner == region.outer for region in (*learnt, *held))
    assert said == [f"Held out for validation: {', '.join(region.place.name for region in held)}."]
    assert [region.place for region in parts(places)[1]] == [region.place for region in held]
    chosen = {tuple(region.place.name for region in parts(places, seed=seed)[1]) for seed in range(20)}
    assert len(chosen) > 5


@pytest.mark.parametrize("places", [[Ground(ratio=4)], [Ground("A", use="training"), Ground("B", ratio=4)]])
def test_the_only_place_is_never_held_out_as_a_whole(places):
    learnt, held, _ = parts(places, share=0.7)
    assert held[0].place is places[-1]
    assert held[0].place in [region.place for region in learnt]


def test_a_split_that_is_given_is_kept():
    places = [Ground("A", use="validation"), Ground("B", use="training"), Ground("C"), Ground("D"), Ground("E")]
    learnt, held, _ = parts(places)
    assert [region.place.name for region in held] == ["A"]
    assert [region.place.name for region in learnt] == ["B", "C", "D", "E"]


def test_places_for_training_alone_are_not_cut():
    learnt, held, _ = parts([Ground("A", use="training"), Ground("B", ratio=4)])
    assert {region.place.name: region.inner.right for region in learnt} == {"A": 200, "B": 150}
    assert [region.place.name for region in held] == ["B"]


def test_nothing_is_held_out_where_nothing_is_wanted():
    learnt, held, said = parts([Ground()], share=0.0)
    assert (len(learnt), held, said) == (1, [], ["Nothing is held out for validation."])


def test_small_places_are_left_out_and_said():
    _, _, said = parts([Ground("A", shape=(10, 50)), Ground("B")])
    assert said[0] == "Left out: A (50 x 10 pixels), which is smaller than a patch of 16 pixels."


def test_places_too_small_to_be_cut_are_learnt_from():
    learnt, held, said = parts([Ground("A", shape=(30, 30)), Ground("B", ratio=4)])
    assert [region.place.name for region in learnt] == ["A", "B"]
    assert len(held) == 1
    assert said[-1] == "Too small to hold a part of them out, and learnt from as a whole: A."


@pytest.mark.parametrize(
    ("places", "words"),
    [
        ([Ground(shape=(8, 8))], "No place is as large as a patch of 16 pixels"),
        ([Ground(shape=(30, 34), ratio=4)], "34 x 30 pixels, too few to learn from one part"),
        ([Ground(use="validation")], "All places are held out"),
    ],
)
def test_what_cannot_be_split_is_refused(places, words):
    with pytest.raises(UserError, match=words):
        parts(places)


def grid(columns_away, crs=CRS):
    return GeoBox((100, 200), FINE * Affine.translation(columns_away, 0), crs)


@pytest.mark.parametrize(("away", "refused"), [(0, True), (190, True), (200, False), (400, False)])
def test_ground_in_common_with_what_is_held_out_is_refused(away, refused):
    places = [Ground("A", use="training", grid=grid(0)), Ground("B", use="validation", grid=grid(away))]
    if refused:
        with pytest.raises(UserError, match="B is held out and has ground in common with A"):
            parts(places)
    else:
        parts(places)


def test_ground_that_is_not_known_is_not_compared():
    parts([Ground("A", use="training", grid=grid(0, None)), Ground("B", use="validation", grid=grid(0, None))])


def group(*months):
    """A group of months: the references, and last the target."""
    return Dates(tuple(DAYS[number] for number in months[:-1]), DAYS[months[-1]])


def test_dates_are_held_out_on_the_ground_that_is_learnt_from():
    place = Ground(groups=(group(0, 3, 1),), held_out=(group(0, 3, 2),))
    training, validation, said = parts([place, Ground("Q")])
    assert [region.groups for region in training] == [place.groups, None]
    (held,) = validation
    assert (held.groups, held.inner) == (place.held_out, training[0].inner)
    assert said == ["Held out for validation: the targets of 2021-04-01."]


def test_a_held_out_date_is_not_learnt_from_on_the_same_ground():
    held = (group(0, 3, 2),)
    with pytest.raises(UserError, match=r"2021-04-01 is held out in P and learnt from in P, on the same ground"):
        parts([Ground(groups=(group(0, 2, 1),), held_out=held)])
    mine = Ground(groups=(group(0, 3, 1),), held_out=held, grid=grid(0))
    parts([mine, Ground("Far", grid=grid(1000))])
    with pytest.raises(UserError, match="held out in P and learnt from in Near"):
        parts([mine, Ground("Near", grid=grid(50))])


def test_groups_are_the_samples():
    groups = (group(0, 3, 1), group(0, 2))
    assert days(plan(Ground(), groups, 2, True, 0)) == [(1, 8, 3)]
    assert days(plan(Ground(), groups, 1, True, 0)) == [(1, 3), (8, 3), (1, 4)]
    assert days(pretended(Ground(), groups[1:], 1)) == [(1, 1), (4, 4)]


def days(found):
    return [(*(day.month for day in one.references), one.target.month) for one in found]


def test_every_ordered_pair_of_dates_is_planned():
    found = days(plan(Ground(), None, 1, True, 0))
    assert len(found) == 12
    assert (8, 1) in found
    assert not any(one == other for one, other in found)


def test_two_pairs_lie_on_either_side():
    assert days(plan(Ground(), None, 2, True, 0)) == [(1, 4, 3), (1, 8, 3), (1, 8, 4), (3, 8, 4)]


def test_dates_too_far_apart_are_not_planned():
    assert days(plan(Ground(), None, 1, True, 60)) == [(3, 1), (1, 3), (4, 3), (3, 4)]
    assert days(plan(Ground(), None, 2, True, 60)) == [(1, 4, 3)]


def test_fine_images_without_coarse_ones_serve_only_networks_that_need_none():
    place = Ground(dates=(DAYS, DAYS[:2]))
    assert days(plan(place, None, 1, True, 0)) == [(3, 1), (1, 3)]
    assert days(plan(place, None, 1, False, 0)) == [(3, 1), (4, 1), (8, 1), (1, 3), (4, 3), (8, 3)]


def test_all_dates_serve_where_coarse_images_are_simulated():
    assert len(plan(Ground(real=False), None, 1, True, 0)) == 12


def test_a_single_date_has_only_made_up_changes():
    place = Ground(dates=(DAYS[:1], DAYS[:1]))
    assert plan(place, None, 1, True, 0) == []
    (one,) = pretended(place, None, 2)
    assert one.pretended
    assert one.references == (DAYS[0],) * 2
