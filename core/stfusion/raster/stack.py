"""Dated stacks: raster files of one place, one for each date, as all steps take them and hand them on.

A stack is a list of files, or a folder that stands for the raster files in it. What is written has its date in its tags
(:func:`stfusion.raster.output.provenance`) and in its name (:func:`name_of`), so that it is a stack again.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path, PurePath

from stfusion.errors import UserError
from stfusion.job import Input
from stfusion.raster.dates import from_name
from stfusion.raster.source import Source
from stfusion.run import Context

#: Endings of the raster files that are taken from a folder.
RASTERS = (".tif", ".tiff", ".vrt", ".img", ".jp2", ".dat", ".bil", ".bip", ".bsq")
#: Endings of what lies beside raster files, and comes along when files are chosen by the beginning of their names.
SIDECARS = (".hdr", ".aux.xml", ".ovr", ".msk", ".prj", ".tfw")
#: The virtual raster of a whole stack, which a folder may have beside the images and which is none of them.
STACK = "stack.vrt"
#: How a date may be written, in words.
_WRITTEN = "such as 20010711, 2001-07-11 or A2001192"
#: Parts of a pattern of the user's own, and the digits that they stand for; other characters stand for themselves.
_CODES = {"%Y": r"\d{4}", "%y": r"\d\d", "%m": r"\d\d", "%d": r"\d\d", "%j": r"\d{3}"}
_WILD = {"*": ".*?", "?": "."}


def name_of(name: str, day: date) -> str:
    """The name of the file of a date in a stack that is written."""
    return f"{name}_{day:%Y%m%d}.tif"


def dated(
    sensor: str, layers: Input, masks: Input | None = None, pattern: str = "", table: str | None = None
) -> dict[date, Input]:
    """The images of a stack by date, in the order of time.

    Parameters
    ----------
    sensor
        What the layers are, in a word, such as "fine".
    layers
        Files or folders; all have its bands, its nodata value and its mask. A single file may have its date.
    masks
        A stack of masks: that of a date takes the place of the mask of all dates, with its clear values.
    pattern, table
        How dates are found where not as usual: see :func:`dates_of`.

    Raises
    ------
    UserError
        A folder is empty, a date cannot be read, or two files have the same date.
    """
    paths = files_of(sensor, layers)
    if layers.date and len(paths) == 1:
        days = [date.fromisoformat(layers.date)]
    else:
        days = dates_of(paths, pattern, table, f"{sensor.capitalize()} layer")
    found = {
        day: replace(layers, path=path, more=None, date=day.isoformat()) for day, path in _by_day(sensor, paths, days)
    }
    for day, mask in dated(f"{sensor} mask", masks, None, pattern, table).items() if masks else ():
        if day in found:
            found[day] = replace(found[day], mask=mask.path, clear=mask.clear)
    return dict(sorted(found.items()))


def with_masks(context: Context, sensor: str) -> dict[date, Input]:
    """The images of a role by date with the masks of their dates, whose role has its name and "_masks".

    The log warns of masks that do not fit. Errors are those of :func:`dated`.
    """
    inputs = context.job.inputs
    masks = inputs.get(f"{sensor}_masks")
    images = dated(sensor, inputs[sensor], masks)
    for remark in of_masks(sensor, images, dated(f"{sensor} mask", masks)) if masks else ():
        context.reporter.warning(remark)
    return images


def opened(context: Context, sensor: str) -> dict[date, Source]:
    """The same, opened; files that broke off are refused."""
    found = {day: Source(f"{sensor.capitalize()} image", image) for day, image in with_masks(context, sensor).items()}
    for source in found.values():
        source.check_end()
    return found


def of_masks(sensor: str, images: Mapping[date, Input], masks: Mapping[date, Input]) -> list[str]:
    """What is to be said of the masks of some images: those without an image, without a mask, or on another grid."""
    found = of_days(sensor, images, masks)
    elsewhere = [
        day for day in sorted(set(images) & set(masks))
        if Source("Mask", masks[day]).grid != Source("Image", replace(images[day], mask=None)).grid
    ]
    if elsewhere:
        name = PurePath(masks[elsewhere[0]].path).name
        found.append(
            f"The masks of these {_images(sensor)}s lie on another grid, as '{name}' does, and are resampled by "
            f"nearest neighbour: {listed(elsewhere)}."
        )
    return found


def of_days(sensor: str, images: Collection[date], masks: Collection[date]) -> list[str]:
    """What is to be said of the dates of masks: those without an image, and of images without a mask."""
    alone, bare = sorted(set(masks) - set(images)), sorted(set(images) - set(masks))
    found = []
    if alone:
        found.append(f"No {_images(sensor)} has the date of these masks: {listed(alone)}.")
    if bare:
        found.append(f"These {_images(sensor)}s have no mask: {listed(bare)}.")
    return found


def _images(sensor: str) -> str:
    return f"{sensor} image".strip()


def listed(things: Iterable[object]) -> str:
    """Dates, or what else has a name, in words: the first few of many."""
    few = [str(thing) for thing in things]
    return ", ".join(few) if len(few) <= 6 else f"{', '.join(few[:5])} and {len(few) - 5} more"


def _by_day(sensor: str, paths: Sequence[str], days: Sequence[date]) -> Iterable[tuple[date, str]]:
    seen: dict[date, str] = {}
    for day, path in zip(days, paths, strict=True):
        if day in seen:
            one, other = PurePath(path).name, PurePath(seen[day]).name
            raise UserError(
                f"{sensor.capitalize()} layer '{one}' and '{other}' are both of {day}; leave one of them out."
            )
        seen[day] = path
    return seen.items()


def is_raster(file: Path) -> bool:
    """Whether a file of a folder is an image of it: by its ending, or, where it has none, by its header (ENVI)."""
    if not file.suffix:
        return Path(f"{file}.hdr").is_file()
    return file.suffix.lower() in RASTERS and file.name != STACK


def files_of(sensor: str, layers: Input) -> list[str]:
    """The files of an input, and of its folders, without what lies beside raster files.

    Raises
    ------
    UserError
        A folder has no raster files or cannot be read.
    """
    given = [layers.path, *(layers.more or ())]
    found: list[str] = []
    for path in [path for path in given if not path.lower().endswith(SIDECARS)] or given:
        if Path(path).is_dir():
            inside = _inside(path)
            if not inside:
                raise UserError(
                    f"The folder '{path}' has no {sensor} layer; choose a folder with raster files "
                    f"({', '.join(RASTERS)})."
                )
            found += inside
        else:
            found.append(path)
    return found


def _inside(folder: str) -> list[str]:
    try:
        return sorted(str(file) for file in Path(folder).iterdir() if is_raster(file))
    except OSError as error:
        raise UserError(
            f"The folder '{folder}' cannot be looked through ({error.strerror}); ask for the right to read it."
        ) from error


def dates_of(
    paths: Sequence[str], pattern: str = "", table: str | None = None, title: str = "Layer"
) -> list[date]:
    """The acquisition dates of raster files.

    Parameters
    ----------
    paths
        The files.
    pattern
        How names are written, such as ``lai_*_%Y%j``: %Y and %y are the year, %m the month, %d the day, %j the day of
        the year, * any text and ? any character. When empty, the date is in the tags or in the name, as usual products
        have it. The file's ending may be left out.
    table
        A text file whose lines have a file's name (with or without its ending) and its date; it goes before the
        pattern.
    title
        What a file is called in an error.

    Raises
    ------
    UserError
        A file has no date, or the table or the pattern cannot be used.
    """
    if table:
        known = _read_table(table)
        return [_listed(path, known, table, title) for path in paths]
    if pattern:
        form = _compiled(pattern)
        return [_matched(path, form, pattern, title) for path in paths]
    return [_found(path, title) for path in paths]


def _found(path: str, title: str) -> date:
    source = Source(title, Input(path))
    if source.date is None:
        raise UserError(
            f"{source} has no date in its tags, and none can be read from its name; write it there, {_WRITTEN}."
        )
    return source.date


def _compiled(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"(%.|[*?])", pattern)
    unknown = [part for part in parts if part.startswith("%") and part not in _CODES]
    used = [part for part in parts if part in _CODES]
    if unknown or "".join(sorted(used)) not in ("%Y%d%m", "%d%m%y", "%Y%j", "%j%y"):
        raise UserError(
            f"The pattern of dates '{pattern}' is not understood; write each of %Y, %m and %d, or %Y and %j, once, "
            "such as name_*_%Y%m%d."
        )
    words = (f"(?P<{part[1]}>{_CODES[part]})" if part in _CODES else _WILD.get(part, re.escape(part)) for part in parts)
    return re.compile("".join(words))


def _matched(path: str, form: re.Pattern[str], pattern: str, title: str) -> date:
    name = PurePath(path).name
    match = form.fullmatch(name) or form.fullmatch(PurePath(path).stem)
    if match is None:
        raise UserError(f"{title} '{name}' is not named as the pattern of dates '{pattern}' says; change the pattern.")
    codes = match.groupdict()
    digits, codes_in_order = " ".join(codes.values()), " ".join(f"%{code}" for code in codes)
    try:
        day = datetime.strptime(digits, codes_in_order)
        # Python counts on into the next year.
        if day.strftime(codes_in_order) == digits:
            return day.date()
    except ValueError:
        day = None
    raise UserError(f"{title} '{name}' has no date where the pattern '{pattern}' says ({digits}); change the pattern.")


def _read_table(table: str) -> dict[str, date]:
    """The dates of a table by name."""
    try:
        text = Path(table).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"The table of dates '{table}' cannot be read ({error}); give a text file.") from error
    found: dict[str, date] = {}
    lines = csv.reader(text.splitlines(), delimiter=next((sign for sign in ";\t" if sign in text), ","))
    for number, line in enumerate(lines, 1):
        cells = [cell.strip() for cell in line]
        day = from_name(cells[1]) if len(cells) > 1 else None
        if day is None and number > 1 and any(cells):
            raise UserError(
                f"Line {number} of the table of dates '{table}' is '{','.join(line)}'; write a file's name and a date, "
                "such as a.tif,2001-07-11."
            )
        if day is not None:
            found[PurePath(cells[0]).name] = day
    return found


def _listed(path: str, known: Mapping[str, date], table: str, title: str) -> date:
    name, stem = PurePath(path).name, PurePath(path).stem
    day = known.get(name) or known.get(stem)
    if day is None:
        raise UserError(f"{title} '{name}' is not in the table of dates '{PurePath(table).name}'; add a line for it.")
    return day
