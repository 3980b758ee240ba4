"""What the readers of products find: bands, quality bands and a date, before anything is opened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

from stfusion.errors import UserError
from stfusion.preparation._quality import Fields

#: Steps of the stored numbers: of reflectance, of temperatures in kelvin and in degrees.
REFLECTANCE, KELVIN, DEGREE = 1e-4, 0.02, 0.01
#: The reflective bands that the usual sensors share.
SHARED = ("blue", "green", "red", "NIR", "SWIR 1", "SWIR 2")


@dataclass(frozen=True)
class Band:
    """A band of a product.

    Parameters
    ----------
    path
        What GDAL opens.
    name, ids
        Its name, by wavelength, and the other words that the product calls it by.
    number
        Its number in the file.
    scale, offset, nodata
        Stored value x scale + offset is the physical one; those of the header when None.
    least
        Stored values below are no data.
    size
        Pixel size, as the product's makers call it, in metres; 0 when unknown.
    step
        Step in which physical values are stored well; None keeps the numbers of the product.
    usual
        Whether it is imported when no bands are named.
    """

    path: str
    name: str | None
    ids: tuple[str, ...] = ()
    number: int = 1
    scale: float | None = None
    offset: float | None = None
    nodata: float | None = None
    least: float | None = None
    size: float = 0.0
    step: float | None = None
    usual: bool = True

    def called(self, word: str) -> bool:
        """Whether a user means this band."""
        return _plain(word) in {_plain(name) for name in (*self.ids, self.name or "")}


@dataclass(frozen=True)
class Quality:
    """A quality band and its table; one that belongs to a band of the product names it by ``band``."""

    path: str
    fields: Fields
    band: str | None = None


@dataclass(frozen=True)
class Product:
    """An image of a date, as it was downloaded.

    ``title`` is its kind in words, ``path`` what errors call it, ``stem`` the beginning of the names of what is made of
    it, ``missing`` the usual bands whose files are not there, with their pixel sizes, ``lacks`` the quality band where
    it is not there, ``notes`` what has to be said of it.
    """

    title: str
    path: str
    stem: str
    day: date | None
    bands: tuple[Band, ...]
    quality: tuple[Quality, ...] = ()
    missing: tuple[tuple[float, str], ...] = ()
    lacks: str = ""
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.title} '{self.path}'"


def choose(product: Product, words: Sequence[str], size: float) -> tuple[Band, ...]:
    """The bands that are imported.

    Parameters
    ----------
    product
        Where they are chosen from.
    words
        Names, ids or numbers of bands in the order wanted; ["all"] for all of a size, none for the usual ones.
    size
        Pixel size in metres; 0 takes the finest of what is wanted.

    Raises
    ------
    UserError
        There is no such band, none of such a size, or files of usual bands are missing.
    """
    everything = [word.lower() for word in words] == ["all"]
    if words and not everything:
        return _named(product, words, size)
    among = [band for band in product.bands if band.usual or everything]
    sizes = sorted({band.size for band in among} | {each for each, _ in product.missing})
    wanted = _fitting(product, size, sizes)
    missing = [name for each, name in product.missing if each == wanted]
    if missing and not everything:
        raise UserError(
            f"{product} lacks the files of {', '.join(missing)}; download it again, or name the bands to import."
        )
    return _with_nir(tuple(band for band in among if band.size == wanted))


def _fitting(product: Product, size: float, sizes: Sequence[float]) -> float:
    if not sizes:
        raise UserError(f"{product} has none of the bands that are usually imported; name the bands to import.")
    if size in (0, *sizes) or sizes == [0.0]:
        return size if size in sizes else sizes[0]
    there = ", ".join(f"{each:g}" for each in sizes)
    raise UserError(f"{product} has no bands with pixels of {size:g} m; choose 'Resolution' from: {there}.")


def _named(product: Product, words: Sequence[str], size: float) -> tuple[Band, ...]:
    candidates: list[list[Band]] = []
    for word in words:
        found = sorted((band for band in product.bands if band.called(word)), key=lambda band: band.size)
        if not found:
            there = ", ".join(dict.fromkeys(band.name or band.ids[0] for band in product.bands))
            raise UserError(f"{product} has no band '{word}'; choose from: {there}.")
        candidates.append(found)
    finest = min(found[0].size for found in candidates)
    wanted = size if size and finest else finest
    chosen = tuple(
        next((band for band in found if band.size == wanted), found[0]) for found in candidates
    )
    if not any(band.size == wanted for band in chosen):
        there = ", ".join(f"{each:g}" for each in sorted({band.size for found in candidates for band in found}))
        raise UserError(f"{product} has none of these bands with pixels of {size:g} m; choose from: {there}.")
    return _with_nir(chosen)


def _with_nir(bands: tuple[Band, ...]) -> tuple[Band, ...]:
    """The bands; a narrow near infrared is the near infrared where it is the only one."""
    if any(band.name == "NIR" for band in bands):
        return bands
    return tuple(replace(band, name="NIR") if band.name == "NIR narrow" else band for band in bands)


def _plain(word: str) -> str:
    return word.lower().replace(" ", "").replace("_", "")
