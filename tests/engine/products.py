"""Makers of tiny downloads with the folders, names and metadata of the real products."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np
import rasterio
from affine import Affine

from makers import write_raster

SIZE = 24
UTM = "EPSG:32610"
#: 30 m, and the 10 m of Sentinel-2, from one corner.
GRID_30 = Affine(30.0, 0.0, 600_000.0, 0.0, -30.0, 4_200_000.0)
GRID_10 = Affine(10.0, 0.0, 600_000.0, 0.0, -10.0, 4_200_000.0)

LANDSAT = "LC08_L2SP_044033_20201002_20201007_02_T1"
SENTINEL2 = "S2A_MSIL2A_20220713T184931_N0400_R113_T10SFH_20220714T020055.SAFE"
HLS = "HLS.L30.T10SFH.2020276T184531.v2.0"
MODIS = "MOD09GA.A2020276.h08v05.061.2020278033838"
VIIRS = "VNP09GA.A2020276.h08v05.002.2021104051342"

_MTL = """GROUP = LANDSAT_METADATA_FILE
  GROUP = PRODUCT_CONTENTS
    LANDSAT_PRODUCT_ID = "{product}"
    PROCESSING_LEVEL = "{level}"
  END_GROUP = PRODUCT_CONTENTS
  GROUP = IMAGE_ATTRIBUTES
    SPACECRAFT_ID = "LANDSAT_8"
    DATE_ACQUIRED = {day}
    SUN_ELEVATION = 30.0
  END_GROUP = IMAGE_ATTRIBUTES
{surface}  GROUP = LEVEL1_RADIOMETRIC_RESCALING
{level1}  END_GROUP = LEVEL1_RADIOMETRIC_RESCALING
END_GROUP = LANDSAT_METADATA_FILE
END
"""
_S2 = """<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<n1:Level-2A_User_Product xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/User_Product_Level-2A.xsd">
  <n1:General_Info>
    <Product_Info>
      <PRODUCT_START_TIME>2022-07-13T18:49:31.024Z</PRODUCT_START_TIME>
      <PROCESSING_BASELINE>{baseline}</PROCESSING_BASELINE>
    </Product_Info>
    <Product_Image_Characteristics>
      <QUANTIFICATION_VALUES_LIST>
        <BOA_QUANTIFICATION_VALUE unit="none">10000</BOA_QUANTIFICATION_VALUE>
      </QUANTIFICATION_VALUES_LIST>
{offsets}    </Product_Image_Characteristics>
  </n1:General_Info>
</n1:Level-2A_User_Product>
"""


def numbers(seed: int, low: int, high: int, size: int = SIZE, dtype: str = "uint16") -> np.ndarray:
    """Random stored values (size, size)."""
    return np.random.default_rng(seed).integers(low, high, (size, size)).astype(dtype)


def landsat(
    folder: Path, qa: np.ndarray | None = None, product: str = LANDSAT, bands: str = "1234567", scales: bool = True,
    day: str = "2020-10-02", values: Mapping[str, np.ndarray] | None = None, grid: Affine = GRID_30,
) -> dict[str, np.ndarray]:
    """A Landsat folder of level 1 or 2; the stored values by band number, random ones where none are given."""
    folder.mkdir(parents=True, exist_ok=True)
    second = "_L2" in product
    found = {}
    for number in bands:
        found[number] = numbers(int(number), 7500, 20000) if values is None else values[number]
        if values is None:
            found[number][0, 0] = 0
        name = f"{product}_SR_B{number}.TIF" if second else f"{product}_B{number}.TIF"
        write_raster(folder / name, found[number], grid, UTM)
    clear = np.full_like(found[number], 21824)
    clear[0, 0] = 1
    write_raster(folder / f"{product}_QA_PIXEL.TIF", clear if qa is None else qa, grid, UTM)
    write_raster(folder / f"{product}_QA_RADSAT.TIF", np.zeros_like(clear), grid, UTM)
    lines = "".join(
        f"    REFLECTANCE_MULT_BAND_{n} = 2.75e-05\n    REFLECTANCE_ADD_BAND_{n} = -0.2\n" for n in bands
    ) if scales else ""
    name = "LEVEL2_SURFACE_REFLECTANCE_PARAMETERS"
    level1 = "".join(
        f"    REFLECTANCE_MULT_BAND_{n} = 2.0000E-05\n    REFLECTANCE_ADD_BAND_{n} = -0.100000\n" for n in bands
    )
    text = _MTL.format(
        product=product, level=product[5:9], day=day, level1=level1,
        surface=f"  GROUP = {name}\n{lines}  END_GROUP = {name}\n" if second else "",
    )
    (folder / f"{product}_MTL.txt").write_text(text, encoding="utf-8")
    return found


def write_jp2(path: Path, values: np.ndarray, transform: Affine) -> None:
    """Write a band as JPEG 2000 without loss."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        path, "w", driver="JP2OpenJPEG", height=values.shape[0], width=values.shape[1], count=1, dtype=values.dtype,
        crs=UTM, transform=transform, QUALITY="100", REVERSIBLE="YES",
    ) as dataset:
        dataset.write(values, 1)


def sentinel2(
    parent: Path, scl: np.ndarray | None = None, product: str = SENTINEL2, baseline: str = "04.00"
) -> dict[tuple[str, int], np.ndarray]:
    """A SAFE folder with three bands at 10 m and three at 20 m; the stored values by band and size."""
    safe = parent / product
    images = safe / "GRANULE" / "L2A_T10SFH_A036863_20220713T185923" / "IMG_DATA"
    found = {}
    layers = {10: ("B02", "B03", "B04", "B08"), 20: ("B02", "B03", "B04", "B05", "B06", "B07", "B8A", "B11", "B12")}
    for size, bands in layers.items():
        for seed, band in enumerate(bands):
            values = numbers(seed + size, 1100, 5000, 2 * SIZE * 10 // size)
            values[:2, :2] = 0
            found[band, size] = values
            grid = GRID_10 * Affine.scale(size / 10)
            write_jp2(images / f"R{size}m" / f"T10SFH_20220713T184931_{band}_{size}m.jp2", values, grid)
    classes = np.full((SIZE, SIZE), 4, np.uint8) if scl is None else scl
    write_jp2(images / "R20m" / "T10SFH_20220713T184931_SCL_20m.jp2", classes, GRID_10 * Affine.scale(2))
    offsets = "".join(f'        <BOA_ADD_OFFSET band_id="{n}">-1000</BOA_ADD_OFFSET>\n' for n in range(13))
    listed = f"      <BOA_ADD_OFFSET_VALUES_LIST>\n{offsets}      </BOA_ADD_OFFSET_VALUES_LIST>\n"
    (safe / "MTD_MSIL2A.xml").write_text(
        _S2.format(baseline=baseline, offsets=listed if baseline >= "04.00" else ""), encoding="utf-8"
    )
    return found


def hls(
    folder: Path, fmask: np.ndarray | None = None, product: str = HLS, bands: tuple[str, ...] = (
        "B01", "B02", "B03", "B04", "B05", "B06", "B07"
    )
) -> dict[str, np.ndarray]:
    """A folder of HLS files; the stored values by band."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for seed, band in enumerate(bands):
        found[band] = numbers(seed, -50, 6000, dtype="int16")
        found[band][0, 0] = -9999
        write_raster(folder / f"{product}.{band}.tif", found[band], GRID_30, UTM, nodata=-9999)
    clear = np.full((SIZE, SIZE), 64, np.uint8)
    clear[0, 0] = 255
    write_raster(folder / f"{product}.Fmask.tif", clear if fmask is None else fmask, GRID_30, UTM, nodata=255)
    write_raster(folder / f"{product}.SZA.tif", np.zeros((SIZE, SIZE), np.uint16), GRID_30, UTM)
    return found


_GRID = """	GROUP=GRID_{number}
		GridName="{name}"
		XDim={size}
		YDim={size}
		UpperLeftPointMtrs=(-11119505.196667,4447802.078667)
		LowerRightMtrs=(-11108385.691,4436682.573)
		Projection=HE5_GCTP_SNSOID
		ProjParams=(6371007.181000,0,0,0,0,0,0,0,0,0,0,0,0)
		SphereCode=-1
		GridOrigin=HE5_HDFE_GD_UL
		GROUP=Dimension
			OBJECT=Dimension_1
				DimensionName="YDim"
				Size={size}
			END_OBJECT=Dimension_1
			OBJECT=Dimension_2
				DimensionName="XDim"
				Size={size}
			END_OBJECT=Dimension_2
		END_GROUP=Dimension
		GROUP=DataField
{fields}		END_GROUP=DataField
		GROUP=MergedFields
		END_GROUP=MergedFields
	END_GROUP=GRID_{number}
"""
_FIELD = """			OBJECT=DataField_{number}
				DataFieldName="{field}"
				DimList=("YDim","XDim")
				MaxdimList=("YDim","XDim")
			END_OBJECT=DataField_{number}
"""


def hdf_eos5(path: Path, grids: Mapping[str, Mapping[str, np.ndarray]], fill: int = -28672) -> Path:
    """An HDF-EOS5 file with gridded fields by the names of their grids."""
    parts = []
    with h5py.File(path, "w") as file:
        for place, (grid, fields) in enumerate(grids.items(), 1):
            group = file.create_group(f"HDFEOS/GRIDS/{grid}/Data Fields")
            for name, values in fields.items():
                data = group.create_dataset(name, data=values)
                if values.dtype == np.int16:
                    data.attrs["_FillValue"] = np.array([fill], np.int16)
                    data.attrs["scale_factor"] = np.array([0.0001])
            said = "".join(_FIELD.format(number=n, field=field) for n, field in enumerate(fields, 1))
            size = len(next(iter(fields.values())))
            parts.append(_GRID.format(number=place, name=grid, size=size, fields=said))
        file.create_group("HDFEOS INFORMATION").attrs["HDFEOSVersion"] = np.bytes_("HDFEOS_5.1.15")
        structure = f"GROUP=GridStructure\n{''.join(parts)}END_GROUP=GridStructure\nEND\n"
        file["HDFEOS INFORMATION/StructMetadata.0"] = np.bytes_(structure)
    return path


def viirs(
    folder: Path, product: str = VIIRS, qf1: np.ndarray | None = None, qf2: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """A file of daily VIIRS reflectance; the stored values by band."""
    folder.mkdir(parents=True, exist_ok=True)
    half = SIZE // 2
    found = {band: numbers(seed, 100, 6000, dtype="int16") for seed, band in enumerate(("I1", "I2", "I3"))}
    found |= {
        band: numbers(seed + 9, 100, 6000, half, dtype="int16")
        for seed, band in enumerate(("M3", "M4", "M5", "M7", "M10", "M11"))
    }
    for values in found.values():
        values[0, 0] = -28672
    coarse = {f"SurfReflect_{band}_1": values for band, values in found.items() if band[0] == "M"}
    flags = {
        "SurfReflect_QF1_1": np.zeros((half, half), np.uint8) if qf1 is None else qf1,
        "SurfReflect_QF2_1": np.ones((half, half), np.uint8) if qf2 is None else qf2,
    }
    fine = {f"SurfReflect_{band}_1": values for band, values in found.items() if band[0] == "I"}
    hdf_eos5(folder / f"{product}.h5", {"VIIRS_Grid_1km_2D": {**coarse, **flags}, "VIIRS_Grid_500m_2D": fine})
    return found


SINUSOIDAL = "+proj=sinu +lon_0=0 +x_0=0 +y_0=0 +R=6371007.181 +units=m +no_defs"
#: The 463 m of the corner of a tile.
GRID_463 = Affine(463.3127165, 0.0, -11119505.196667, 0.0, -463.3127165, 4447802.078667)


def modis_fields(
    folder: Path, state: np.ndarray | None = None, product: str = MODIS, values: Mapping[str, np.ndarray] | None = None,
    grid: Affine = GRID_463,
) -> dict[str, np.ndarray]:
    """GeoTIFFs of the fields of a MOD09GA file, as they are handed over; the stored values by band number."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for number in values or "1234567":
        found[number] = numbers(int(number), -100, 8000, dtype="int16") if values is None else values[number]
        found[number][0, 0] = -28672
        write_raster(folder / f"{product}.sur_refl_b0{number}_1.tif", found[number], grid, SINUSOIDAL, nodata=-28672)
    half = tuple(size // 2 for size in found[number].shape)
    clear = np.full(half, 8, np.uint16) if state is None else state
    write_raster(folder / f"{product}.state_1km_1.tif", clear, grid * Affine.scale(2), SINUSOIDAL, nodata=65535)
    return found


def raw(path: Path, values: np.ndarray, interleave: str) -> Path:
    """Write (bands, rows, columns) without a header: "bil", "bsq" or "bip"."""
    path.parent.mkdir(parents=True, exist_ok=True)
    order = {"bsq": (0, 1, 2), "bil": (1, 0, 2), "bip": (1, 2, 0)}[interleave]
    np.ascontiguousarray(values.transpose(order)).tofile(path)
    return path


def tarred(folder: Path, archive: Path) -> Path:
    """The files of a folder in a tar file, without the folder."""
    with tarfile.open(archive, "w:gz" if archive.suffix == ".gz" else "w") as tar:
        for path in sorted(folder.iterdir()):
            tar.add(path, f"./{path.name}" if archive.suffix == ".gz" else path.name)
    return archive


def zipped(folder: Path, archive: Path) -> Path:
    """A folder in a zip file, with its name."""
    with zipfile.ZipFile(archive, "w") as made:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                made.write(path, path.relative_to(folder.parent))
    return archive
