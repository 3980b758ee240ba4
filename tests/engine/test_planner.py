"""The planner of time series, against a literal one and in small cases that can be counted on the fingers."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from literal_planner import literal_choice, literal_partner
from stfusion.errors import UserError
from stfusion.series._planner import Pair, Rules, alone, partners, plan, targets

FIRST = date(2020, 2, 20)


def day(number: int) -> date:
    return FIRST + timedelta(days=number)


DAYS = st.integers(0, 30).map(day)
SHARES = st.dictionaries(DAYS, st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), min_size=1, max_size=12)
RULES = st.builds(
    Rules,
    least=st.just(1), most=st.integers(1, 2), least_valid=st.sampled_from([0.0, 0.5, 0.75]),
    keep_valid=st.sampled_from([0.75, 1.0, 2.0]), reach=st.integers(0, 12), apart=st.integers(0, 5),
) | st.builds(Rules, least=st.just(2), most=st.just(2), reach=st.integers(0, 12), apart=st.integers(0, 5))


@given(fine=SHARES, coarse=SHARES, rules=RULES)
def test_partners_are_those_of_a_literal_search(fine, coarse, rules):
    expected = {d: literal_partner(d, coarse, rules) for d in fine if fine[d] >= rules.least_valid}
    assert partners(fine, coarse, rules) == {d: other for d, other in expected.items() if other is not None}


@given(
    fine=SHARES, coarse=SHARES, rules=RULES, days=st.lists(DAYS, min_size=1, max_size=10),
    qualities=st.lists(st.sampled_from([0.1, 0.5, 0.7, 1.0]), min_size=12, max_size=12),
)
def test_choices_are_those_of_a_literal_planner(fine, coarse, rules, days, qualities):
    found = partners(fine, coarse, rules)
    pairs = [Pair(d, other, quality) for (d, other), quality in zip(found.items(), qualities, strict=False)]
    choices = plan(days, pairs, fine, coarse, rules)
    assert [choice.day for choice in choices] == days
    for choice in choices:
        action, taken = literal_choice(choice.day, pairs, fine, coarse, rules)
        assert (choice.action, list(choice.pairs)) == (action, taken)
        assert (choice.action == "skip") <= bool(choice.note)
        assert all(pair.fine != choice.day for pair in choice.pairs)


def pairs_of(**qualities: float) -> list[Pair]:
    return [Pair(day(int(name[1:])), day(int(name[1:])), quality) for name, quality in qualities.items()]


def chosen(number: int, pairs: list[Pair], **rules) -> list[int]:
    (choice,) = plan([day(number)], pairs, {}, {day(n): 1.0 for n in range(40)}, Rules(**rules))
    return [(pair.fine - FIRST).days for pair in choice.pairs]


def test_one_pair_is_the_nearer_one():
    assert chosen(3, pairs_of(d0=1, d5=1)) == [5]
    assert chosen(2, pairs_of(d0=1, d5=1)) == [0]


def test_of_two_as_near_the_earlier_one_is_taken():
    assert chosen(5, pairs_of(d0=1, d10=1)) == [0]


def test_a_pair_of_half_the_quality_counts_as_twice_as_far():
    assert chosen(3, pairs_of(d0=1, d5=0.5)) == [0]
    assert chosen(4, pairs_of(d0=1, d5=0.5)) == [5]


def test_two_pairs_lie_on_either_side_and_the_better_one_is_first():
    assert chosen(4, pairs_of(d0=1, d3=1, d20=1, d30=1), most=2) == [3, 20]
    assert chosen(15, pairs_of(d0=1, d3=1, d20=1, d30=1), most=2) == [20, 3]


def test_at_the_ends_one_side_serves():
    assert chosen(35, pairs_of(d0=1, d3=1), most=2) == [3]
    assert chosen(35, pairs_of(d0=1, d3=1), least=2, most=2) == [3, 0]


def notes(number: int, pairs: list[Pair], coarse: dict[date, float], **rules) -> str:
    (choice,) = plan([day(number)], pairs, {}, coarse, Rules(**rules))
    return f"{choice.action}: {choice.note}"


def test_what_is_amiss_is_said():
    good = {day(n): 1.0 for n in range(40)}
    pairs = pairs_of(d0=1, d3=1)
    assert notes(35, pairs, good, most=2) == "fuse: there is no pair after it"
    assert notes(35, pairs, good, reach=10) == "skip: there is no pair within 10 days"
    assert notes(35, pairs[:1], good, least=2, most=2) == "skip: there is one pair where the method needs 2"
    assert notes(50, pairs, good) == "skip: there is no coarse image of this date"
    assert notes(5, pairs, {day(5): 0.2}) == "skip: its coarse image is valid for 20% and 50% are wanted"


def test_a_good_fine_image_is_kept_even_without_a_coarse_one():
    (choice,) = plan([day(1)], [], {day(1): 0.96}, {}, Rules())
    assert choice.action == "keep"


def test_targets_are_every_coarse_image_of_the_range():
    known = [day(9), day(1), day(4)]
    assert targets(known) == [day(1), day(4), day(9)]
    assert targets(known, start=day(2)) == [day(4), day(9)]
    assert targets(known, end=day(4)) == [day(1), day(4)]


def test_targets_beside_coarse_images_are_of_the_range_and_of_no_steps():
    assert targets([day(2), day(9)], others=[day(1), day(4), day(9), day(10)]) == [day(2), day(4), day(9)]
    assert targets([day(2), day(9)], end=day(10), others=[day(10)]) == [day(2), day(9), day(10)]
    assert targets([day(1), day(9)], step=4, others=[day(2)]) == [day(1), day(5), day(9)]
    assert targets([day(1)], listed=[day(3)], others=[day(1)]) == [day(3)]


def test_a_fine_image_is_alone_where_no_valid_coarse_image_stands_for_it():
    coarse = {day(1): 1.0, day(5): 0.2, day(20): 0.9}
    fine = {day(1): 1.0, day(5): 1.0, day(6): 1.0, day(7): 0.9, day(12): 0.95, day(25): 1.0}
    assert alone(fine, coarse, Rules()) == [day(5), day(6), day(12), day(25)]
    assert alone(fine, coarse, Rules(apart=8)) == []
    assert alone(fine, coarse, Rules(apart=5)) == [day(12)]
    assert alone(fine, coarse, Rules(keep_valid=2.0)) == []


def test_targets_by_steps_and_lists():
    assert targets([day(1), day(9)], step=3) == [day(1), day(4), day(7)]
    assert targets([day(1), day(9)], day(0), day(6), 3) == [day(0), day(3), day(6)]
    assert targets([day(1)], listed=[day(7), day(3), day(7)]) == [day(3), day(7)]


def test_a_range_that_is_empty_is_refused():
    with pytest.raises(UserError, match="of the dates from 2020-02-29: they are of 2020-02-21 to 2020-02-21"):
        targets([day(1)], day(9))
    with pytest.raises(UserError, match="of the dates from 2020-02-25 to 2020-02-29: they are of 2020-02-21 to"):
        targets([day(1), day(12)], day(5), day(9))
