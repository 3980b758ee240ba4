"""Import at work: products are found and checked, then written one by one with what their quality bands leave."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

from stfusion.errors import UserError
from stfusion.folder import whole_folder
from stfusion.job import Input
from stfusion.preparation import _hls, _landsat, _modis, _rasters, _raw, _sentinel2
from stfusion.preparation._downloads import Downloads, gathered
from stfusion.preparation._mosaic import Mosaic, are_tiles
from stfusion.preparation._product_image import ProductImage, opened
from stfusion.preparation._products import Product, choose
from stfusion.preparation._quality import Codes
from stfusion.preparation._stack import stem_of
from stfusion.preparation.import_products import CODES, DILATED, LAYER
from stfusion.raster.area import Area
from stfusion.raster.grids import Box
from stfusion.raster.output import Content, Output, provenance
from stfusion.raster.source import Array, Source
from stfusion.raster.stack import dated, dates_of, files_of, name_of, of_days
from stfusion.raster.style import paletted
from stfusion.raster.tiles import Tile, bounded_gdal, run_tiles, tile_shape, working_bytes
from stfusion.run import Context

#: Shares of the working memory for GDAL's cache, for resampled blocks and for the tiles.
_GDAL_SHARE, _CACHE_SHARE, _TILE_SHARE = 0.2, 0.15, 0.4
#: Bytes that a pixel takes in a tile: for every band, and for its quality bands and the dilation.
_BAND_BYTES, _MASK_BYTES = 16, 64
#: What the codes of a mask are called, and their colours.
_WORDS = {**{code: kind for kind, code in CODES.items()}, DILATED: "dilated", LAYER: "mask layer"}
_COLOURS = {
    0: (255, 255, 255), 1: (0, 0, 0), 2: (215, 48, 39), 3: (252, 141, 89), 4: (69, 39, 96), 5: (254, 224, 144),
    6: (253, 174, 97), 7: (171, 217, 233), 8: (69, 117, 180), 9: (150, 150, 150), 10: (230, 180, 160), 11: (90, 90, 90),
}
_READERS: Mapping[str, Callable[[Downloads], Iterator[tuple[Product, set[str]]]]] = {
    "landsat": _landsat.read, "sentinel2": _sentinel2.read, "hls": _hls.read, "modis": _modis.read,
}


@dataclass(frozen=True)
class _Masks:
    """Mask layers by date, and one that belongs to all other images."""

    by_day: Mapping[date, Input]
    every: Input | None = None

    def of(self, day: date) -> Source | None:
        layer = self.by_day.get(day, self.every)
        return None if layer is None else Source("Mask layer", replace(layer, bands=(1,), nodata=np.nan))


def run(context: Context) -> dict[str, Any]:
    """Import the products of the job; the results are its folders, how many images there are and what share is masked.

    Raises
    ------
    UserError
        A product is unknown or not whole, its date cannot be read, or two are of one date and no tiles of one grid.
    """
    outputs = context.job.outputs
    _check_outputs([Path(path).absolute() for path in outputs.values()])
    with (
        _scratch(context) as scratch,
        bounded_gdal(context, _GDAL_SHARE),
        # GDAL would write files beside compressed downloads.
        rasterio.Env(GDAL_VRT_RAWRASTERBAND_ALLOWED_SOURCE="ALL", CPL_VSIL_GZIP_WRITE_PROPERTIES="NO"),
        ExitStack() as folders,
    ):
        context.reporter.stage("Looking for products", 1, 2)
        products = _by_day(context, _inside(context, _found(context, scratch)))
        masks = _masks(context)
        for remark in of_days("", products, masks.by_day) if masks.by_day else ():
            context.reporter.warning(remark)
        for day, tiles in products.items():
            context.stop.check()
            _opened(context, tiles, masks.of(day)).check_ends()  # refuses before anything is written
        bare = [tiles[0] for tiles in products.values() if not tiles[0].quality]
        if bare and _wanted(context) and "masks" not in context.job.inputs:
            context.reporter.log(
                f"{len(bare)} of {len(products)} images have no quality bands, such as {bare[0]}; give 'Mask layers' "
                "to leave out clouds."
            )
        context.reporter.stage("Writing images", 2, 2)
        parts = {name: folders.enter_context(whole_folder(path, context.stop)) for name, path in outputs.items()}
        index = []
        for number, (day, tiles) in enumerate(products.items()):
            span = number / len(products) * 100, (number + 1) / len(products) * 100
            index.append(_write(context, tiles, day, masks.of(day), parts, span))
        (parts["output"] / "index.json").write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    return {**outputs, "images": len(index), "masked": float(np.mean([each["masked"] for each in index]))}


def _check_outputs(folders: Sequence[Path]) -> None:
    for folder in folders:
        if any(folder == other or folder in other.parents for other in folders if other is not folder):
            raise UserError(f"The folder '{folder}' of an output has another output in it; choose other folders.")


@contextmanager
def _scratch(context: Context) -> Iterator[Path]:
    """A folder for descriptions of raw images, as long as they are read."""
    with tempfile.TemporaryDirectory(prefix="stfusion_") as folder:
        context.stop.watch(Path(folder))
        yield Path(folder)


def _found(context: Context, scratch: Path) -> list[Product]:
    """All products of the inputs."""
    given = [context.job.inputs[role] for role in ("products", "folder") if role in context.job.inputs]
    if not given:
        raise UserError("There is nothing to import; give 'Products' or 'Folder of downloads'.")
    found: list[Product] = []
    for downloads in gathered([path for each in given for path in (each.path, *(each.more or ()))]):
        context.stop.check()
        products = list(_within(context, downloads, scratch))
        if not products and downloads.archive:
            raise UserError(_unknown(str(downloads)))
        found += products
    if not found:
        raise UserError(_unknown(", ".join(f"'{each.path}'" for each in given)))
    return found


def _inside(context: Context, products: list[Product]) -> list[Product]:
    """The products that lie in the area, or all where there is none; the others are named."""
    area = Area.of(str(context.options["area"]))
    if area is None:
        return products
    found, elsewhere = [], []
    for product in products:
        context.stop.check()
        image = opened(product, product.bands[0])
        if min(area.window(image).shape) > 0:
            found.append(product)
        else:
            elsewhere.append(area.outside(image))
    if not found:
        more = f"; so are {len(elsewhere) - 1} more" if len(elsewhere) > 1 else ""
        raise UserError(f"No image lies in the area: {elsewhere[0]}{more}; give another area, or other images.")
    for words in elsewhere:
        context.reporter.warning(f"Left out, since it lies outside the area: {words}.")
    return found


def _unknown(where: str) -> str:
    return (
        f"{where} has no product that is known; give a Landsat Collection 2, Sentinel-2 level 2A, HLS, MODIS or VIIRS "
        "download, raw images with their 'Shape', or raster files."
    )


def _within(context: Context, downloads: Downloads, scratch: Path) -> Iterator[Product]:
    """The products of some downloads; raster files that belong to none are products where there are no others."""
    options, wanted = context.options, context.options["product"]
    taken: set[str] = set()
    for kind, read in _READERS.items():
        if wanted in ("auto", kind):
            for product, names in read(downloads):
                taken |= names
                yield product
    if taken and not downloads.explicit:
        others = sum(name not in taken and name.lower().endswith((".tif", ".tiff")) for name in downloads.names)
        if others:
            context.reporter.log(f"{downloads}: {others} raster files that belong to no product are left out.")
        return
    if wanted in ("auto", "raw"):
        for product, names in _raw.read(_without(downloads, taken), options, scratch):
            taken |= names
            yield product
    if wanted in ("auto", "raster"):
        for product, _ in _rasters.read(_without(downloads, taken), options):
            yield product


def _without(downloads: Downloads, taken: Collection[str]) -> Downloads:
    return replace(downloads, names=tuple(name for name in downloads.names if name not in taken))


def _by_day(context: Context, products: list[Product]) -> dict[date, list[Product]]:
    """The products, or the tiles of each, in the order of their dates, with the bands that are imported."""
    table = context.job.inputs.get("date_table")
    pattern = str(context.options["pattern"]).strip()
    found: dict[date, list[Product]] = {}
    words = [word.strip() for word in str(context.options["bands"]).split(",") if word.strip()]
    for product in products:
        day = product.day
        if table or pattern:
            (day,) = dates_of([product.path], pattern, table.path if table else None, product.title)
        if day is None:
            raise UserError(
                f"{product} has no date in its tags, and none can be read from its name; give a 'Pattern of dates in "
                "names' or a 'Table of dates'."
            )
        tiles = found.setdefault(day, [])
        if tiles and not are_tiles([*tiles, product]):
            raise UserError(_of_one_day(product, tiles[-1], day))
        tiles.append(replace(product, bands=choose(product, words, float(context.options["resolution"]))))
    return {day: sorted(tiles, key=lambda tile: tile.path) for day, tiles in sorted(found.items())}


def _of_one_day(product: Product, other: Product, day: date) -> str:
    if str(product) == str(other):
        places = " and ".join(f"'{each.bands[0].path}'" for each in (other, product))
        return f"{product} is there twice, as {places}; leave one of them out."
    return (
        f"{product} and {other} are both of {day}; leave one of them out, or import them into folders of their own."
    )


def _masks(context: Context) -> _Masks:
    layers = context.job.inputs.get("masks")
    if layers is None:
        return _Masks({})
    paths = files_of("mask", layers)
    if len(paths) == 1 and Source("Mask layer", Input(paths[0])).date is None:
        return _Masks({}, replace(layers, path=paths[0], more=None))
    return _Masks(dated("mask", layers))


def _wanted(context: Context) -> tuple[str, ...]:
    """The kinds of pixels that are masked."""
    words = [word.strip().lower() for word in str(context.options["mask"]).split(",") if word.strip()]
    if words in ([], ["none"]):
        return ()
    wrong = [word for word in words if word not in CODES]
    if wrong:
        raise UserError(f"'Masked' has '{wrong[0]}'; choose from: {', '.join(CODES)}, or 'none'.")
    return tuple(words)


def _opened(context: Context, tiles: Sequence[Product], mask: Source | None) -> ProductImage | Mosaic:
    room = int(_CACHE_SHARE * working_bytes(context)) // len(tiles)
    area = Area.of(str(context.options["area"]))
    images = [
        ProductImage(
            product, product.bands, _wanted(context), int(context.options["dilation"]), mask, room, area,
            int(context.options["margin"]),
        )
        for product in tiles
    ]
    return images[0] if len(images) == 1 else Mosaic(images)


def _write(
    context: Context, tiles: Sequence[Product], day: date, mask: Source | None, parts: Mapping[str, Path],
    span: tuple[float, float],
) -> dict[str, Any]:
    """Write an image, and its mask where asked for; what there is to say of it."""
    image = _opened(context, tiles, mask)
    product = image.product
    stem = str(context.options["name"]).strip() or product.stem or stem_of(product.path)
    tags = {**provenance(context, day), "STF_PRODUCT": f"{product.title} {product.path}"}
    content = image.content(str(context.options["numbers"]), str(context.options["units"]).strip())
    counts = np.zeros(max(_WORDS) + 1, np.int64)
    with ExitStack() as stack:
        name = name_of(stem, day)
        output = stack.enter_context(
            Output(str(parts["output"] / name), image.like, tags, context.stop, content, image.grid)
        )
        beside: Output | None = None
        if "masks_output" in parts:
            name_of_mask = name_of(f"{stem}_mask", day)
            beside = stack.enter_context(Output(
                str(parts["masks_output"] / name_of_mask), image.like, tags, context.stop,
                Content.of_classes("mask", _COLOURS), image.grid,
            ))

        def write(box: Box, read: tuple[Array, Codes]) -> None:
            values, codes = read
            counts[:] += np.bincount(codes.ravel(), minlength=len(counts))
            output.write(box, values)
            if beside is not None:
                beside.write_stored(box, codes[None])

        _tiled(context, image, write, span)
        output.finish(context.threads)
        if beside is not None:
            looks = ((code, _WORDS.get(code, "clear"), colour) for code, colour in _COLOURS.items())
            beside.finish(context.threads, style=paletted(looks))
    return _said(context, image, day, name, counts, output.clipped)


def _tiled(
    context: Context, image: ProductImage | Mosaic, write: Callable[[Box, tuple[Array, Codes]], None],
    span: tuple[float, float],
) -> None:
    def compute(part: Tile) -> tuple[Array, Codes]:
        read = image.read(part.inner)
        part.advance(1.0)
        return read

    pixel = _BAND_BYTES * len(image.bands) + _MASK_BYTES
    budget = int(_TILE_SHARE * working_bytes(context))
    tile = tile_shape(image.shape, image.dilation, pixel, budget, context.threads)
    run_tiles(context, image.shape, tile, image.dilation, compute, write, span)


def _said(
    context: Context, image: ProductImage | Mosaic, day: date, name: str, counts: np.ndarray[Any, Any], clipped: int
) -> dict[str, Any]:
    """What was imported, in a sentence and for the index."""
    product, total = image.product, int(counts.sum())
    there = total - int(counts[CODES["fill"]])
    shares = {_WORDS[code]: int(counts[code]) / there for code in _WORDS if code > 1 and counts[code]} if there else {}
    masked = sum(shares.values())
    kinds = ", ".join(f"{kind} {share:.1%}" for kind, share in shares.items())
    names = [band.name or band.ids[0] for band in image.bands]
    report = context.reporter
    report.log(
        f"{product}, {day}: {', '.join(names)}, {image.shape[1]} x {image.shape[0]} pixels, {masked:.1%} masked"
        + (f" ({kinds})" if kinds else "") + f", {1 - there / total:.1%} without data"
        + "".join(f"; {note}" for note in product.notes) + "."
    )
    if image.resampled:
        report.log(f"{product}: {', '.join(image.resampled)} resampled to the pixels of the other bands.")
    if clipped:
        report.warning(f"{product}: {clipped} values do not fit into 16 bits and were cut; store them as 'float32'.")
    if not there or masked == 1:
        report.warning(f"{product}: no pixel is left; check its bands, or mask less.")
    return {
        "file": name, "date": day.isoformat(), "product": product.path, "kind": product.title, "bands": names,
        "masked": masked, "masked_by_kind": shares, "without_data": 1 - there / total,
    }
