"""The confusion matrix: against scikit-learn, in parts, with gaps, and labels of every kind."""

from functools import reduce
from operator import add
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix

from stfusion.assessment._confusion import MOST_CLASSES, Confusion, class_sizes, number_names, read_codes
from stfusion.errors import UserError


def maps(seed=0, shape=(40, 53), labels=(1, 2, 3, 4), gaps=0.0):
    """A map and a reference that mostly agree, as floats."""
    rng = np.random.default_rng(seed)
    reference = rng.choice(labels, shape).astype(np.float32)
    mapped = np.where(rng.random(shape) < 0.3, rng.choice(labels, shape), reference).astype(np.float32)
    for values in (mapped, reference):
        values[rng.random(shape) < gaps] = np.nan
    return mapped, reference


def same(one, other):
    return (
        one.labels == other.labels
        and (one.counts == other.counts).all()
        and (one.without_map, one.without_reference) == (other.without_map, other.without_reference)
    )


def checkered(gap=True):
    """The map and the reference whose matrix Orfeo ToolBox and GRASS agree on; 0 is no class."""
    i, j = np.mgrid[:64, :64]
    reference = 1.0 + (i // 16 + j // 16) % 3
    mapped = np.where((3 * i + 5 * j) % 7 == 0, 1 + reference % 3, reference)
    reference[:4] = np.nan
    mapped[:, :2] = np.nan
    return mapped, reference


def test_a_pair_of_maps_whose_matrix_other_programs_agree_on():
    found = Confusion.of(*checkered())
    assert found.labels == (1, 2, 3)
    assert found.counts.T.tolist() == [[1159, 193, 0], [0, 1015, 169], [170, 0, 1014]]
    assert (found.total, found.without_reference, found.without_map) == (3720, 256, 120)


@settings(max_examples=60)
@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.integers(-300, 4000), min_size=1, max_size=12, unique=True),
    st.sampled_from([np.int16, np.int32, np.int64, np.float32, np.float64]),
)
def test_any_labels_give_the_matrix_of_scikit_learn(seed, labels, dtype):
    mapped, reference = (values.astype(dtype) for values in maps(seed, (9, 11), labels))
    found = Confusion.of(mapped, reference)
    # scikit-learn has the reference in the rows.
    theirs = confusion_matrix(reference.ravel(), mapped.ravel(), labels=found.labels).T
    assert (found.counts == theirs).all()
    assert found.labels == tuple(np.unique([mapped, reference]).astype(int).tolist())


@pytest.mark.parametrize("labels", [(7, 250), (-2_000_000, 5, 16_000_000)])
def test_labels_far_apart(labels):
    mapped, reference = maps(labels=labels, gaps=0.1)
    found = Confusion.of(mapped, reference)
    valid = ~np.isnan(mapped) & ~np.isnan(reference)
    theirs = confusion_matrix(reference[valid].astype(int), mapped[valid].astype(int), labels=list(labels)).T
    assert found.labels == labels
    assert (found.counts == theirs).all()
    assert found.without_reference == np.isnan(reference).sum()
    assert found.without_map == (np.isnan(mapped) & ~np.isnan(reference)).sum()


def test_a_class_that_only_one_of_the_two_has_is_kept():
    found = Confusion.of(np.array([1, 1, 9, 2]), np.array([1, 5, 5, 2]))
    assert found.labels == (1, 2, 5, 9)
    assert found.counts.tolist() == [[1, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0]]


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(3, 40), st.integers(3, 53))
def test_parts_in_any_order_give_the_whole(seed, rows, columns):
    mapped, reference = maps(seed, gaps=0.05)
    reference[:5] = 17
    corners = [(top, left) for top in range(0, 40, rows) for left in range(0, 53, columns)]
    windows = [np.s_[top : top + rows, left : left + columns] for top, left in corners]
    Random(seed).shuffle(windows)
    parts = [Confusion.of(mapped[window], reference[window]) for window in windows]
    assert same(reduce(add, parts), Confusion.of(mapped, reference))


def test_the_order_of_the_pixels_and_the_layout_do_not_matter():
    mapped, reference = maps(gaps=0.1)
    assert same(Confusion.of(mapped, reference), Confusion.of(mapped.T, reference.T))
    order = np.random.default_rng(0).permutation(mapped.size)
    assert same(Confusion.of(mapped, reference), Confusion.of(mapped.ravel()[order], reference.ravel()[order]))


@pytest.mark.parametrize("shape", [(0,), (4, 5)])
def test_nothing_in_common_counts_nothing(shape):
    found = Confusion.of(np.full(shape, np.nan), np.ones(shape))
    assert (found.total, found.labels) == (0, ())
    assert found.without_map == np.prod(shape)


def test_a_map_of_measurements_is_refused_by_its_name():
    mapped, reference = maps()
    with pytest.raises(UserError, match=r"Map 'a.tif' holds values such as \d\.37"):
        Confusion.of(mapped + np.float32(-0.63), reference, ("Map 'a.tif'", "Reference 'b.tif'"))
    with pytest.raises(UserError, match=r"Reference 'b\.tif' holds"):
        Confusion.of(mapped, reference * np.float32(1.5), ("Map 'a.tif'", "Reference 'b.tif'"))
    with pytest.raises(UserError, match="The map has values from 0 to inf"):
        Confusion.of(np.array([0.0, np.inf]), np.ones(2))
    with pytest.raises(UserError, match="up to 16777216"):
        Confusion.of(np.array([1, 2**24 + 1]), np.ones(2))


@pytest.mark.parametrize("step", [1, 50])
def test_too_many_values_are_refused(step):
    values = np.arange(0, (MOST_CLASSES + 1) * step, step)
    with pytest.raises(UserError, match=f"1001 different values, more than {MOST_CLASSES}"):
        Confusion.of(values, values)
    halves = Confusion.of(values[:600], values[:600]), Confusion.of(values[600:], values[600:])
    with pytest.raises(UserError, match="together has 1001"):
        add(*halves)


def test_shapes_and_labels_have_to_fit():
    with pytest.raises(ValueError, match="cannot be compared"):
        Confusion.of(np.ones(3), np.ones(4))
    with pytest.raises(ValueError, match="do not ascend"):
        Confusion((2, 1), np.zeros((2, 2), np.int64))


def test_renaming_adds_classes_that_become_the_same():
    found = Confusion((1, 2, 3), np.array([[5, 1, 0], [2, 7, 0], [1, 1, 3]])).renamed({1: 2, 3: 8})
    assert found.labels == (1, 2, 3, 8)
    assert found.counts.tolist() == [[0, 0, 0, 0], [7, 8, 0, 0], [0, 0, 0, 0], [1, 1, 3, 0]]
    swapped = Confusion((1, 2), np.array([[5, 1], [2, 7]])).renamed({1: 2, 2: 1})
    assert swapped.counts.tolist() == [[2, 7], [5, 1]]


def test_the_table_says_which_way_round_it_is():
    found = Confusion((1, 4), np.array([[5, 1], [2, 7]]))
    assert found.table() == [
        ["Rows: map, columns: reference", "1", "4", "Total"],
        ["1", 5, 1, 6],
        ["4", 2, 7, 9],
        ["Total", 7, 8, 15],
    ]
    assert found.table("reference", {4: "water"})[:2] == [
        ["Rows: reference, columns: map", "1", "water", "Total"],
        ["1", 5, 2, 7],
    ]


def test_sizes_of_classes_add_up():
    mapped, _ = maps(labels=(-3, 400), gaps=0.2)
    whole = class_sizes(mapped)
    assert whole == {-3: (mapped == -3).sum(), 400: (mapped == 400).sum()}
    assert class_sizes(mapped[:7]) + class_sizes(mapped[7:]) == whole


def test_codes_of_a_table_are_numbers_texts_or_names():
    found = read_codes([3, 2.0, "7", " 4.0", "Water", "water ", None, "", float("nan")], "Field 'class'", {"Water": 9})
    np.testing.assert_array_equal(found, [3, 2, 7, 4, 9, 9, np.nan, np.nan, np.nan])


def test_names_get_the_same_codes_whatever_the_order():
    columns = ["water", "Forest", None, "", "grass"], ["forest", " grass ", "water"]
    names = number_names(*columns)
    assert list(names.values()) == [1, 2, 3]
    assert names == number_names(*reversed([column[::-1] for column in columns]))
    found = [read_codes(column, "Field 'class'", names) for column in columns]
    np.testing.assert_array_equal(found[0], [3, 1, np.nan, np.nan, 2])
    np.testing.assert_array_equal(found[1], [1, 2, 3])
    assert number_names(["4", 7, "water", float("nan")]) == {"water": 8}
    assert number_names([1, 2]) == {}


@pytest.mark.parametrize(
    ("value", "names", "message"),
    [
        ("forest", {"Water": 9}, "Field 'class' has the text 'forest'.*known names are water"),
        ("forest", None, "no names of classes are known"),
        ("1.5", None, "Field 'class' has the value 1.5"),
        (2**25, None, "has the value 33554432"),
        (float("inf"), None, "has the value inf"),
    ],
)
def test_other_values_of_a_table_are_refused(value, names, message):
    with pytest.raises(UserError, match=message):
        read_codes([1, value], "Field 'class'", names)
