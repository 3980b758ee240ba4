"""The parts of the dictionary methods: matching pursuit, K-SVD, the lattice and the drawing of patches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import orthogonal_mp_gram

import literal_dictionary as literal
from stfusion.errors import Cancelled, UserError
from stfusion.fusion._dictionary import PatchSample, Training, lattice, learn
from stfusion.fusion._pursuit import encode, update
from stfusion.raster.grids import Box, blocks
from stfusion.run import Stop

TRAINING = Training(side=5, stride=3, atoms=12, patches=80, sparsity=3, iterations=3, measured=True, seed=1)


def unit_rows(rng: np.random.Generator, rows: int, values: int) -> np.ndarray:
    drawn = rng.normal(size=(rows, values))
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def full(chosen: np.ndarray, values: np.ndarray, atoms: int) -> np.ndarray:
    """Codes (signals, atoms) from those that are not 0."""
    codes = np.zeros((len(chosen), atoms))
    for s, k in np.argwhere(chosen >= 0):
        codes[s, chosen[s, k]] = values[s, k]
    return codes


@given(seed=st.integers(0, 2**32 - 1), values=st.integers(2, 40), atoms=st.integers(1, 60), sparsity=st.integers(1, 8))
def test_codes_equal_the_literal_pursuit(seed: int, values: int, atoms: int, sparsity: int) -> None:
    rng = np.random.default_rng(seed)
    rows, signals = unit_rows(rng, atoms, values), rng.normal(size=(6, values))
    signals[0] = 0
    # As many atoms as values would leave nothing but rounding to choose the next atom by.
    sparsity = min(sparsity, values - 1)
    codes = full(*encode(signals, rows, rows @ rows.T, sparsity), atoms)
    expected = np.stack([literal.omp(signal, rows.T, sparsity) for signal in signals])
    np.testing.assert_allclose(codes, expected, rtol=1e-7, atol=1e-9)


def test_codes_equal_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(3)
    rows, signals = unit_rows(rng, 256, 49), rng.normal(size=(200, 49))
    gram = rows @ rows.T
    expected = orthogonal_mp_gram(gram, rows @ signals.T, n_nonzero_coefs=5).T
    np.testing.assert_allclose(full(*encode(signals, rows, gram, 5), 256), expected, rtol=1e-8, atol=1e-10)


def test_a_sparse_signal_is_found_again() -> None:
    rng = np.random.default_rng(5)
    atoms = np.linalg.qr(rng.normal(size=(30, 30)))[0]
    codes = np.zeros((20, 30))
    for row in codes:
        row[rng.choice(30, 4, replace=False)] = rng.normal(size=4)
    np.testing.assert_allclose(full(*encode(codes @ atoms, atoms, atoms @ atoms.T, 6), 30), codes, atol=1e-12)


def test_the_code_of_the_opposite_signal_is_the_opposite_code() -> None:
    rng = np.random.default_rng(6)
    rows, signals = unit_rows(rng, 50, 20), rng.normal(size=(30, 20))
    gram = rows @ rows.T
    chosen, values = encode(signals, rows, gram, 4)
    opposite, negative = encode(-signals, rows, gram, 4)
    np.testing.assert_array_equal(opposite, chosen)
    np.testing.assert_array_equal(negative, -values)


@given(seed=st.integers(0, 2**32 - 1), values=st.integers(3, 20), atoms=st.integers(2, 30))
def test_atoms_are_renewed_as_in_the_literal_round(seed: int, values: int, atoms: int) -> None:
    rng = np.random.default_rng(seed)
    rows, signals = unit_rows(rng, atoms, values), rng.normal(size=(25, values))
    chosen, numbers = encode(signals, rows, rows @ rows.T, 2)
    expected_rows, expected_codes = rows.T.copy(), full(chosen, numbers, atoms).T.copy()
    literal.ksvd_round(signals.T, expected_rows, expected_codes)
    update(signals, rows, chosen, numbers)
    np.testing.assert_allclose(rows, expected_rows.T, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(full(chosen, numbers, atoms), expected_codes.T, rtol=1e-7, atol=1e-9)


def test_a_round_never_codes_worse() -> None:
    rng = np.random.default_rng(7)
    rows, signals = unit_rows(rng, 40, 16), rng.normal(size=(300, 16))
    chosen, numbers = encode(signals, rows, rows @ rows.T, 3)
    before = ((signals - full(chosen, numbers, 40) @ rows) ** 2).sum()
    used = np.unique(chosen[chosen >= 0])
    update(signals, rows, chosen, numbers)
    assert ((signals - full(chosen, numbers, 40)[:, used] @ rows[used]) ** 2).sum() < before


@given(size=st.integers(7, 200), stride=st.integers(1, 7), cut=st.tuples(st.integers(0, 199), st.integers(1, 80)))
def test_the_lattice_covers_every_pixel_and_ignores_tiles(size: int, stride: int, cut: tuple[int, int]) -> None:
    low = min(cut[0], size - 1)
    high = min(low + cut[1], size)
    whole = lattice(size, 7, stride, 0, size)
    assert {pixel for begin in whole for pixel in range(begin, begin + 7)} == set(range(size))
    np.testing.assert_array_equal(lattice(size, 7, stride, low, high), [b for b in whole if b < high and b + 7 > low])


def sampled(shape: tuple[int, int], part: int, low: np.ndarray, high: np.ndarray) -> PatchSample:
    sample = PatchSample(shape, TRAINING)
    for box in blocks(shape, part):
        outer = box.grown(4, shape)
        window = np.s_[..., outer.top : outer.bottom, outer.left : outer.right]
        sample.add(box, outer, low[window], high[window])
    return sample


def test_patches_do_not_depend_on_the_parts_of_the_pass() -> None:
    rng = np.random.default_rng(8)
    low, high = rng.normal(size=(2, 1, 60, 50)).astype(np.float32), rng.normal(size=(2, 60, 50)).astype(np.float32)
    whole, parts = sampled((60, 50), 100, low, high), sampled((60, 50), 13, low, high)
    for band in range(2):
        for one, other in zip(whole.of_band(band), parts.of_band(band), strict=True):
            assert len(one) == 100
            np.testing.assert_array_equal(one, other)


def test_patches_with_many_gaps_are_left_out_and_few_gaps_are_filled() -> None:
    high = np.ones((1, 20, 20), np.float32)
    high[:, :, 10:] = np.nan
    low = np.add.outer(np.arange(20.0), np.zeros(20)).astype(np.float32)[None, None]
    low[:, :, 10, :] = np.nan
    coarse, fine = sampled((20, 20), 20, low, high).of_band(0)
    # Only columns 0 to 5 are whole; a patch across row 10 has a fifth of its values missing.
    assert len(coarse) <= 6 * 11
    assert (fine == 1).all()
    assert not np.isnan(coarse).any()
    low[:, :, 10, 1:] = 0
    coarse, _ = sampled((20, 20), 20, low, high).of_band(0)
    assert not np.isnan(coarse).any()


def test_fewer_patches_than_atoms() -> None:
    sample = PatchSample((8, 8), replace(TRAINING, atoms=17))
    sample.add(Box(0, 8, 0, 8), Box(0, 8, 0, 8), np.zeros((1, 1, 8, 8), np.float32), np.zeros((1, 8, 8), np.float32))
    with pytest.raises(UserError, match=r"have 16 patches of 5 x 5 pixels .* 17 atoms are asked for; lower 'Atoms'"):
        sample.of_band(0)


def test_detail_that_follows_from_the_coarse_image_is_learnt_and_confirmed() -> None:
    """Three patterns, each with its own detail: the dictionary has to find the pairs, and the gain has to be 1."""
    rng = np.random.default_rng(9)
    patterns, details = rng.normal(size=(3, 25)), rng.normal(size=(3, 25))
    patterns -= patterns.mean(axis=1, keepdims=True)
    which, size = rng.integers(0, 3, 200), rng.uniform(0.5, 2.0, 200)[:, None] * rng.choice([-1, 1], (200, 1))
    low, residual = (patterns[which] * size)[:, None], details[which] * size
    training = replace(TRAINING, atoms=3, sparsity=1, iterations=5)
    for joint, refit in ((True, True), (True, False), (False, True)):
        learned, gain = learn(low, residual, replace(training, measured=False), Stop(), joint=joint, refit=refit)
        assert gain == pytest.approx(1.0, abs=1e-6)
        # The damping of the least squares takes its share.
        share = 1 / 1.3 if refit else 1.0
        for pattern, detail in zip(patterns, details, strict=True):
            products = learned.atoms.T @ (pattern * learned.scale[0])
            best = np.argmax(np.abs(products))
            said = products[best] * learned.detail[best]
            assert np.corrcoef(said, detail)[0, 1] > 0.9999
            assert np.linalg.norm(said) / np.linalg.norm(detail) == pytest.approx(share, rel=0.25 if refit else 1e-5)


def test_detail_that_does_not_follow_is_not_believed() -> None:
    rng = np.random.default_rng(10)
    low, residual = rng.normal(size=(400, 1, 25)), rng.normal(size=(400, 25))
    learned, gain = learn(low, residual, TRAINING, Stop(), joint=True, refit=True)
    assert gain < 0.2
    assert np.abs(learned.detail).max() < 0.2 * np.abs(residual).max()


@pytest.mark.parametrize("refit", [False, True])
def test_nothing_is_learnt_where_the_coarse_image_is_constant(refit: bool) -> None:
    low, residual = np.full((100, 1, 25), 0.3), np.zeros((100, 25))
    learned, gain = learn(low, residual, TRAINING, Stop(), joint=True, refit=refit)
    assert learned.gram.shape == (0, 0)
    assert learned.detail.shape == (0, 25)
    assert gain == 0


def test_training_stops_when_it_is_to() -> None:
    rng, stop = np.random.default_rng(11), Stop()
    stop.request()
    with pytest.raises(Cancelled):
        learn(rng.normal(size=(100, 1, 25)), rng.normal(size=(100, 25)), TRAINING, stop, joint=True, refit=True)
    stop.finished()
