"""A product opened: its bands on one grid, read by window, and what is masked of it."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import rasterio
from rasterio.errors import RasterioError
from scipy.ndimage import distance_transform_edt

from stfusion.errors import UserError
from stfusion.job import Input
from stfusion.preparation._products import Band, Product
from stfusion.preparation._quality import Codes, codes
from stfusion.preparation.import_products import DILATED, LAYER
from stfusion.raster.area import Area
from stfusion.raster.grids import Box
from stfusion.raster.output import Content, Encoding
from stfusion.raster.source import AlignedSource, Array, Source, align, masked

#: Nodata value of reflectance in whole numbers: no surface has a reflectance of -1.
_NODATA = -9999


class ProductImage:
    """The chosen bands of a product on the grid of the first one of its resolution, with its quality bands.

    Parameters
    ----------
    product, bands
        The product, and the bands of it.
    wanted
        The kinds of pixels that are masked.
    dilation
        Pixels around masked ones that are masked, too.
    mask
        A mask layer on the same grid, where there is one: values that are not clear are masked.
    area, margin
        The part that is wanted, if not all, and pixels more around it.
    cache_bytes
        Memory for resampled blocks.

    Raises
    ------
    UserError
        A file cannot be opened or lies elsewhere, a quality band is missing, or the mask has another grid.
    """

    def __init__(
        self, product: Product, bands: Sequence[Band], wanted: Collection[str], dilation: int, mask: Source | None,
        cache_bytes: int, area: Area | None = None, margin: int = 0,
    ) -> None:
        self.product, self.bands = product, bands
        self.dilation = dilation
        sources = [opened(product, band) for band in bands]
        finest = min(abs(source.grid.affine.a * source.grid.affine.e) for source in sources)
        self.like = next(
            source for source in sources if abs(source.grid.affine.a * source.grid.affine.e) <= finest * 1.0001
        )
        whole = Box(0, self.like.shape[0], 0, self.like.shape[1])
        self._part = whole if area is None else area.window(self.like).grown(margin, self.like.shape)
        self.grid = self.like.grid[self._part.top : self._part.bottom, self._part.left : self._part.right]
        quality = [
            each for each in product.quality if each.band is None or any(each.band in band.ids for band in bands)
        ]
        room = cache_bytes // (len(sources) + len(quality))
        self._images = [align(source, self.like, self._resampling(source), room) for source in sources]
        flags = [opened(product, Band(each.path, None, nodata=np.nan)) for each in quality]
        self._quality = [
            (align(source, self.like, "nearest", room), each.fields)
            for source, each in zip(flags, quality, strict=True)
        ]
        if wanted and product.lacks:
            raise UserError(f"{product} lacks {product.lacks}, which tells clouds; download it again, or mask 'none'.")
        self._wanted = wanted
        self._mask = mask
        if mask is not None and mask.grid != self.like.grid:
            raise UserError(
                f"{mask} ({_size(mask.shape)}, {mask.crs_name}) does not have the grid of {product} "
                f"({_size(self.like.shape)}, {self.like.crs_name}); bring it onto that grid with 'Align images' first."
            )

    def check_ends(self) -> None:
        """Refuse files that broke off, before the work.

        Raises
        ------
        UserError
            A file ends too early.
        """
        for image in (*self._images, *(image for image, _ in self._quality)):
            image.source.check_end()

    def _resampling(self, source: Source) -> str:
        coarser = abs(source.grid.affine.a) > abs(self.grid.affine.a)
        return "bilinear" if coarser else "average"

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return int(self.grid.shape[0]), int(self.grid.shape[1])

    @property
    def resampled(self) -> list[str]:
        """The bands that are resampled to the grid, by name."""
        pairs = zip(self.bands, self._images, strict=True)
        return [band.name or band.ids[0] for band, image in pairs if image.resamples]

    def content(self, numbers: str, units: str) -> Content:
        """How its values are stored: "scaled", "stored" or "float32"."""
        names = [band.name for band in self.bands]
        steps = [band.step for band in self.bands if band.step is not None]
        dtype = np.result_type(*(image.source.dtype for image in self._images))
        if numbers == "scaled" and len(steps) == len(names):
            encoding = Encoding(np.dtype(np.int16), _NODATA, np.array(steps), np.zeros(len(steps)))
        elif numbers == "float32" or dtype.itemsize > (4 if dtype.kind == "f" else 2):
            # Values are read in float32, which wider numbers do not fit into.
            encoding = Content.of_numbers(names).encoding
        else:
            scales, offsets = (
                np.concatenate([getattr(image.source, each) for image in self._images])
                for each in ("scales", "offsets")
            )
            encoding = Encoding(dtype, Encoding.like(self.like).nodata, scales, offsets)
        return Content(encoding, names, units=units)

    def read(self, box: Box) -> tuple[Array, Codes]:
        """A window: values (bands, rows, columns), NaN where there are none or where masked, and the mask's codes.

        Raises
        ------
        UserError
            The files end before the window does.
        """
        # What is masked outside the part reaches into it.
        box = box.moved(self._part.top, self._part.left)
        outer = box.grown(self.dilation, self.like.shape)
        values = np.concatenate([self._valid(image, band, box) for image, band in self._pairs()])
        found = self._codes(outer)
        inside = found[box.within(outer)]
        near = (found > 1) & (found != DILATED)
        if self.dilation and near.any():
            reached = (distance_transform_edt(~near) <= self.dilation)[box.within(outer)]
            inside = np.where(reached & (inside == 0), np.uint8(DILATED), inside)
        values[:, inside != 0] = np.nan
        # Where no band has a value there is no data, whatever the quality band says.
        inside = np.where((inside == 0) & np.isnan(values).all(axis=0), np.uint8(1), inside)
        return values, inside

    def _pairs(self) -> list[tuple[AlignedSource, Band]]:
        return list(zip(self._images, self.bands, strict=True))

    def _valid(self, image: AlignedSource, band: Band, box: Box) -> Array:
        values = image.read(box)
        if band.least is not None:
            least = band.least * image.source.scales[0] + image.source.offsets[0]
            values[values < least] = np.nan
        return values

    def _codes(self, box: Box) -> Codes:
        """Why pixels are masked: 0 where they are not."""
        found: Codes = np.zeros(box.shape, np.uint8)
        if self._quality:
            found = codes([(image.read(box)[0], fields) for image, fields in self._quality], self._wanted)
        if self._mask is not None:
            found[masked(self._mask.read(box)[0], self._mask.clear) & (found == 0)] = LAYER
        return found


def opened(product: Product, band: Band) -> Source:
    """A band of a product, with the scale, the offset and the nodata value that the product says.

    Raises
    ------
    UserError
        The file is there and cannot be opened.
    """
    try:
        with rasterio.open(band.path):
            pass
    except RasterioError as error:
        raise UserError(
            f"{product} cannot be read to its end ({error}), as if its download had broken off; download it again."
        ) from error
    source = Source(f"{product}, file", Input(band.path, bands=(band.number,), nodata=band.nodata))
    if band.scale is not None:
        source.scales = np.array([band.scale])
    if band.offset is not None:
        source.offsets = np.array([band.offset])
    return source


def _size(shape: tuple[int, int]) -> str:
    return f"{shape[1]} x {shape[0]} pixels"
