"""The tiles of a product and a date as one image, so that a place that lies on a border has one image for a date."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from odc.geo.geobox import GeoBox

from stfusion.errors import UserError
from stfusion.preparation._product_image import ProductImage
from stfusion.preparation._products import Product
from stfusion.preparation._quality import Codes
from stfusion.preparation.import_products import CODES
from stfusion.raster.grids import Box, place_in
from stfusion.raster.output import Content
from stfusion.raster.source import Array

#: The tile in the name of a product: of Sentinel-2 and HLS, of MODIS and VIIRS, path and row of Landsat.
_TILE = re.compile(r"(?<![A-Za-z0-9])(?:T\d\d[A-Z]{3}|h\d\dv\d\d|\d{6}(?=_\d{8}_\d{8}_\d\d_))(?![A-Za-z0-9])")


def are_tiles(products: Sequence[Product]) -> bool:
    """Whether products of a date are of one kind and of different tiles, as their names tell them."""
    tiles = [match.group() for product in products if (match := _TILE.search(product.path))]
    return len({product.title for product in products}) == 1 and len(set(tiles)) == len(products)


class Mosaic:
    """Tiles of one kind on the pixels of the first of them, with the interface of :class:`ProductImage`.

    Where tiles overlap, a pixel is of the first one that has it without a mask.

    Raises
    ------
    UserError
        The pixels of the tiles differ.
    """

    def __init__(self, images: Sequence[ProductImage]) -> None:
        first = images[0]
        self.like, self.bands, self.dilation = first.like, first.bands, first.dilation
        self.product = replace(
            first.product, path=" and ".join(image.product.path for image in images),
            notes=tuple(dict.fromkeys(note for image in images for note in image.product.notes)),
        )
        self.resampled = list(dict.fromkeys(name for image in images for name in image.resampled))
        places = [_place(image, first) for image in images]
        whole = places[0]
        for place in places[1:]:
            whole = whole.around(place)
        self.grid: GeoBox = first.grid.translate_pix(whole.left, whole.top).expand(whole.shape)
        self.shape = whole.shape
        self._tiles = [
            (place.moved(-whole.top, -whole.left), image) for place, image in zip(places, images, strict=True)
        ]

    def check_ends(self) -> None:
        """As for a single image."""
        for _, image in self._tiles:
            image.check_ends()

    def content(self, numbers: str, units: str) -> Content:
        """As for a single image: that of the first tile."""
        return self._tiles[0][1].content(numbers, units)

    def read(self, box: Box) -> tuple[Array, Codes]:
        """As for a single image; where no tile is, there is no data."""
        fill = CODES["fill"]
        values = np.full((len(self.bands), *box.shape), np.nan, np.float32)
        codes: Codes = np.full(box.shape, fill, np.uint8)
        for place, image in self._tiles:
            inner = box.common(place)
            if min(inner.shape) > 0:
                own, why = image.read(inner.moved(-place.top, -place.left))
                within = inner.within(box)
                taken = (codes[within] != 0) & ((why == 0) | (codes[within] == fill))
                values[(slice(None), *within)][:, taken] = own[:, taken]
                codes[within][taken] = why[taken]
        return values, codes


def _place(image: ProductImage, first: ProductImage) -> Box:
    """The window that a tile is of the pixels of the first one."""
    place = place_in(image.grid, first.grid)
    if place is None:
        raise UserError(
            f"{image.product} ({image.like.crs_name}) and {first.product} ({first.like.crs_name}) are of one date and "
            "their pixels are not those of one grid; leave one of them out, or import them into folders of their own."
        )
    return place
