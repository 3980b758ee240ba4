"""What is written: encoding, georeference, provenance, and nothing half-written."""

from __future__ import annotations

import json
import resource
import shutil
import signal
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

from makers import CRS, FINE, read_raster, run_method, write_raster
from stfusion.raster.output import Encoding


def encoding(dtype: str, nodata: float, scale: float = 1.0, offset: float = 0.0) -> Encoding:
    return Encoding(np.dtype(dtype), nodata, np.array([scale]), np.array([offset]))


@given(st.integers(-32767, 32767), st.sampled_from([1.0, 1e-4, 0.01]), st.sampled_from([0.0, 0.5, -0.2]))
def test_integers_survive_the_round_trip(stored: int, scale: float, offset: float) -> None:
    value = np.array([[[stored * scale + offset]]], np.float32)
    found, clipped = encoding("int16", -32768, scale, offset).encode(value)
    # float32 resolves 2^24 steps; with an offset the step of the data type is still coarser.
    assert found.item() == stored
    assert clipped == 0


def test_nan_is_nodata_and_data_is_not() -> None:
    stored, clipped = encoding("uint16", 0).encode(np.array([[[np.nan, 0.2, -3.0, 7.4, 7e4]]], np.float32))
    np.testing.assert_array_equal(stored[0, 0], [0, 1, 1, 7, 65535])
    assert clipped == 2
    stored, _ = encoding("float32", -1.0).encode(np.array([[[np.nan, -1.0, 0.5]]], np.float32))
    assert stored[0, 0, 0] == -1
    assert -1 < stored[0, 0, 1] < -0.999999


@pytest.mark.parametrize(
    ("dtype", "header", "expected"),
    [("uint16", None, 65535), ("int16", None, -32768), ("uint8", -9999, 255), ("int16", -9999, -9999), ("uint8", 0, 0)],
)
def test_nodata_value_of_the_result(tmp_path: Path, dtype: str, header: int | None, expected: int) -> None:
    """An image without a usable nodata value gets one, since the result may have gaps."""
    fine = np.full((1, 12, 12), 50, dtype)
    # A header can hold a value that the data type cannot.
    path = tmp_path / "fine.tif"
    write_raster(path, fine, nodata=header if header is None or header >= np.iinfo(dtype).min else None)
    vrt = path
    if header is not None and header < np.iinfo(dtype).min:
        vrt = tmp_path / "fine.vrt"
        vrt.write_text(
            f'<VRTDataset rasterXSize="12" rasterYSize="12"><SRS>{CRS}</SRS><GeoTransform>500000,30,0,5200000,0,-30'
            f'</GeoTransform><VRTRasterBand dataType="Byte" band="1"><NoDataValue>{header}</NoDataValue><SimpleSource>'
            f"<SourceFilename>{path}</SourceFilename><SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"
        )
    coarse = fine.astype(np.float32)
    target = coarse.copy()
    target[0, 3, 3] = np.nan
    outcome = run_method(
        "starfm",
        fine=str(vrt),
        coarse=write_raster(tmp_path / "c.tif", coarse),
        window=3,
        target=write_raster(tmp_path / "t.tif", target),
        output=str(tmp_path / "o.tif"),
    )
    assert outcome.code == 0
    with rasterio.open(tmp_path / "o.tif") as dataset:
        assert dataset.nodata == expected
        assert dataset.dtypes == (dtype,)
        assert dataset.read(1)[3, 3] == expected
        assert dataset.read(1)[0, 0] == 50


def test_result_keeps_all_of_the_fine_image_and_says_where_it_comes_from(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    fine = rng.integers(100, 4000, (2, 70, 50)).astype(np.int16)
    path = write_raster(
        tmp_path / "fine.tif", fine, nodata=-9999, scales=(1e-4, 1e-4), offsets=(0.0, 0.1), descriptions=("red", "nir")
    )
    coarse = write_raster(tmp_path / "c_20210420.tif", np.full((2, 5, 4), 0.2, np.float32), FINE @ Affine.scale(16))
    target = write_raster(tmp_path / "c_20210522.tif", np.full((2, 5, 4), 0.25, np.float32), FINE @ Affine.scale(16))
    outcome = run_method(
        "starfm",
        settings={"seed": 7},
        fine=path,
        coarse=coarse,
        target=target,
        window=9,
        output=str(tmp_path / "o.tif"),
    )
    assert outcome.code == 0
    assert outcome.said.of("result") == [{"output": str(tmp_path / "o.tif"), "date": "2021-05-22"}]
    with rasterio.open(path) as before, rasterio.open(tmp_path / "o.tif") as after:
        for name in ("crs", "transform", "shape", "dtypes", "nodata", "scales", "offsets", "descriptions"):
            assert getattr(before, name) == getattr(after, name), name
        tags = after.tags()
        assert after.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
    assert tags["TIFFTAG_DATETIME"] == "2021:05:22 00:00:00"
    assert tags["STF_METHOD"] == "fuse starfm"
    assert json.loads(tags["STF_OPTIONS"])["window"] == 9
    assert json.loads(tags["STF_INPUTS"])["target"] == "c_20210522.tif"
    assert tags["STF_SEED"] == "7"
    assert tags["STF_ENGINE"].startswith("stfusion ")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["c_20210420.tif", "c_20210522.tif", "fine.tif", "o.tif"]


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, str]:
    folder = tmp_path / "in"
    folder.mkdir()
    values = np.random.default_rng(1).random((1, 600, 600)).astype(np.float32)
    return {name: write_raster(folder / f"{name}.tif", values) for name in ("fine", "coarse", "target")}


def test_folder_of_the_output_is_missing(tmp_path: Path, inputs: dict[str, str]) -> None:
    outcome = run_method("starfm", **inputs, output=str(tmp_path / "no" / "o.tif"))
    assert outcome.code == 2
    assert outcome.error == f"The folder '{tmp_path / 'no'}' of the output does not exist; create it or choose another."


def test_no_write_permission(tmp_path: Path, inputs: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The permission is refused by hand, since root may write everywhere."""

    def refuse(self: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    outcome = run_method("starfm", **inputs, output=str(tmp_path / "o.tif"))
    assert outcome.code == 2
    assert (
        outcome.error
        == f"The output '{tmp_path / 'o.tif'}' cannot be written (Permission denied); choose another folder."
    )


def test_disk_full_before_the_run(tmp_path: Path, inputs: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9 - 10**6, 10**6))
    outcome = run_method("starfm", **inputs, output=str(tmp_path / "o.tif"))
    assert outcome.code == 2
    assert "needs 3 MB while it is written and the disk has 1 MB free" in outcome.error
    assert not list(tmp_path.glob("o.tif*"))


@pytest.mark.parametrize("limit", [200_000, 1_500_000])
def test_disk_full_while_writing(tmp_path: Path, inputs: dict[str, str], limit: int) -> None:
    """The kernel lets no file grow beyond a limit, as on a full disk: first the tiles hit it, then the COG."""
    old = tmp_path / "o.tif"
    old.write_bytes(b"an older result")

    def refuse_growth() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    flags = [part for name in ("fine", "coarse", "target") for part in (f"--{name}", inputs[name])]
    done = subprocess.run(
        [sys.executable, "-m", "stfusion", "fuse", "starfm", *flags, "--window", "3", "--out", str(old)],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=refuse_growth,
    )
    assert done.returncode == 2, done.stderr
    assert "the disk may be full" in done.stderr.splitlines()[-1]
    assert old.read_bytes() == b"an older result"
    assert [p.name for p in tmp_path.iterdir() if p.name != "in"] == ["o.tif"]


def test_an_older_result_is_replaced_at_the_end(tmp_path: Path, inputs: dict[str, str]) -> None:
    old = tmp_path / "o.tif"
    old.write_bytes(b"an older result")
    assert run_method("starfm", **inputs, window=3, output=str(old)).code == 0
    assert read_raster(old).shape == (1, 600, 600)
