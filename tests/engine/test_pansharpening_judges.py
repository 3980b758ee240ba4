"""Every classic pansharpening method gives what its equations, written out for the whole image, give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import literal_multiresolution as multiresolution
import literal_substitution as substitution
from pansharpened import EQUAL, METHODS, known, sharpen, write_scene
from sharpening import QUICKBIRD

SENSOR = {"gains": ",".join(map(str, QUICKBIRD))}
#: A method with options, and its judge.
JUDGED: list[tuple[str, dict[str, Any], Any]] = [
    ("simple_mean", {}, substitution.simple_mean),
    ("brovey", EQUAL, substitution.brovey),
    ("brovey", {}, lambda scene: substitution.brovey(scene, substitution.fitted_weights(scene))),
    ("brovey", {"weights": "1,0,2,0.5"}, lambda scene: substitution.brovey(scene, [1, 0, 2, 0.5])),
    ("gihs", EQUAL, substitution.gihs),
    ("gihs", {**EQUAL, "match": True}, lambda scene: substitution.gihs(scene, match=True)),
    ("gsa", {}, substitution.gsa),
    ("pca_fusion", {}, substitution.pca_fusion),
    ("gram_schmidt", {}, substitution.gram_schmidt),
    ("bt_h", {}, substitution.bt_h),
    ("bdsd", {**SENSOR, "block": 64}, lambda scene: substitution.bdsd(scene, 64)),
    ("bdsd_pc", SENSOR, substitution.bdsd_pc),
    ("pracs", {}, substitution.pracs),
    ("pracs", {"strength": 1.95}, lambda scene: substitution.pracs(scene, 1.95)),
    ("mtf_glp_fs", {**SENSOR, "window": 31}, lambda scene: multiresolution.mtf_glp_fs(scene, 31)),
    ("mtf_glp_fs", SENSOR, multiresolution.mtf_glp_fs),
    ("hypersharpening", SENSOR, multiresolution.mtf_glp_fs),
    ("hpf", {}, multiresolution.hpf),
    ("hpf", {"window": 5, "gain": "deviation"}, lambda scene: multiresolution.hpf(scene, 5, matched=True)),
    ("sfim", {}, multiresolution.sfim),
    ("sfim", {"window": 5}, lambda scene: multiresolution.sfim(scene, 5)),
    ("atwt", {}, multiresolution.atwt),
    ("awlp", {}, multiresolution.awlp),
    ("wavelet_fusion", {}, multiresolution.wavelet_fusion),
    ("wavelet_fusion", {"wavelet": "db2"}, lambda scene: multiresolution.wavelet_fusion(scene, "db2")),
    ("wavelet_fusion", {"details": "add"}, lambda scene: multiresolution.wavelet_fusion(scene, rule="add")),
    ("mtf_glp", SENSOR, multiresolution.mtf_glp),
    ("mtf_glp", {"sensor": "QuickBird"}, multiresolution.mtf_glp),
    ("mtf_glp_hpm", SENSOR, multiresolution.mtf_glp_hpm),
    ("mtf_glp_hpm", {**SENSOR, "matching": "regression"}, lambda scene: multiresolution.mtf_glp_hpm(scene, True)),
    ("mtf_glp_cbd", SENSOR, multiresolution.mtf_glp_cbd),
    (
        "mtf_glp_cbd", {**SENSOR, "window": 21, "threshold": 0.2},
        lambda scene: multiresolution.mtf_glp_cbd(scene, 21, 0.2),
    ),
    ("rcs", {}, multiresolution.rcs),
    ("rcs", {"radius": 3}, lambda scene: multiresolution.rcs(scene, 3)),
    ("lmvm", {}, multiresolution.lmvm),
    ("bayes_fusion", {}, multiresolution.bayes_fusion),
    ("bayes_fusion", {"weight": 0.5}, lambda scene: multiresolution.bayes_fusion(scene, 0.5)),
]


def test_every_method_has_a_judge():
    assert {method for method, _, _ in JUDGED} == set(METHODS)


@pytest.mark.parametrize(("method", "options", "judge"), JUDGED)
def test_agrees_with_its_judge(tmp_path, method, options, judge):
    scene = known()
    found, _ = sharpen(tmp_path, method, write_scene(tmp_path, scene), **options)
    np.testing.assert_allclose(found, judge(scene), rtol=2e-6, atol=2e-3)
