"""HDF4 is read by QGIS's GDAL and handed to the engine as GeoTIFFs."""

from __future__ import annotations

import json

import numpy as np
import pytest
from osgeo import gdal, osr
from qgis.core import QgsRasterLayer

from conftest import FINE_PIXEL, RATIO, read
from recording import Recorder

NAME = "MOD09GA.A2020275.h08v05.061.2020277071234"


def hdf(path, image, pixel, several=True):
    """An HDF4 file whose bands are data sets of their own, or one image."""
    bands, rows, columns = image.shape
    driver = gdal.GetDriverByName("HDF4Image")
    if driver is None:
        pytest.skip("this GDAL has no HDF4")
    file = driver.Create(str(path), columns, rows, bands, gdal.GDT_Int16, [f"RANK={2 if several else 3}"])
    file.SetGeoTransform((600000.0, pixel, 0.0, 3700000.0, 0.0, -pixel))
    crs = osr.SpatialReference()
    crs.ImportFromEPSG(32611)
    file.SetProjection(crs.ExportToWkt())
    for number in range(bands):
        file.GetRasterBand(number + 1).WriteArray(image[number])
        file.GetRasterBand(number + 1).SetNoDataValue(-28672)
    del file
    return str(path)


@pytest.fixture
def image():
    return np.arange(96, dtype=np.int16).reshape(2, 6, 8)


def job(**paths):
    return {"inputs": {role: {"path": path} for role, path in paths.items()}}


def test_container_becomes_a_file_for_each_field(qgis, tmp_path, image):
    from stf_qgis_plugin.layers.containers import hand_over

    order = job(products=[hdf(tmp_path / f"{NAME}.hdf", image, 500.0), "other.tif"])
    feedback = Recorder()
    hand_over(order, tmp_path / "temporary", feedback)
    first, second, other = order["inputs"]["products"]["path"]
    assert [path.rpartition("/")[2] for path in (first, second)] == [f"{NAME}.Band0.tif", f"{NAME}.Band1.tif"]
    assert other == "other.tif"
    assert np.array_equal(read(second), image[1])
    written = gdal.Open(second)
    assert written.GetGeoTransform() == (600000.0, 500.0, 0.0, 3700000.0, 0.0, -500.0)
    assert written.GetRasterBand(1).GetNoDataValue() == -28672
    assert feedback.progress[-1] == 100.0
    assert feedback.progress == sorted(feedback.progress)
    assert f"Reading 'Band1' of '{NAME}' for the engine…" in feedback.texts("stage")


def test_subdataset_and_image_become_one_file(qgis, tmp_path, image):
    from stf_qgis_plugin.layers.containers import hand_over

    several = hdf(tmp_path / f"{NAME}.hdf", image, 500.0)
    single = hdf(tmp_path / "one_20200101.hdf", image, 500.0, several=False)
    order = job(fine=f'HDF4_SDS:GDAL_HDF4:"{several}":1', coarse=single)
    order["inputs"]["fine"]["mask"] = f'HDF4_SDS:GDAL_HDF4:"{several}":0'
    hand_over(order, tmp_path, Recorder())
    fine, coarse = order["inputs"]["fine"], order["inputs"]["coarse"]["path"]
    assert np.array_equal(read(fine["path"]), image[1])
    assert np.array_equal(read(fine["mask"]), image[0])
    assert fine["path"].rpartition("/")[2].startswith(f"{NAME}.")
    assert np.array_equal(read(coarse), image)
    assert coarse.rpartition("/")[2].startswith("one_20200101.")


def test_folder_with_containers_becomes_files(qgis, tmp_path, image):
    from stf_qgis_plugin.layers.containers import hand_over

    folder = tmp_path / "downloads"
    for name in ("modis/2020", "landsat"):
        (folder / name).mkdir(parents=True)
    hdf(folder / "modis" / "2020" / f"{NAME}.hdf", image, 500.0)
    for name in ("modis/VNP09GA.h5", "modis/notes.txt", "landsat/LC08_MTL.txt"):
        (folder / name).write_text("other", encoding="utf-8")
    order = job(folder=str(folder), products="first.tif")
    hand_over(order, tmp_path / "temporary", Recorder(), {"folder": "products"})
    temporary = str(tmp_path / "temporary")
    assert order == job(products=[
        "first.tif", str(folder / "landsat"), f"{temporary}/{NAME}.Band0.tif", f"{temporary}/{NAME}.Band1.tif",
        str(folder / "modis" / "VNP09GA.h5"),
    ])


def test_folders_of_two_sensors_are_kept_apart(provider, tmp_path, image):
    (tmp_path / "modis").mkdir()
    hdf(tmp_path / "modis" / f"{NAME}.hdf", image, 500.0)
    order = job(fine=["fine_20200101.tif"], coarse_folder=str(tmp_path / "modis"))
    provider.algorithm("prepare_and_fuse").create()._hand_over(order, tmp_path / "temporary", Recorder())
    assert order["inputs"]["fine"] == {"path": ["fine_20200101.tif"]}
    assert [path.rpartition("/")[2] for path in order["inputs"]["coarse"]["path"]] == [
        f"{NAME}.Band0.tif", f"{NAME}.Band1.tif",
    ]
    assert "coarse_folder" not in order["inputs"]


@pytest.mark.parametrize("given", ["FOLDER", "PRODUCTS"])
def test_modis_download_is_imported(provider, engine, run, tmp_path, given, monkeypatch):
    """GDAL cannot write the names of MODIS's fields: they are put in its mouth."""
    from stf_qgis_plugin.layers import containers

    names = {"Band0": "sur_refl_b01_1", "Band1": "sur_refl_b02_1"}
    fields = containers._fields
    monkeypatch.setattr(containers, "_fields", lambda source: {names[k]: v for k, v in fields(source).items()})
    (tmp_path / "downloads").mkdir()
    image = np.arange(96, dtype=np.int16).reshape(2, 6, 8) + 100
    path = hdf(tmp_path / "downloads" / f"{NAME}.hdf", image, 500.0)
    values = {given: str(tmp_path / "downloads") if given == "FOLDER" else [path], "BANDS": "red,NIR",
              "OUTPUT": str(tmp_path / "stack"), "LOAD": False}
    results, ok = provider.algorithm("import_products").create().run(values, run.context, run.feedback)
    assert ok, run.feedback.textLog()
    assert results["IMAGES"] == 1
    (written,) = (tmp_path / "stack").glob("*.tif")
    assert written.name.endswith("_20201001.tif")
    assert np.array_equal(read(str(written)), image)


def test_what_the_engine_reads_is_left_alone(qgis, tmp_path, scene):
    from stf_qgis_plugin.layers.containers import hand_over

    paths = {"fine": scene.fine, "coarse": [scene.coarse, "NETCDF:\"a.nc\":red"], "folder": str(tmp_path),
             "target": "/vsizip/a.zip/b.tif"}
    order = job(**paths)
    hand_over(order, tmp_path, Recorder())
    assert order == job(**paths)


def test_truncated_file_is_named(qgis, tmp_path):
    from qgis.core import QgsProcessingException

    from stf_qgis_plugin.layers.containers import hand_over

    (tmp_path / f"{NAME}.hdf").write_bytes(b"\x0e\x03\x13\x01" + b"broken off")
    with pytest.raises(QgsProcessingException, match=rf"'{NAME}' is an HDF4 file that QGIS cannot read either"):
        hand_over(job(products=str(tmp_path / f"{NAME}.hdf")), tmp_path / "temporary", Recorder())


def test_cancel_leaves_nothing(qgis, tmp_path, image):
    from stf_qgis_plugin.engine.process import Cancelled
    from stf_qgis_plugin.layers.containers import hand_over

    order = job(products=hdf(tmp_path / f"{NAME}.hdf", image, 500.0))
    with pytest.raises(Cancelled):
        hand_over(order, tmp_path / "temporary", Recorder(cancel_on="Band1"))
    assert [path.name for path in (tmp_path / "temporary").iterdir()] == [f"{NAME}.Band0.tif"]


def test_coarse_image_of_hdf4_is_fused(starfm, engine, run, scene, tmp_path):
    """From a layer of the form to the engine, whose GDAL has no such driver."""
    target = hdf(tmp_path / "coarse_20200301.hdf", read(scene.target), FINE_PIXEL * RATIO, several=False)
    layer = QgsRasterLayer(target, "HDF4")
    assert layer.isValid()
    values = {"FINE": scene.fine, "COARSE": scene.coarse, "WINDOW": 11, "OUTPUT": scene.out}
    fused = []
    for given in (layer, scene.target):
        _, ok = starfm.create().run({**values, "TARGET": given}, run.context, run.feedback)
        assert ok, run.feedback.textLog()
        fused.append(read(scene.out))
    assert np.array_equal(*fused)
    assert np.ptp(fused[0]) > 0


def test_exported_job_has_its_files_beside_it(starfm, engine, run, scene, tmp_path):
    target = hdf(tmp_path / "coarse_20200301.hdf", read(scene.target), FINE_PIXEL * RATIO, several=False)
    values = {"FINE": scene.fine, "COARSE": scene.coarse, "TARGET": QgsRasterLayer(target, "HDF4"),
              "OUTPUT": scene.out, "EXPORT_JOB": str(tmp_path / "later.json")}
    _, ok = starfm.run(values, run.context, run.feedback)
    assert ok, run.feedback.textLog()
    order = json.loads((tmp_path / "later.json").read_text(encoding="utf-8"))
    assert order["inputs"]["target"]["path"] == str(tmp_path / "later_inputs" / "coarse_20200301.image.tif")
    assert np.array_equal(read(order["inputs"]["target"]["path"]), read(scene.target))
