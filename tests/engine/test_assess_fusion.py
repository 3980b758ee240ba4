"""Assess fused image, whole: with and without a reference, zones, gaps, tiles, what is written, and bad layers."""

import csv
import json
import re
import xml.etree.ElementTree as ET

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from affine import Affine
from skimage.metrics import structural_similarity

import literal_full_resolution as literal
from makers import CRS, FINE, read_raster, run_method, write_raster
from measured import assess as assess_arrays
from stfusion import registry
from stfusion.assessment import _assess_fusion, _fusion_report
from stfusion.assessment._full_resolution import INDICES
from stfusion.assessment._measure import Terms
from stfusion.assessment._metrics import ALL

RATIO = 4
SHAPE = 96, 132
PICTURES = "maps", "scatter", "histograms", "zones"
DRAW = _fusion_report._pictures
#: Rows and columns that a hole in the fused image has.
HOLE = slice(40, 43), slice(50, 60)


def arrays(seed=0):
    """A fused image with a hole and noise, the true one, the coarse one and a panchromatic one, in steps of 1."""
    rng = np.random.default_rng(seed)
    ground = np.kron(rng.uniform(300, 3000, (3, 24, 33)), np.ones((4, 4)))
    truth = np.rint(ground + rng.normal(0, 60, ground.shape)).astype(np.float32)
    fused = np.rint(truth * 1.02 + rng.normal(0, 90, truth.shape)).astype(np.float32)
    fused[(slice(None), *HOLE)] = np.nan
    coarse = truth.reshape(3, 24, RATIO, 33, RATIO).mean((2, 4))
    pan = truth.mean(0, keepdims=True) + rng.normal(0, 5, (1, *SHAPE)).astype(np.float32)
    return fused, truth, coarse, pan


@pytest.fixture(autouse=True, scope="module")
def quickly():
    """Draws no pictures, which take longer than all else; the tests of the report draw theirs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_fusion_report, "_pictures", lambda *given: dict.fromkeys(PICTURES, b""))
        yield patch


@pytest.fixture
def layers(tmp_path):
    return write_layers(tmp_path)


def write_layers(tmp_path):
    """The arrays as rasters, by role."""
    fused, truth, coarse, pan = arrays()
    return {
        "predicted": write_raster(tmp_path / "fused.tif", np.nan_to_num(fused, nan=-1).astype(np.int16), nodata=-1),
        "reference": write_raster(tmp_path / "true.tif", truth),
        "coarse": write_raster(tmp_path / "coarse.tif", coarse, FINE @ Affine.scale(RATIO)),
        "pan": write_raster(tmp_path / "pan.tif", pan),
    }


def some(layers, *names):
    return {name: layers[name] for name in ("predicted", *names)}


def assess(folder, code=0, settings=None, **values):
    """Run into a folder of its own; what the report says, or the sentence."""
    before = set(folder.iterdir())
    output = folder / f"report{len(before)}"
    outcome = run_method("assess_fusion", settings=settings, output=str(output), **values)
    assert outcome.code == code, outcome.said.lines
    if code:
        assert set(folder.iterdir()) == before
        return outcome.error
    assert {path.name for path in output.iterdir()} == {"report.html", "results.json", "results.csv"}
    found = json.loads((output / "results.json").read_text(encoding="utf-8"))
    return {**found, "folder": output, "result": outcome.said.of("result")[0], "log": outcome.said.of("log")}


def expected(fused, truth, **terms):
    return assess_arrays(fused, truth, Terms(peak=10000.0, metrics=tuple(ALL), **terms))


def test_metrics_are_those_of_the_valid_pixels(layers, tmp_path):
    fused, truth, *_ = arrays()
    found = assess(tmp_path, **some(layers, "reference"), ratio=4.0)
    scores = expected(fused, truth, ratio=4.0)
    for name in ALL:
        assert found["whole"][name]["mean"] == pytest.approx(scores[name].mean, rel=1e-9, abs=1e-9), name
        assert found["whole"][name]["bands"] == pytest.approx(list(scores[name].bands), rel=1e-9, abs=1e-9), name
    assert found["whole"]["valid"] == 1 - 30 / (96 * 132)
    valid = np.isfinite(fused[0])
    assert found["whole"]["rmse"]["bands"][1] == pytest.approx(
        np.sqrt(((fused - truth)[1][valid].astype(float) ** 2).mean()), rel=1e-9
    )
    assert found["without_reference"] == dict.fromkeys(INDICES)
    assert found["result"]["rmse"] == found["whole"]["rmse"]["mean"]
    assert found["whole"]["reasons"] == []


def test_a_range_that_is_given_changes_what_depends_on_it_alone(layers, tmp_path):
    """The images are then read once, and what is summed up is less a mean that is only near the true one."""
    fused, truth, *_ = arrays()
    found = assess(tmp_path, **some(layers, "reference"), ratio=4.0, data_range=3000.0)
    scores = assess_arrays(fused, truth, Terms(4.0, data_range=3000.0, peak=3000.0, metrics=tuple(ALL)))
    for name in ALL:
        assert found["whole"][name]["mean"] == pytest.approx(scores[name].mean, rel=1e-9, abs=1e-9), name


def test_similarity_is_that_of_scikit_image(layers, tmp_path):
    _, truth, *_ = arrays()
    layers["predicted"] = write_raster(tmp_path / "whole.tif", truth + 20)
    found = assess(tmp_path, **some(layers, "reference"), data_range=5000.0, ratio=4.0)
    theirs = [
        structural_similarity(
            t.astype(float), t + 20.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=5000
        )
        for t in truth
    ]
    assert found["whole"]["ssim"]["bands"] == pytest.approx(theirs, rel=1e-9)


def test_every_number_can_be_used_in_a_model(layers, tmp_path):
    found = assess(tmp_path, **layers)
    declared = registry.methods()["assess_fusion"].results
    numbers = {result.id for result in declared if result.kind == "number"}
    assert numbers <= set(found["result"])
    for name in numbers & set(ALL):
        assert found["result"][name] == found["whole"][name]["mean"]
    for name in numbers & set(INDICES):
        assert found["result"][name] == found["without_reference"][name]
    assert found["result"]["report"] == str(found["folder"] / "report.html")
    assert any(line.startswith("RMSE: ") for line in found["log"])


def test_indices_without_a_reference_are_those_of_their_definitions(layers, tmp_path):
    """The coarse image is enlarged by cubic convolution, and the panchromatic one shrunk and enlarged so."""
    fused, _, coarse, pan = arrays()
    found = assess(tmp_path, **some(layers, "coarse", "pan"), gains="0.3,0.35,0.2")
    assert found["whole"] is None
    enlarged, low = (cubic(image, FINE @ Affine.scale(RATIO), SHAPE) for image in (coarse, cubic(
        pan, FINE, (24, 33), FINE @ Affine.scale(RATIO)
    )))
    valid = np.isfinite(fused[0])
    filled = fused.astype(float)
    d_lambda = literal.d_lambda(filled, enlarged.astype(float), valid)
    d_s = literal.d_s(filled, enlarged.astype(float), pan[0].astype(float), low[0].astype(float), valid)
    values = found["without_reference"]
    assert values["d_lambda"] == pytest.approx(d_lambda, rel=1e-6)
    assert values["d_s"] == pytest.approx(d_s, rel=1e-6)
    assert values["qnr"] == pytest.approx((1 - d_lambda) * (1 - d_s), rel=1e-6)
    assert values["hqnr"] == pytest.approx((1 - values["d_lambda_k"]) * (1 - d_s), rel=1e-6)
    assert values["d_rho"] == pytest.approx(literal.d_rho(filled, pan[0].astype(float)), rel=1e-6)
    holed = np.isnan(filled)
    seen = np.array([
        literal.blurred(np.where(gap, 0, band), gain) / literal.blurred(1.0 - gap, gain)
        for band, gap, gain in zip(filled, holed, (0.3, 0.35, 0.2), strict=True)
    ])
    assert values["d_lambda_k"] == pytest.approx(1 - literal.q2n(enlarged, seen.astype(np.float32), valid), rel=1e-6)


def cubic(image, transform, shape, onto=FINE):
    """GDAL's cubic convolution, antialiased where pixels get larger."""
    found = np.full((len(image), *shape), np.nan, np.float32)
    rasterio.warp.reproject(
        image.astype(np.float32), found, src_transform=transform, dst_transform=onto, src_crs=CRS, dst_crs=CRS,
        resampling=rasterio.warp.Resampling.cubic,
    )
    return found


def test_a_coarse_image_that_was_resampled_before_needs_the_ratio(layers, tmp_path):
    """It then gives what the coarse image itself gives."""
    _, _, coarse, _ = arrays()
    native = assess(tmp_path, **some(layers, "coarse", "pan"))
    layers["coarse"] = write_raster(tmp_path / "enlarged.tif", cubic(coarse, FINE @ Affine.scale(RATIO), SHAPE))
    assert "give 'Ratio of coarse to fine pixel size'" in assess(tmp_path, 2, **some(layers, "coarse"))
    given = assess(tmp_path, **some(layers, "coarse", "pan"), ratio=4.0)
    for name, value in native["without_reference"].items():
        assert given["without_reference"][name] == pytest.approx(value, rel=1e-6), name


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Layers of 256 x 264 pixels with classes, and what one tile and one thread find."""
    folder = tmp_path_factory.mktemp("large")
    values = {"class_map": write_raster(folder / "classes.tif", (np.indices((256, 264)).sum(0) // 90).astype(np.uint8))}
    for name, image in zip(("predicted", "reference", "coarse", "pan"), arrays(), strict=True):
        coarse = name == "coarse"
        tiled = np.tile(image, (1, 3, 2))[:, : 64 if coarse else 256].astype(np.float32)
        values[name] = write_raster(folder / f"{name}.tif", tiled, FINE @ Affine.scale(RATIO) if coarse else FINE)
    one = assess(folder, settings={"memory_mb": 4096, "threads": 1}, **values, error=str(folder / "error.tif"))
    return values, one


@pytest.mark.parametrize(("tile", "threads"), [(None, 3), ((64, 96), 2), ((32, 264), 1)])
def test_neither_tiles_nor_threads_change_anything(large, tmp_path, tile, threads, monkeypatch):
    values, one = large
    if tile:
        for module in (_assess_fusion,):
            monkeypatch.setattr(module, "tile_of", lambda *given: tile)
    error = tmp_path / "error.tif"
    other = assess(tmp_path, settings={"memory_mb": 400, "threads": threads}, **values, error=str(error))
    for part in ("whole", *one["zones"]):
        ours, theirs = (found["whole"] if part == "whole" else found["zones"][part] for found in (other, one))
        for name in ALL:
            assert ours[name]["mean"] == pytest.approx(theirs[name]["mean"], rel=1e-11, abs=1e-12), name
    assert other["without_reference"] == pytest.approx(one["without_reference"], rel=1e-11)
    np.testing.assert_array_equal(read_raster(one["result"]["error"]), read_raster(error))


def test_classes_and_zones_are_the_image_under_a_mask(layers, tmp_path):
    """By a class map with names and by polygons of another coordinate system; a class that is nowhere valid is said."""
    fused, truth, *_ = arrays()
    classes = np.ones(SHAPE, np.uint8)
    classes[:, 66:] = 2
    classes[HOLE] = 7
    classes[:8] = 0
    mapped = write_raster(tmp_path / "classes.tif", classes, nodata=0)
    (tmp_path / "classes.tif.aux.xml").write_text(
        "<PAMDataset><PAMRasterBand band='1'><CategoryNames><Category/><Category>water</Category><Category>wood"
        "</Category></CategoryNames></PAMRasterBand></PAMDataset>", encoding="utf-8",
    )
    left, top = FINE.c, FINE.f
    polygons = [shapely.box(left + 30 * a, top - 96 * 30, left + 30 * b, top - 8 * 30) for a, b in ((0, 66), (66, 132))]
    areas = tmp_path / "areas.gpkg"
    to_degrees = rasterio.warp.transform_geom(CRS, "EPSG:4326", [shapely.geometry.mapping(p) for p in polygons])
    pyogrio.raw.write(
        str(areas), shapely.to_wkb([shapely.geometry.shape(p) for p in to_degrees]),
        [np.array(["west", "east"], object)], ["place"], crs="EPSG:4326", geometry_type="Polygon",
    )
    by_class = assess(tmp_path, **some(layers, "reference"), class_map=mapped)
    by_zone = assess(tmp_path, **some(layers, "reference"), zones=str(areas), zones_field="place")
    assert list(by_class["zones"]) == ["1 (water)", "2 (wood)", "7"]
    assert list(by_zone["zones"]) == ["east", "west"]
    assert by_class["zones"]["7"]["valid"] == 0
    assert "No valid pixel lies in 1 zone(s): 7." in by_class["notes"]
    for label, zone, number in (("1 (water)", "west", 1), ("2 (wood)", "east", 2)):
        alone = expected(np.where(classes == number, fused, np.nan), truth)
        scores = by_class["zones"][label]
        for name in ("rmse", "mae", "bias", "r", "r2", "sam", "psnr", "rrmse", "rmse_pooled", "uiqi_global"):
            assert scores[name]["mean"] == pytest.approx(alone[name].mean, rel=1e-9), name
            assert by_zone["zones"][zone][name]["mean"] == pytest.approx(alone[name].mean, rel=1e-9), name
        assert scores["valid"] == pytest.approx(alone.valid)
    total = sum(by_class["zones"][label]["valid"] for label in by_class["zones"])
    assert total == pytest.approx((SHAPE[0] - 8) * SHAPE[1] / np.prod(SHAPE) - 30 / np.prod(SHAPE))


def test_windows_belong_to_the_zone_of_their_centre(layers, tmp_path):
    """Their values are those of the whole image: neighbours of another zone take part."""
    _, truth, *_ = arrays()
    fused = truth + np.random.default_rng(3).normal(0, 200, truth.shape).astype(np.float32)
    layers["predicted"] = write_raster(tmp_path / "whole.tif", fused)
    zones = (np.indices(SHAPE)[1] // 5 % 2).astype(np.uint8)
    found = assess(
        tmp_path, **some(layers, "reference"), class_map=write_raster(tmp_path / "zones.tif", zones), data_range=3000.0
    )
    t, p = truth.astype(float), fused.astype(float)
    rows, columns = SHAPE
    for label in (0, 1):
        scores = found["zones"][str(label)]
        for band in range(3):
            _, similar = structural_similarity(
                t[band], p[band], gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=3000,
                full=True,
            )
            inside = np.s_[5 : rows - 5, 5 : columns - 5]
            assert scores["ssim"]["bands"][band] == pytest.approx(
                similar[inside][zones[inside] == label].mean(), rel=1e-9
            )
        edges = [np.abs(i[:, :-1, :-1] - i[:, 1:, 1:]) + np.abs(i[:, :-1, 1:] - i[:, 1:, :-1]) for i in (p, t)]
        edge = (edges[0] - edges[1]) / (edges[0] + edges[1])
        np.testing.assert_allclose(scores["edge"]["bands"], edge[:, zones[1:, 1:] == label].mean(1), rtol=1e-9)
        qualities = [
            literal.quality(p[0, i : i + 8, j : j + 8], t[0, i : i + 8, j : j + 8])
            for i in range(rows - 7) for j in range(columns - 7) if zones[i + 4, j + 4] == label
        ]
        assert scores["uiqi"]["bands"][0] == pytest.approx(np.mean(qualities), rel=1e-9)


def test_a_mask_leaves_pixels_out_and_their_values_change_nothing(layers, tmp_path):
    fused, truth, *_ = arrays()
    mask = np.zeros(SHAPE, np.uint8)
    mask[10:30, 20:45] = 1
    masked = write_raster(tmp_path / "mask.tif", mask)
    by_hand = expected(np.where(mask == 0, fused, np.nan), truth)
    wild = np.where(mask == 1, 30000, np.nan_to_num(fused, nan=-1)).astype(np.int16)
    layers["predicted"] = write_raster(tmp_path / "wild.tif", wild, nodata=-1)
    bright = np.where(mask == 1, 9e4, truth).astype(np.float32)
    bright[(slice(None), *HOLE)] = -9e4
    layers["reference"] = write_raster(tmp_path / "bright.tif", bright)
    for which in ("predicted_mask", "reference_mask"):
        found = assess(tmp_path, **some(layers, "reference"), **{which: masked})
        assert found["whole"]["valid"] == by_hand.valid
        for name in ("rmse", "ssim", "uiqi", "sam", "q2n", "scc", "lbp", "edge", "psnr_cube", "r2"):
            assert found["whole"][name]["mean"] == pytest.approx(by_hand[name].mean, rel=1e-9, abs=1e-12), name


def test_a_reference_of_another_extent_is_read_where_it_is(layers, tmp_path):
    fused, truth, *_ = arrays()
    part = write_raster(tmp_path / "part.tif", truth[:, 6:80, 11:], FINE @ Affine.translation(11, 6))
    found = assess(tmp_path, predicted=layers["predicted"], reference=part)
    inside = np.full(truth.shape, np.nan, np.float32)
    inside[:, 6:80, 11:] = truth[:, 6:80, 11:]
    scores = expected(fused, inside)
    for name in ("rmse", "ssim", "r", "lbp", "scc"):
        assert found["whole"][name]["mean"] == pytest.approx(scores[name].mean, rel=1e-9), name


def test_bands_are_chosen_for_each_image(layers, tmp_path):
    fused, truth, *_ = arrays()
    found = assess(tmp_path, **some(layers, "reference"), fused_bands=[3, 1], reference_bands=[3, 1])
    scores = expected(fused[[2, 0]], truth[[2, 0]])
    assert found["whole"]["sam"]["mean"] == pytest.approx(scores["sam"].mean)
    one = write_raster(tmp_path / "one.tif", np.nan_to_num(fused[1:2], nan=-1).astype(np.int16), nodata=-1)
    found = assess(tmp_path, predicted=one, reference=layers["reference"], reference_bands=[2])
    assert found["whole"]["rmse"]["mean"] == pytest.approx(expected(fused[1:2], truth[1:2])["rmse"].mean)
    assert "SAM (°) is unknown: an angle needs two bands." in found["whole"]["reasons"]
    assert "sam" not in found["result"]


def test_a_constant_band_is_unknown_where_it_has_to_vary(layers, tmp_path):
    _, truth, *_ = arrays()
    truth[1] = 700
    flat = write_raster(tmp_path / "flat.tif", truth)
    found = assess(tmp_path, predicted=layers["predicted"], reference=flat)
    assert found["whole"]["r"]["mean"] is None
    assert found["whole"]["rmse"]["mean"] > 0
    assert "r of band 2 is unknown: one of the images is constant." in found["whole"]["reasons"]
    assert "r" not in found["result"]
    assert any("constant and normalised by its mean" in note for note in found["notes"])


def test_rasters_of_errors_and_angles_come_with_styles(layers, tmp_path):
    fused, truth, *_ = arrays()
    error, angle = tmp_path / "error.tif", tmp_path / "angle.tif"
    found = assess(tmp_path, **some(layers, "reference"), error=str(error), angle=str(angle))
    assert (found["result"]["error"], found["result"]["angle"]) == (str(error), str(angle))
    np.testing.assert_array_equal(read_raster(error), fused - truth)
    p, t = fused.astype(float), truth.astype(float)
    cosine = (p * t).sum(0) / np.sqrt((p**2).sum(0) * (t**2).sum(0))
    np.testing.assert_allclose(read_raster(angle)[0], np.degrees(np.arccos(cosine)), rtol=1e-5)
    assert np.nanmean(read_raster(angle)) == pytest.approx(found["whole"]["sam"]["mean"], rel=1e-6)
    for path, diverging in ((error, True), (angle, False)):
        with rasterio.open(path) as dataset:
            assert (dataset.crs, dataset.transform, dataset.shape) == (CRS, FINE, SHAPE)
            assert np.isnan(dataset.nodata)
        style = ET.fromstring(path.with_suffix(".qml").read_text(encoding="utf-8").split("\n", 1)[1])
        values = [float(item.get("value")) for item in style.iter("item")]
        assert values == sorted(values)
        assert values[0] == (pytest.approx(-values[-1]) if diverging else 0)
        assert style.find(".//rasterrenderer").get("type") == "singlebandpseudocolor"
    limit = np.nanpercentile(np.abs(fused[0] - truth[0]), 98)
    assert float(re.search('classificationMax="(.*?)"', error.with_suffix(".qml").read_text())[1]) == pytest.approx(
        limit, rel=0.1
    )


def test_errors_in_reflectance(layers, tmp_path):
    plain = assess(tmp_path, **some(layers, "reference"))
    found = assess(tmp_path, **some(layers, "reference"), unit=10000.0)
    for name, metric in ALL.items():
        factor = 10000 if metric.in_unit else 1
        if plain["whole"][name]["mean"] is not None:
            assert found["whole"][name]["mean"] * factor == pytest.approx(plain["whole"][name]["mean"]), name
    assert found["unit"] == "reflectance (value / 10000)"


def test_the_table_has_a_line_for_every_part_and_band(layers, tmp_path):
    classes = write_raster(tmp_path / "classes.tif", np.ones(SHAPE, np.uint8))
    found = assess(tmp_path, **layers, class_map=classes)
    with (found["folder"] / "results.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["part"], row["band"]) for row in rows] == [
        (part, band) for part in ("whole image", "1") for band in ("mean", "Band 1", "Band 2", "Band 3")
    ]
    assert float(rows[2]["rmse"]) == found["whole"]["rmse"]["bands"][1]
    assert float(rows[0]["qnr"]) == found["without_reference"]["qnr"]
    assert rows[4]["qnr"] == rows[1]["sam"] == ""


def test_the_report_is_one_file_with_its_pictures(layers, tmp_path, monkeypatch):
    monkeypatch.setattr(_fusion_report, "_pictures", DRAW)
    classes = write_raster(tmp_path / "classes.tif", np.ones(SHAPE, np.uint8))
    found = assess(tmp_path, **layers, class_map=classes)
    page = (found["folder"] / "report.html").read_text(encoding="utf-8")
    assert "http" not in page
    assert re.findall(r'(?:src|href)="(?!data:)', page) == []
    assert len(re.findall(r'src="data:image/png;base64,', page)) == 4
    for metric in (*ALL.values(), *INDICES.values()):
        assert metric.title in page, metric.title
    assert f"{found['whole']['rmse']['mean']:.6g}" in page
    ET.fromstring(page.replace("<!DOCTYPE html>", ""))
    alone = assess(tmp_path, **some(layers, "coarse"))
    page = (alone["folder"] / "report.html").read_text(encoding="utf-8")
    assert "Agreement with the reference" not in page
    assert len(re.findall(r'src="data:image/png;base64,', page)) == 1


def test_sensors_have_gains(layers, tmp_path):
    sentence = assess(tmp_path, 2, **some(layers, "coarse"), sensor="QuickBird")
    assert "QuickBird has the gains of 4 band(s) and the image has 3" in sentence
    assert "'Gains of the bands' has 2 band(s)" in assess(tmp_path, 2, **some(layers, "coarse"), gains="0.3, 0.2")
    for text in ("a", "1.5", "0.3,,0.2"):
        assert "write numbers from 0.01 to 0.99" in assess(tmp_path, 2, **some(layers, "coarse"), gains=text)
