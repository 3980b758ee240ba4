"""Matching of clusters to classes: known tables, brute force, and scikit-learn's measures of likeness."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from stfusion.assessment._accuracy import measure_accuracy
from stfusion.assessment._confusion import Confusion
from stfusion.assessment._matching import compare_partitions, match_clusters
from stfusion.errors import UserError

#: Clusters in the rows, classes in the columns.
MORE_CLUSTERS = np.array([[5, 40, 2], [6, 30, 1], [50, 3, 4], [0, 2, 60]])
AS_MANY = np.array([[8, 7, 0], [6, 1, 0], [0, 0, 9]])


def clusters(table):
    """The matrix on the union of the labels of clusters and classes, both counted from 1."""
    size = max(table.shape)
    counts = np.zeros((size, size), np.int64)
    counts[: table.shape[0], : table.shape[1]] = table
    return Confusion(tuple(range(1, size + 1)), counts)


def overall(match):
    return measure_accuracy(match.after).overall


def test_majority_joins_the_clusters_of_a_class():
    match = match_clusters(clusters(MORE_CLUSTERS), "majority")
    assert match.pairs == {1: 2, 2: 2, 3: 1, 4: 3}
    assert match.unmatched == {}
    assert round(overall(match)["overall_accuracy"], 6) == 0.886700
    assert match.after.labels == (1, 2, 3)
    assert match.purity == pytest.approx({1: 40 / 47, 2: 30 / 37, 3: 50 / 57, 4: 60 / 62})
    assert (match.before.counts[:, :3] == MORE_CLUSTERS).all()
    same = match_clusters(clusters(AS_MANY), "majority")
    assert same.pairs == {1: 1, 2: 1, 3: 3}
    assert round(overall(same)["overall_accuracy"], 6) == 0.741935


def test_hungarian_leaves_a_cluster_over():
    match = match_clusters(clusters(MORE_CLUSTERS), "hungarian")
    assert match.pairs == {1: 2, 3: 1, 4: 3}
    assert match.unmatched == {2: 5}
    assert match.names == {1: 2, 3: 1, 4: 3, 2: 5}
    assert round(overall(match)["overall_accuracy"], 6) == 0.738916
    assert match.after.total == match.before.total
    assert match.after.labels == (1, 2, 3, 5)


def test_hungarian_one_to_one():
    match = match_clusters(clusters(AS_MANY))
    assert match.pairs == {1: 2, 2: 1, 3: 3}
    assert round(overall(match)["overall_accuracy"], 6) == 0.709677
    assert round(overall(match)["mean_iou"], 6) == 0.612500


def test_a_class_may_stay_without_a_cluster():
    match = match_clusters(clusters(MORE_CLUSTERS.T))
    assert match.pairs == {1: 3, 2: 1, 3: 4}
    assert match.after.labels == (1, 2, 3, 4)


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(1, 5))
def test_no_assignment_agrees_in_more_places(seed, rows, columns):
    table = np.random.default_rng(seed).integers(1, 50, (rows, columns))
    wide = table if rows <= columns else table.T
    best = max(wide[range(len(wide)), order].sum() for order in permutations(range(wide.shape[1]), len(wide)))
    match = match_clusters(clusters(table))
    assert match.after.counts.trace() == best
    assert len(match.pairs) == min(rows, columns)
    majority = match_clusters(clusters(table), "majority")
    assert majority.after.counts.trace() == table.max(axis=1).sum()


def test_a_tie_goes_to_the_lower_class():
    assert match_clusters(clusters(np.array([[4, 7, 7], [5, 5, 1]])), "majority").pairs == {1: 2, 2: 1}


def test_clusters_of_the_same_partition_are_matched_whatever_their_labels():
    rng = np.random.default_rng(0)
    reference = rng.integers(10, 16, 500)
    mapped = np.array([200, -4, 11, 7, 10, 15])[reference - 10]
    for rule in ("hungarian", "majority"):
        match = match_clusters(Confusion.of(mapped, reference), rule)
        assert overall(match)["overall_accuracy"] == 1
        assert match.after.labels == tuple(range(10, 16))


def test_nothing_in_common_is_refused():
    with pytest.raises(UserError, match="no place where both the clusters and the reference"):
        match_clusters(Confusion.of(np.full(3, np.nan), np.ones(3)))


@settings(max_examples=100)
@given(st.integers(0, 2**32 - 1), st.integers(2, 8), st.integers(2, 8), st.integers(20, 300))
def test_scikit_learn_finds_the_same_likeness(seed, of_map, of_reference, size):
    rng = np.random.default_rng(seed)
    reference = rng.integers(0, of_reference, size)
    mapped = np.where(rng.random(size) < rng.random(), rng.integers(0, of_map, size), reference % of_map)
    found = compare_partitions(Confusion.of(mapped, reference))
    if min(len(set(mapped)), len(set(reference))) < 2:
        return
    assert found.adjusted_rand == pytest.approx(metrics.adjusted_rand_score(reference, mapped), abs=1e-9)
    assert found.v_measure == pytest.approx(metrics.v_measure_score(reference, mapped), abs=1e-9)
    assert found.v_measure == pytest.approx(metrics.normalized_mutual_info_score(reference, mapped), abs=1e-9)
    assert found.homogeneity == pytest.approx(metrics.homogeneity_score(reference, mapped), abs=1e-9)
    assert found.completeness == pytest.approx(metrics.completeness_score(reference, mapped), abs=1e-9)
    assert found.reasons == ()


def test_likeness_of_a_large_scene_keeps_its_digits():
    small = np.array([[500, 30], [70, 400]])
    table = small * 10**8
    found, few = (compare_partitions(clusters(each)) for each in (table, small))
    assert found.v_measure == pytest.approx(few.v_measure, rel=1e-12)
    # By the definition over pairs, whose number grows with the square.
    sums = (table, table.sum(axis=1), table.sum(axis=0))
    both, of_map, of_reference = (sum(n * (n - 1) // 2 for n in np.ravel(each).tolist()) for each in sums)
    total = int(table.sum())
    chance = of_map * of_reference / (total * (total - 1) // 2)
    assert found.adjusted_rand == pytest.approx((both - chance) / ((of_map + of_reference) / 2 - chance), rel=1e-12)


def test_one_class_is_like_nothing():
    one = compare_partitions(clusters(np.array([[7]])))
    assert np.isnan(one[:4]).all()
    assert len(one.reasons) == 4
    half = compare_partitions(clusters(np.array([[7, 3]])))
    assert np.isnan(half.completeness)
    assert half[0] == half.homogeneity == half.v_measure == 0
    assert half.reasons == ("Completeness is unknown: the map has one class only.",)
    nothing = compare_partitions(Confusion.of(np.full(3, np.nan), np.ones(3)))
    assert np.isnan(nothing[:4]).all()
    assert len(nothing.reasons) == 1
