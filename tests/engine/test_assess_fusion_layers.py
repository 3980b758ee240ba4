"""Assess fused image with layers that cannot be used, and runs that fail: a sentence, and nothing is left behind."""

import re
from pathlib import Path

import numpy as np
import pytest
from affine import Affine

from makers import FINE, write_raster
from stfusion.assessment import _assess_fusion
from stfusion.errors import UserError
from test_assess_fusion import RATIO, SHAPE, arrays, assess, some, write_layers


@pytest.fixture
def layers(tmp_path):
    return write_layers(tmp_path)


def _elsewhere(layers, folder):
    layers["reference"] = write_raster(folder / "far.tif", arrays()[1], Affine.translation(9e5, 0) @ FINE)
    return "do not overlap"


def _shifted(layers, folder):
    layers["reference"] = write_raster(folder / "half.tif", arrays()[1], FINE @ Affine.translation(0.5, 0))
    return "is not on the grid of Fused image 'fused.tif'.*resample one of the two"


def _coarser(layers, folder):
    layers["reference"] = write_raster(folder / "coarser.tif", arrays()[2], FINE @ Affine.scale(RATIO))
    return "is not on the grid"


def _other_system(layers, folder):
    layers["reference"] = write_raster(folder / "other.tif", arrays()[1], crs="EPSG:32632")
    return "do not overlap|is not on the grid"


def _no_system(layers, folder):
    layers["reference"] = write_raster(folder / "none.tif", arrays()[1], crs=None)
    return "has no coordinate system.*assign a projection"


def _fewer_bands(layers, folder):
    layers["reference"] = write_raster(folder / "two.tif", arrays()[1][:2])
    return r"has 3 band\(s\), Reference image 'two.tif' has 2 and needs 3"


def _many_pan_bands(layers, folder):
    layers["pan"] = layers["reference"]
    return r"Panchromatic image 'true.tif' has 3 and needs 1"


def _nothing_valid(layers, folder):
    layers["reference"] = write_raster(folder / "nan.tif", np.full_like(arrays()[1], np.nan))
    return "have no valid pixel in common"


def _nothing_valid_in_a_range(layers, folder):
    layers["data_range"] = 1.0
    return _nothing_valid(layers, folder)


def _fused_alone_is_empty(layers, folder):
    del layers["reference"]
    layers["predicted"] = write_raster(folder / "nan.tif", np.full_like(arrays()[1], np.nan))
    return "Fused image 'nan.tif' has no valid pixel"


def _fused_is_empty(layers, folder):
    layers["predicted"] = write_raster(folder / "nan.tif", np.full_like(arrays()[1], np.nan))
    return "no valid pixel"


def _nothing_to_compare(layers, folder):
    for name in ("reference", "coarse", "pan"):
        del layers[name]
    return "nothing to compare the fused image with; give a reference image"


def _classes_and_zones(layers, folder):
    layers.update(class_map=layers["predicted"], zones=str(folder / "areas.gpkg"))
    return "A class map and zones are given; give one of the two"


def _real_classes(layers, folder):
    layers["class_map"] = write_raster(folder / "real.tif", arrays()[3] + 0.25)
    return "holds real numbers"


def _many_classes(layers, folder):
    layers["class_map"] = layers["reference"]
    return "has 3 bands and a class map has one"


def _no_class(layers, folder):
    layers["class_map"] = write_raster(folder / "zero.tif", np.zeros(SHAPE, np.uint8), nodata=0)
    return "has no class on"


def _no_file(layers, folder):
    layers["reference"] = str(folder / "gone.tif")
    return "does not exist"


@pytest.mark.parametrize(
    "spoil",
    [
        _elsewhere, _shifted, _coarser, _other_system, _no_system, _fewer_bands, _many_pan_bands, _nothing_valid,
        _nothing_valid_in_a_range, _fused_alone_is_empty,
        _fused_is_empty, _nothing_to_compare, _classes_and_zones, _real_classes, _many_classes, _no_class, _no_file,
    ],
)
def test_bad_layers_are_refused_in_one_sentence(layers, tmp_path, spoil):
    pattern = spoil(layers, tmp_path)
    sentence = assess(tmp_path, 2, **layers, error=None)
    assert re.search(pattern, sentence), sentence
    assert sentence.count(". ") == 0


def test_what_needs_a_reference_is_refused_without_one(layers, tmp_path):
    sentence = assess(tmp_path, 2, **some(layers, "coarse"), error=str(tmp_path / "error.tif"))
    assert "needs a reference image" in sentence
    classes = write_raster(tmp_path / "classes.tif", np.ones(SHAPE, np.uint8))
    assert "need a reference image" in assess(tmp_path, 2, **some(layers, "coarse"), class_map=classes)


def test_a_run_that_fails_late_leaves_nothing_behind(layers, tmp_path, monkeypatch):
    def fail(*given):
        raise UserError("The disk is full; make room.")

    monkeypatch.setattr(_assess_fusion, "write_results", fail)
    assess(
        tmp_path, 2, **some(layers, "reference"), error=str(tmp_path / "error.tif"), angle=str(tmp_path / "angle.tif")
    )
    assert not [path for path in Path(tmp_path).rglob("*.qml")]
