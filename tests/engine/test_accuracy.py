"""Accuracies: published examples, scikit-learn, Monte-Carlo samples of a known population, and what is undefined."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from real_data import real_scene
from stfusion.assessment._accuracy import OVERALL, PER_CLASS, measure_accuracy, measure_shares
from stfusion.assessment._confusion import Confusion, number_names, read_codes
from stfusion.assessment._estimates import Sample, estimate
from stfusion.errors import UserError
from test_confusion import checkered

#: The example of the documentation of Orfeo ToolBox, where the reference is in the rows.
ORFEO = np.array(
    [[21884, 2401, 0, 0], [406, 57383, 2542, 17362], [0, 5762, 109563, 10389], [0, 325, 23, 13503]]
).T
TEXTBOOK = np.array([[65, 4, 22, 24], [6, 81, 5, 8], [0, 11, 85, 19], [4, 7, 3, 90]])
#: Olofsson et al. (2014), table 8: deforestation, forest gain, stable forest, stable non-forest; pixels of 30 m.
OLOFSSON = np.array([[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]])
MAPPED = {1: 200_000, 2: 150_000, 3: 3_200_000, 4: 6_450_000}
#: Stehman (2014), table 2: ten samples of each of four strata, whose classes are others than those of the map.
STEHMAN_SIZES = {1: 40_000, 2: 30_000, 3: 20_000, 4: 10_000}
STEHMAN_MAP = "AAAAAAABBBABBBBBBBBBBBCCCCCCBBDDDDDDDDDD"
STEHMAN_REFERENCE = "AAAAACBABCABBBBBAABBCCCCCDDBBADDDDDDDCCB"


def counted(table):
    return Confusion(tuple(range(1, len(table) + 1)), np.asarray(table))


def near(values, printed):
    """Whether the values round to the digits that are printed, six unless these are texts."""
    for value, text in zip(values, printed, strict=True):
        digits = len(text.split(".")[1]) if "." in text else 0
        assert round(value, digits) == pytest.approx(float(text), abs=1e-9)


def test_the_example_of_orfeo_toolbox():
    found = measure_accuracy(counted(ORFEO))
    near(
        [found.overall[name] for name in OVERALL if name != "mean_f1"],
        [".837669", ".750874", ".001101", ".682708", ".766420", ".871530", ".762523", ".162331", ".113450",
         ".048882", ".027291", ".021590"],
    )  # fmt: skip
    near(found.classes["producers_accuracy"], [".901132", ".738586", ".871526", ".974875"])
    near(found.classes["users_accuracy"], [".981786", ".871142", ".977124", ".327314"])
    near(found.classes["f1"], [".939732", ".799407", ".921309", ".490083"])
    near(found.classes["iou"], [".886315", ".665843", ".854099", ".324576"])
    near(found.classes["conditional_kappa"], [".979750", ".810041", ".952296", ".286393"])
    assert found.reasons == ()


def test_the_example_of_a_textbook():
    found = measure_accuracy(counted(TEXTBOOK))
    names = ("overall_accuracy", "kappa", "kappa_error", "mean_iou")
    names += ("quantity", "allocation", "exchange", "shift", "mcc")
    near(
        [found.overall[name] for name in names],
        [".739631", ".653516", ".027748", ".587697", ".092166", ".168203", ".105991", ".062212", ".660482"],
    )
    near(found.classes["users_accuracy"], [".565217", ".810000", ".739130", ".865385"])
    near(found.classes["producers_accuracy"], [".866667", ".786408", ".739130", ".638298"])
    near(found.classes["f1"], [".684211", ".798030", ".739130", ".734694"])


def test_a_pair_of_maps_that_other_programs_agree_on():
    found = measure_accuracy(Confusion.of(*checkered()))
    names = ("overall_accuracy", "kappa", "kappa_error")
    near([found.overall[name] for name in names], [".856989", ".785136", ".008622"])
    assert found.overall["kappa_error"] ** 2 == pytest.approx(0.0000743, abs=5e-8)
    near(found.classes["users_accuracy"], [".872084", ".840232", ".857143"])
    near(found.classes["producers_accuracy"], [".857249", ".857264", ".856419"])
    near(found.classes["f1"], [".864603", ".848662", ".856781"])
    near(100 * found.classes["commission"], ["12.791573", "15.976821", "14.285714"])
    near(100 * found.classes["omission"], ["14.275148", "14.273649", "14.358108"])
    near(found.classes["conditional_kappa"], [".799051", ".765640", ".790446"])


@settings(max_examples=150)
@given(st.integers(0, 2**32 - 1), st.integers(2, 9), st.integers(2, 400), st.floats(0, 1))
def test_scikit_learn_has_the_same_numbers(seed, classes, size, wrong):
    rng = np.random.default_rng(seed)
    reference = rng.integers(0, classes, size)
    mapped = np.where(rng.random(size) < wrong, rng.integers(0, classes, size), reference)
    found = measure_accuracy(Confusion.of(mapped, reference))
    labels = list(found.labels)
    theirs = {
        "overall_accuracy": metrics.accuracy_score(reference, mapped),
        "mean_iou": metrics.jaccard_score(reference, mapped, average="macro"),
        "frequency_weighted_iou": metrics.jaccard_score(reference, mapped, average="weighted"),
        "mean_f1": metrics.f1_score(reference, mapped, average="macro"),
    }
    if set(mapped) <= set(reference):
        theirs["balanced_accuracy"] = metrics.balanced_accuracy_score(reference, mapped)
    if len(labels) > 1:
        theirs["kappa"] = metrics.cohen_kappa_score(reference, mapped)
    if len(set(mapped)) > 1 and len(set(reference)) > 1:
        theirs["mcc"] = metrics.matthews_corrcoef(reference, mapped)
    for name, value in theirs.items():
        assert found.overall[name] == pytest.approx(value, abs=1e-9), name
    per_class = {
        "users_accuracy": metrics.precision_score,
        "producers_accuracy": metrics.recall_score,
        "f1": metrics.f1_score,
        "iou": metrics.jaccard_score,
    }
    for name, score in per_class.items():
        undefined = {"zero_division": np.nan} if name.endswith("accuracy") else {}
        values = score(reference, mapped, labels=labels, average=None, **undefined)
        np.testing.assert_allclose(found.classes[name], values, atol=1e-9, err_msg=name)


@given(st.integers(0, 2**32 - 1), st.integers(2, 6))
def test_parts_of_the_disagreement_add_up_and_labels_can_be_permuted(seed, classes):
    rng = np.random.default_rng(seed)
    table = rng.integers(0, 30, (classes, classes))
    table[0, 0] += 1
    found = measure_accuracy(counted(table))
    parts = found.overall
    assert parts["quantity"] + parts["allocation"] == pytest.approx(1 - parts["overall_accuracy"])
    assert parts["exchange"] + parts["shift"] == pytest.approx(parts["allocation"])
    assert min(parts[name] for name in ("quantity", "allocation", "exchange", "shift")) >= 0
    order = rng.permutation(classes)
    permuted = measure_accuracy(counted(table[np.ix_(order, order)]))
    assert list(permuted.overall.values()) == pytest.approx(list(parts.values()), nan_ok=True)
    for name in PER_CLASS:
        np.testing.assert_allclose(permuted.classes[name], found.classes[name][order], atol=1e-12, err_msg=name)


def test_the_error_of_kappa_is_the_spread_of_many_samples():
    shares = TEXTBOOK / TEXTBOOK.sum()
    rng = np.random.default_rng(3)
    draws = rng.multinomial(2000, shares.ravel(), 4000).reshape(-1, 4, 4)
    kappas = [measure_shares(draw / 2000, (1, 2, 3, 4)).overall["kappa"] for draw in draws]
    expected = measure_accuracy(counted(np.rint(shares * 2_000_000).astype(int))).overall["kappa_error"] * 1000**0.5
    # The spread of 4000 draws is known to about 1.1 %.
    assert np.std(kappas) == pytest.approx(expected, rel=0.04)


def test_full_agreement_is_exact():
    found = measure_accuracy(counted(np.diag([3, 7, 11]))).overall
    assert (found["overall_accuracy"], found["kappa"], found["mcc"], found["mean_iou"]) == pytest.approx((1, 1, 1, 1))
    assert all(found[name] == 0 for name in ("disagreement", "quantity", "allocation", "exchange", "shift"))
    assert found["kappa_error"] == 0


def test_one_class_has_no_kappa():
    found = measure_accuracy(counted([[12]]))
    assert found.overall["overall_accuracy"] == 1
    assert all(np.isnan(found.overall[name]) for name in ("kappa", "kappa_error", "mcc"))
    assert "Kappa is unknown: the map and the reference have one class, and the same." in found.reasons
    assert "Conditional kappa of class 1 is unknown: the reference has no other class." in found.reasons
    assert measure_accuracy(Confusion.of(np.ones(4), np.full(4, 2.0))).overall["kappa"] == 0


def test_classes_that_one_of_the_two_lacks():
    found = measure_accuracy(Confusion.of(np.array([1, 1, 9, 2]), np.array([1, 5, 5, 2])))
    assert np.isnan(found.classes["producers_accuracy"]).tolist() == [False, False, False, True]
    assert np.isnan(found.classes["users_accuracy"]).tolist() == [False, False, True, False]
    assert found.classes["iou"].tolist() == [0.5, 1, 0, 0]
    assert found.overall["mean_iou"] == 0.375
    assert "Producer's accuracy and omission error of class 9 are unknown: the reference lacks it." in found.reasons
    assert (
        "User's accuracy, commission error and conditional kappa of class 5 are unknown: the map lacks it."
        in found.reasons
    )
    neither = measure_accuracy(counted([[3, 0, 1], [0, 0, 0], [0, 0, 5]]))
    assert np.isnan(neither.classes["iou"]).tolist() == [False, True, False]
    assert neither.overall["mean_iou"] == pytest.approx((3 / 4 + 5 / 6) / 2)


def test_nothing_counted_is_refused():
    with pytest.raises(UserError, match="5 places without map, 0 without reference"):
        measure_accuracy(Confusion.of(np.full(5, np.nan), np.ones(5)))


def test_json_has_null_for_the_unknown():
    text = json.dumps(measure_accuracy(counted([[12]])).as_dict(), allow_nan=False)
    assert json.loads(text)["overall"]["kappa"] is None
    found = estimate(Sample.by_map_class(counted([[5, 1], [0, 1]]), {1: 90, 2: 10}))
    plain = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert plain["overall_accuracy"]["error"] is None
    assert plain["classes"]["users_accuracy"][0]["value"] == pytest.approx(5 / 6)


def test_the_example_of_olofsson():
    found = estimate(Sample.by_map_class(counted(OLOFSSON), MAPPED))
    near(found.overall[::2], [".946512", ".018484"])
    users, producers = found.classes["users_accuracy"], found.classes["producers_accuracy"]
    near([each.value for each in users], [".88", ".7333", ".9273", ".9631"])
    near([each.margin for each in users], [".074", ".1008", ".0397", ".0205"])
    near([each.value for each in producers], [".7487", ".8472", ".9345", ".9616"])
    near([each.margin for each in producers], [".2133", ".2544", ".0343", ".0184"])
    near([each.value for each in found.areas()], ["235086", "129846", "3175221", "6459846"])
    near([each.margin for each in found.areas()], ["68418", "41731", "172332", "180907"])
    # Hectares, as in the article.
    near(found.areas(0.09)[0][::2], ["21158", "6158"])
    weighted = measure_shares(found.shares, found.labels)
    near([weighted.overall["kappa"]], [".888814"])
    assert weighted.overall["overall_accuracy"] == pytest.approx(found.overall.value)
    np.testing.assert_allclose(weighted.classes["producers_accuracy"], [each.value for each in producers])
    assert found.reasons == ()


def test_the_formulas_of_olofsson_written_out():
    found = estimate(Sample.by_map_class(counted(OLOFSSON), MAPPED))
    sizes, samples = np.array(list(MAPPED.values())), OLOFSSON.sum(axis=1)
    weights, within = sizes / sizes.sum(), OLOFSSON / OLOFSSON.sum(axis=1)[:, None]
    users = within.diagonal()
    overall = (weights**2 * users * (1 - users) / (samples - 1)).sum()
    assert found.overall.error == pytest.approx(overall**0.5, rel=1e-12)
    for j in range(4):
        share = weights @ within[:, j]
        area = (weights**2 * within[:, j] * (1 - within[:, j]) / (samples - 1)).sum()
        assert found.classes["area"][j].error == pytest.approx(area**0.5, rel=1e-12)
        producer = weights[j] * within[j, j] / share
        others = sum(
            sizes[i] ** 2 * within[i, j] * (1 - within[i, j]) / (samples[i] - 1) for i in range(4) if i != j
        )
        own = sizes[j] ** 2 * (1 - producer) ** 2 * users[j] * (1 - users[j]) / (samples[j] - 1)
        variance = (own + producer**2 * others) / (share * sizes.sum()) ** 2
        assert found.classes["producers_accuracy"][j].error == pytest.approx(variance**0.5, rel=1e-12)


def stehman():
    strata = np.repeat([1, 2, 3, 4], 10)
    codes = [np.array([ord(letter) for letter in text], float) for text in (STEHMAN_MAP, STEHMAN_REFERENCE)]
    return strata, *codes


def test_the_example_of_stehman():
    found = estimate(Sample.of(*stehman(), STEHMAN_SIZES))
    # As the article prints them: areas of A and C, overall accuracy, B's user's and producer's accuracy.
    near(found.overall[:2], [".63", ".085"])
    near(found.classes["area"][0][:2], [".35", ".082"])
    near(found.classes["area"][2][:2], [".20", ".064"])
    near(found.classes["users_accuracy"][1][:2], [".574", ".125"])
    near([found.classes["producers_accuracy"][1].value], [".794"])
    np.testing.assert_allclose(
        found.shares, [[0.23, 0.04, 0.04, 0], [0.12, 0.27, 0.08, 0], [0, 0.02, 0.06, 0.04], [0, 0.01, 0.02, 0.07]]
    )
    # As two other programs print them.
    printed = {
        "users_accuracy": [".1645627", ".1248023", ".2151657", ".1527525"],
        "producers_accuracy": [".1477318", ".1165671", ".1504438", ".1623242"],
        "area": [".08225975", ".07586538", ".06429101", ".03073181"],
    }
    for name, errors in printed.items():
        near([each.error for each in found.classes[name]], errors)


def literal_stehman(strata, numerator, denominator, sizes):
    """Equations 27 to 29 written out, unit by unit, without the finite population correction."""
    tops, bottoms, terms = 0.0, 0.0, []
    for stratum, size in sizes.items():
        tops += size * numerator[strata == stratum].mean()
        bottoms += size * denominator[strata == stratum].mean()
    for stratum, size in sizes.items():
        y, x = numerator[strata == stratum], denominator[strata == stratum]
        spread = y.var(ddof=1) + (tops / bottoms) ** 2 * x.var(ddof=1) - 2 * tops / bottoms * np.cov(y, x)[0, 1]
        terms.append(size**2 * spread / len(y))
    # Rounding may leave a little less than nothing.
    return tops / bottoms, max(0.0, sum(terms)) ** 0.5 / bottoms


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(2, 4))
def test_the_formulas_of_stehman_written_out(seed, strata, classes):
    rng = np.random.default_rng(seed)
    stratum = np.repeat(np.arange(strata), rng.integers(2, 40, strata))
    mapped, reference = rng.integers(0, classes, (2, len(stratum)))
    sizes = {name: float(rng.integers(100, 10_000)) for name in range(strata)}
    found = estimate(Sample.of(stratum, mapped, reference, sizes))
    for index, label in enumerate(found.labels):
        one, other = mapped == label, reference == label
        ratios = {
            "users_accuracy": (one & other, one),
            "producers_accuracy": (one & other, other),
            "f1": (2 * (one & other), one.astype(int) + other),
            "iou": (one & other, one | other),
            "area": (other, np.ones_like(other)),
        }
        for name, (y, x) in ratios.items():
            if not x.any():
                assert np.isnan(found.classes[name][index].value)
                continue
            expected = literal_stehman(stratum, y.astype(float), x.astype(float), sizes)
            assert found.classes[name][index][:2] == pytest.approx(expected, abs=1e-7), name
    right = (mapped == reference).astype(float)
    assert found.overall[:2] == pytest.approx(literal_stehman(stratum, right, np.ones_like(right), sizes), abs=1e-7)


def test_many_samples_of_a_known_population_spread_as_the_errors_say():
    rng = np.random.default_rng(5)
    sizes = {1: 60_000, 2: 30_000, 3: 10_000}
    strata = np.repeat(list(sizes), list(sizes.values()))
    reference = np.where(rng.random(100_000) < 0.7, strata, rng.integers(1, 4, 100_000))
    mapped = np.where(rng.random(100_000) < 0.8, reference, rng.integers(1, 4, 100_000))
    truth = estimate(Sample.of(strata, mapped, reference, sizes))
    places = [np.flatnonzero(strata == name) for name in sizes]
    results = []
    for _ in range(600):
        chosen = np.concatenate([rng.choice(place, 400, replace=False) for place in places])
        results.append(estimate(Sample.of(strata[chosen], mapped[chosen], reference[chosen], sizes)))
    for name in ("users_accuracy", "producers_accuracy", "f1", "iou", "area"):
        for index in range(3):
            values = np.array([result.classes[name][index][:2] for result in results])
            true = truth.classes[name][index].value
            # The mean of 600 is off by 4 of its errors at most, and their spread is known to about 3 %.
            assert values[:, 0].mean() == pytest.approx(true, abs=4 * values[:, 0].std() / 600**0.5), name
            assert values[:, 1].mean() == pytest.approx(values[:, 0].std(), rel=0.1), name
            inside = np.abs(values[:, 0] - true) < 1.96 * values[:, 1]
            assert 0.915 < inside.mean() < 0.985, name


def test_one_stratum_is_a_simple_random_sample():
    mapped, reference = np.array([1, 1, 1, 1, 2, 2, 2, 2]), np.array([1, 1, 1, 2, 2, 2, 2, 1])
    found = estimate(Sample.of(np.zeros(8), mapped, reference, {0: 50}))
    assert found.overall[:2] == pytest.approx((0.75, (0.75 * 0.25 / 7) ** 0.5))


def test_places_without_one_of_the_three_are_left_out():
    extra = [1, np.nan, 1], [np.nan, 65, 65], [65, 65, np.nan]
    more = [np.append(values, places) for values, places in zip(stehman(), extra, strict=True)]
    found, whole = (estimate(Sample.of(*places, STEHMAN_SIZES)) for places in (more, stehman()))
    assert found.overall == whole.overall
    assert found.classes == whole.classes


def test_a_stratum_with_one_sample_has_no_error_but_a_value():
    table = OLOFSSON.copy()
    table[1] = [0, 1, 0, 0]
    found = estimate(Sample.by_map_class(counted(table), MAPPED))
    assert found.reasons == ("Stratum 2 has one sample: standard errors that depend on it are unknown.",)
    assert np.isfinite(found.overall.value)
    assert np.isnan(found.overall.error)
    errors = np.isnan([each.error for each in found.classes["users_accuracy"]])
    assert errors.tolist() == [False, True, False, False]
    assert np.isnan([each.error for each in found.classes["area"]]).all()
    assert not np.isnan([each.value for each in found.classes["area"]]).any()
    # What does not depend on the stratum is as it was.
    full = estimate(Sample.by_map_class(counted(OLOFSSON), MAPPED))
    assert found.classes["users_accuracy"][0] == full.classes["users_accuracy"][0]


def test_a_stratum_without_samples_leaves_only_the_users_accuracies_of_the_others():
    table = OLOFSSON.copy()
    table[1] = 0
    found = estimate(Sample.by_map_class(counted(table), MAPPED))
    assert found.reasons == ("Stratum 2 has no sample: what depends on it is unknown.",)
    assert np.isnan(found.overall.value)
    assert np.isnan([each.value for each in found.classes["users_accuracy"]]).tolist() == [False, True, False, False]
    assert np.isnan([each.value for each in found.classes["producers_accuracy"]]).all()
    assert np.isnan(measure_shares(found.shares, found.labels).overall["kappa"])
    full = estimate(Sample.by_map_class(counted(OLOFSSON), MAPPED))
    assert found.classes["users_accuracy"][3] == full.classes["users_accuracy"][3]
    strata, mapped, reference = stehman()
    other = estimate(Sample.of(strata, mapped, reference, {**STEHMAN_SIZES, 5: 100}))
    assert np.isnan([each.value for each in other.classes["users_accuracy"]]).all()


def test_a_class_of_the_reference_that_is_never_mapped():
    table = np.array([[40, 3, 2], [4, 50, 1], [0, 0, 0]])
    found = estimate(Sample.by_map_class(counted(table), {1: 500, 2: 700}))
    assert found.classes["area"][2].value == pytest.approx(500 / 1200 * 2 / 45 + 700 / 1200 / 55)
    assert found.classes["producers_accuracy"][2][:2] == (0, 0)
    assert found.reasons == ("User's accuracy of class 3 is unknown: no sample is mapped as it.",)


def test_a_mapped_class_that_is_never_in_the_reference():
    found = estimate(Sample.by_map_class(counted([[40, 0], [4, 0]]), {1: 500, 2: 700}))
    assert np.isnan(found.classes["producers_accuracy"][1].value)
    assert found.classes["iou"][1].value == 0
    assert found.reasons == ("Producer's accuracy of class 2 is unknown: no sample has it as its reference.",)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({1: 5, 2: 5, 3: 5}, r"stratum 4, whose size is not known \(known: 1, 2, 3\)"),
        ({**MAPPED, 4: -1}, "Stratum 4 has the size -1"),
        ({**MAPPED, 4: float("nan")}, "Stratum 4 has the size nan"),
    ],
)
def test_strata_without_a_size_are_refused(sizes, message):
    with pytest.raises(UserError, match=message):
        Sample.by_map_class(counted(OLOFSSON), sizes)


def test_an_empty_sample_and_a_wrong_level_are_refused():
    with pytest.raises(UserError, match="No sample has a stratum"):
        Sample.of(np.array([np.nan]), np.ones(1), np.ones(1), {1: 5})
    with pytest.raises(UserError, match=r"The reference holds values such as 1\.5"):
        Sample.of(np.ones(1), np.ones(1), np.array([1.5]), {1: 5})
    with pytest.raises(UserError, match="level of confidence is 95"):
        estimate(Sample.by_map_class(counted(OLOFSSON), MAPPED), 95)


def test_the_level_sets_the_width():
    wide, narrow = (estimate(Sample.by_map_class(counted(OLOFSSON), MAPPED), level).overall for level in (0.99, 0.9))
    assert (wide.margin / wide.error, narrow.margin / narrow.error) == pytest.approx((2.576, 1.645))


@pytest.mark.parametrize(
    ("file", "fields"),
    [
        ("accuracy_points_ref_vs_map_525.geojson", ("img_smpls", "ref_smpls")),
        ("accuracy_points_ref_vs_map_1000_10classes.geojson", ("rf_rl_cls", "ref_pts")),
    ],
)
def test_points_with_names_of_classes(file, fields):
    text = (real_scene("class_aberystwyth_s2") / file).read_text(encoding="utf-8")
    places = [feature["properties"] for feature in json.loads(text)["features"]]
    mapped, reference = ([place[field] for place in places] for field in fields)
    names = number_names(mapped, reference)
    found = measure_accuracy(Confusion.of(*(read_codes(values, "Field", names) for values in (mapped, reference))))
    labels = sorted({*mapped, *reference}, key=str.casefold)
    assert list(names) == labels
    assert found.overall["overall_accuracy"] == pytest.approx(metrics.accuracy_score(reference, mapped), abs=1e-9)
    assert found.overall["kappa"] == pytest.approx(metrics.cohen_kappa_score(reference, mapped), abs=1e-9)
    theirs = metrics.precision_recall_fscore_support(reference, mapped, labels=labels, zero_division=np.nan)
    np.testing.assert_allclose(found.classes["users_accuracy"], theirs[0], atol=1e-9)
    np.testing.assert_allclose(found.classes["producers_accuracy"], theirs[1], atol=1e-9)
