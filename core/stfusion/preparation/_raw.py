"""Raw images: numbers line by line, band by band or pixel by pixel (BIL, BSQ, BIP), with or without a header.

Without one GDAL is given a description of the layout and reads windows of the file; the file itself is never touched.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from html import escape
from pathlib import Path, PurePosixPath

import numpy as np
import rasterio
from rasterio.errors import RasterioError

from stfusion.declaration import Scalar
from stfusion.errors import UserError
from stfusion.preparation._downloads import Downloads, base
from stfusion.preparation._products import REFLECTANCE, SHARED, Band, Product
from stfusion.raster.dates import find_date

#: Endings of raw images.
ENDINGS = (".bil", ".bip", ".bsq", ".int", ".raw", ".bin")
_TYPES = {
    "uint8": "Byte", "int16": "Int16", "uint16": "UInt16", "int32": "Int32", "uint32": "UInt32", "float32": "Float32",
    "float64": "Float64",
}
#: The type that is taken for so many bytes in a number.
_BY_BYTES = {1: "uint8", 2: "int16", 4: "float32", 8: "float64"}
#: Rows, columns and bands of the raw data sets of CSIRO, in int16: their sizes in bytes tell them.
KNOWN = {"CIA": (2040, 1720, 6), "LGC": (2720, 3200, 6)}
#: Their folders have the local date: year, day of the year, and words.
_FOLDER = re.compile(r"(\d{4})_(\d{3})_\w+")
#: Scale, offset and nodata value, where given.
Numbers = tuple[float | None, float | None, float | None]


@dataclass(frozen=True)
class Layout:
    """How the numbers of a file lie: its shape, the order of its bands, and the type of a number."""

    rows: int
    columns: int
    bands: int
    interleave: str
    dtype: str
    skip: int = 0
    big_endian: bool = False

    @property
    def item(self) -> int:
        """Bytes of a number."""
        return np.dtype(self.dtype).itemsize

    @property
    def bytes(self) -> int:
        """Bytes of the file."""
        return self.skip + self.rows * self.columns * self.bands * self.item

    def __str__(self) -> str:
        return f"{self.rows} x {self.columns} pixels, {self.bands} band(s) of {self.dtype}, {self.interleave.upper()}"

    def strides(self) -> tuple[int, int, int]:
        """Bytes from a band, a row and a pixel to the next."""
        line = self.columns * self.item
        if self.interleave == "bsq":
            return self.rows * line, line, self.item
        if self.interleave == "bil":
            return line, self.bands * line, self.item
        return self.item, self.bands * line, self.bands * self.item

    def described(self, path: str) -> str:
        """The layout of a file in the words of GDAL's virtual format."""
        band, row, pixel = self.strides()
        order = "MSB" if self.big_endian else "LSB"
        parts = "".join(
            f'<VRTRasterBand dataType="{_TYPES[self.dtype]}" band="{number + 1}" subClass="VRTRawRasterBand">'
            f'<SourceFilename relativetoVRT="0">{escape(path)}</SourceFilename>'
            f"<ImageOffset>{self.skip + number * band}</ImageOffset><PixelOffset>{pixel}</PixelOffset>"
            f"<LineOffset>{row}</LineOffset><ByteOrder>{order}</ByteOrder></VRTRasterBand>"
            for number in range(self.bands)
        )
        return f'<VRTDataset rasterXSize="{self.columns}" rasterYSize="{self.rows}">{parts}</VRTDataset>'


def header_of(downloads: Downloads, name: str) -> str | None:
    """The name of the header of a raw image, where it has one."""
    beside = (f"{name}.hdr", f"{PurePosixPath(name).with_suffix('.hdr')}", f"{name}.HDR")
    if downloads.explicit:
        return next((each for each in beside if (downloads.path / each).is_file()), None)
    return next((each for each in beside if each in downloads.names), None)


def read(
    downloads: Downloads, options: Mapping[str, Scalar], folder: Path
) -> Iterator[tuple[Product, set[str]]]:
    """The raw images of some downloads without a header, and the name of each.

    Parameters
    ----------
    downloads
        Where they are.
    options
        "shape", "interleave", "number_type", "skip" and "big_endian" of the job.
    folder
        Where the descriptions of their layouts are written, for as long as they are read.

    Raises
    ------
    UserError
        The layout is not known, or the file has another size.
    """
    shaped = bool(options["shape"]) or options["product"] == "raw"
    for number, name in enumerate(downloads.names):
        ending = PurePosixPath(name).suffix.lower()
        if not (ending in ENDINGS or (shaped and downloads.explicit)) or (header_of(downloads, name) and not shaped):
            continue
        layout, said = _layout(downloads, name, options)
        described = folder / f"{len(list(folder.iterdir()))}_{number}.vrt"
        described.write_text(layout.described(_absolute(downloads, name)), encoding="utf-8")
        yield _product(downloads, name, str(described), layout, said, numbers_of(options)), {name}


def numbers_of(options: Mapping[str, Scalar]) -> Numbers:
    """Scale, offset and nodata value as the user gave them.

    Raises
    ------
    UserError
        One of them is no number.
    """
    scale, offset, nodata = (_number(options, key) for key in ("scale", "offset", "nodata"))
    return scale, offset, nodata


def _number(options: Mapping[str, Scalar], key: str) -> float | None:
    text = str(options[key]).strip()
    try:
        return float(text) if text else None
    except ValueError as error:
        raise UserError(f"'{key.capitalize()}' is '{text}'; give a number, or nothing.") from error


def _absolute(downloads: Downloads, name: str) -> str:
    path = downloads.gdal(name)
    return path if path.startswith("/vsi") else str(Path(path).absolute())


def _product(
    downloads: Downloads, name: str, path: str, layout: Layout, said: str, given: Numbers
) -> Product:
    title = base(name)
    data_set = next((n for n, s in KNOWN.items() if s == (layout.rows, layout.columns, layout.bands)), None)
    known = data_set is not None and layout.dtype == "int16"
    names = SHARED if known else [None] * layout.bands
    bands = tuple(
        Band(
            path, each, (str(number),), number, *((REFLECTANCE, 0.0) if known else given[:2]), given[2],
            least=0.0 if known else None, step=REFLECTANCE if known else None,
        )
        for number, each in enumerate(names, 1)
    )
    day, notes = find_date(title, {}), [said]
    folder = _FOLDER.fullmatch(PurePosixPath(name).parent.name or downloads.path.name)
    if folder:
        local = date(int(folder[1]), 1, 1) + timedelta(days=int(folder[2]) - 1)
        if day != local:
            notes.append(f"dated {local} as its folder says")
        day = local
    stem = f"{data_set}_{'MODIS' if title.startswith('MOD') else 'Landsat'}" if known else ""
    return Product("Raw image", title, stem, day, bands, notes=tuple(notes))


def _layout(downloads: Downloads, name: str, options: Mapping[str, Scalar]) -> tuple[Layout, str]:
    """The layout of a file, as given or as its size tells, and what to say of it."""
    size, skip = downloads.size(name), int(options["skip"])
    shape = _shape(str(options["shape"]))
    guessed: list[str] = []
    if not shape:
        known = {n: s for n, s in KNOWN.items() if size == skip + 2 * s[0] * s[1] * s[2]}
        if not known:
            sizes = ", ".join(f"{n}: {2 * s[0] * s[1] * s[2]}" for n, s in KNOWN.items())
            raise UserError(
                f"Raw image '{base(name)}' has no header and {size} bytes, which is the size of no known data set "
                f"({sizes}); give 'Shape' (rows, columns, bands), or download it again."
            )
        ((data_set, shape),) = known.items()
        guessed.append(f"shape (its size is that of {data_set})")
    count = shape[0] * shape[1] * shape[2]
    dtype = str(options["number_type"])
    if dtype == "auto":
        dtype = _BY_BYTES.get((size - skip) // count if (size - skip) % count == 0 else 0, "int16")
        guessed.append("type")
    interleave = str(options["interleave"])
    if interleave == "auto":
        ending = PurePosixPath(name).suffix.lower()[1:]
        interleave = ending if ending in ("bil", "bip", "bsq") else "bsq"
        guessed.append("interleave")
    layout = Layout(*shape, interleave, dtype, skip, bool(options["big_endian"]))
    if size != layout.bytes:
        raise UserError(
            f"Raw image '{base(name)}' has {size} bytes, and {layout} need {layout.bytes}; give its shape and type as "
            "they are, or download it again."
        )
    return layout, f"read as {layout}" + (f"; guessed: {', '.join(guessed)}" if guessed else "")


def _shape(text: str) -> tuple[int, int, int] | None:
    """Rows, columns and bands."""
    if not text.strip():
        return None
    parts = re.split(r"[,x ]+", text.strip())
    if len(parts) not in (2, 3) or not all(part.isdecimal() and int(part) for part in parts):
        raise UserError(f"'Shape' is '{text}'; write rows, columns and bands, such as 2040,1720,6.")
    rows, columns, bands = (int(part) for part in (*parts, "1")[:3])
    return rows, columns, bands


def check_size(title: str, path: str, size: int) -> None:
    """Refuse an image with a header whose numbers are not all there.

    Raises
    ------
    UserError
        The file is smaller than its header says.
    """
    try:
        with rasterio.open(path) as dataset:
            skip = int(dataset.tags(ns="ENVI").get("header_offset", 0))
            item = np.dtype(dataset.dtypes[0]).itemsize
            needed = skip + dataset.width * dataset.height * dataset.count * item
    except RasterioError as error:
        raise UserError(
            f"{title} cannot be read with its header ({error}); give its 'Shape', and 'Product' as 'raw'."
        ) from error
    if size < needed:
        raise UserError(
            f"{title} has {size} bytes, and its header says {needed}; download it again, or correct the header."
        )
