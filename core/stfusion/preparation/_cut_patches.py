"""Cutting patches at work: which dates are good in every patch, the files, the data set file and the table."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stfusion.errors import EnvironmentFault, UserError
from stfusion.folder import make_folder, whole_folder
from stfusion.preparation._lattice import Patch, covering, patches
from stfusion.preparation._settings import SETTINGS, SPLITS, Group, Setting, read_setting
from stfusion.raster.grids import Box
from stfusion.raster.output import Output, provenance
from stfusion.raster.source import AlignedSource, Source, align
from stfusion.raster.stack import listed, name_of, opened
from stfusion.raster.tiles import bounded_gdal
from stfusion.run import Context

if TYPE_CHECKING:
    from stfusion.preparation._hdf5 import GroupFile

_DATA_SET, _TEST, _TABLE, _PATCHES = "data_set.json", "test.json", "groups.csv", "patches"
#: Bytes that one coarse image may keep of what was resampled.
_CACHE = 2**22


@dataclass(frozen=True)
class Images:
    """The fine images and, where there are some, the coarse ones by date, and these on the fine grid."""

    fine: Mapping[date, Source]
    coarse: Mapping[date, Source]
    aligned: Mapping[date, AlignedSource]


@dataclass(frozen=True)
class Cut:
    """A patch with the dates that are good in it, and the groups that it has, each with its split."""

    patch: Patch
    days: tuple[date, ...]
    groups: tuple[tuple[str, Group], ...]

    def of(self, split: str) -> list[Group]:
        """Its groups of a split."""
        return [group for other, group in self.groups if other == split]


def run(context: Context) -> dict[str, Any]:
    """Cut the data set of the job.

    Raises
    ------
    UserError
        Images do not go together, the setting does not fit them, or no patch is left.
    """
    folder = context.job.outputs["output"]
    with bounded_gdal(context):
        images = _open(context)
        make = _group_file(context, images)
        setting = _setting(context)
        groups = _groups(context, setting, images)
        cuts = _choose(context, images, setting, _known(context, groups, images))
        with whole_folder(folder, context.stop) as part, ExitStack() as stack:
            sets = _sets(part, cuts, make, stack)
            for number, cut in enumerate(cuts):
                context.stop.check()
                _write(context, images, cut, part / _PATCHES / cut.patch.name)
                for split, group in cut.groups if sets else ():
                    sets[split].add(cut.patch.name, group, images.fine, images.aligned, cut.patch.box)
                context.reporter.progress(50 + 50 * (number + 1) / len(cuts))
            _write_index(context, images, cuts, part)
    counts = {split: sum(cut.patch.split == split for cut in cuts) for split in SPLITS}
    return {
        "output": folder, "data_set": str(Path(folder) / _DATA_SET), **counts,
        "groups": sum(len(cut.groups) for cut in cuts),
    }


def _open(context: Context) -> Images:
    found = {
        sensor: opened(context, sensor) if sensor in context.job.inputs else {} for sensor in ("fine", "coarse")
    }
    fine, coarse = found["fine"], found["coarse"]
    first = next(iter(fine.values()))
    for source in fine.values():
        if source.grid != first.grid:
            raise UserError(f"{first} and {source} have different grids; bring the fine images to one grid first.")
    for source in (*fine.values(), *coarse.values()):
        if len(source.bands) != len(first.bands):
            raise UserError(
                f"{first} has {len(first.bands)} band(s) and {source} has {len(source.bands)}; choose the bands that "
                "belong together."
            )
    if not coarse:
        return Images(fine, {}, {})
    both = sorted(set(fine) & set(coarse))
    alone = sorted(set(fine) ^ set(coarse))
    if not both:
        raise UserError("No fine image has the date of a coarse image; check the dates, or leave the coarse ones out.")
    if alone:
        context.reporter.warning(f"These dates have a fine or a coarse image alone and are left out: {listed(alone)}.")
    return Images(
        {day: fine[day] for day in both}, {day: coarse[day] for day in both},
        {day: align(coarse[day], first, "cubic", _CACHE) for day in both},
    )


def _setting(context: Context) -> Setting:
    own, name = context.job.inputs.get("own_setting"), str(context.options["setting"])
    return SETTINGS[name] if own is None else read_setting(own.path)


def _groups(context: Context, setting: Setting, images: Images) -> dict[str, tuple[Group, ...]]:
    """The groups of the setting by split; the log says how many would have seen what is held out."""
    found = setting.complete(images.fine, int(context.options["references"]))
    given, kept = len(setting.groups.get("training", ())), len(found["training"])
    if given and not kept:
        raise UserError(
            f"All {given} group(s) of the setting for training have a date that is a target of validation or test; "
            "give others, or none to have them made."
        )
    if given > kept:
        context.reporter.log(
            f"{given - kept} of the {given} groups of the setting for training have a date that is a target of "
            "validation or test, and are left out."
        )
    return found


def _known(
    context: Context, groups: Mapping[str, tuple[Group, ...]], images: Images
) -> list[tuple[str, Group]]:
    """The groups whose dates are all there, with their split; the others are named."""
    found = [(split, group) for split in SPLITS for group in groups[split] if set(group.days) <= set(images.fine)]
    lacking = sorted({day for split in SPLITS for group in groups[split] for day in group.days} - set(images.fine))
    if lacking:
        context.reporter.warning(f"The setting has dates without images, whose groups are left out: {listed(lacking)}.")
    if not found:
        raise UserError(
            f"No group of dates is left of {len(images.fine)} date(s); give more dates, 1 for 'References of a "
            "target', or another setting."
        )
    return found


def _choose(
    context: Context, images: Images, setting: Setting, groups: Sequence[tuple[str, Group]]
) -> list[Cut]:
    """The patches that are good enough, with what they have."""
    options, first = context.options, next(iter(images.fine.values()))
    size = int(options["size"])
    shares = float(options["validation"]), float(options["test"])
    if sum(shares) >= 1:
        raise UserError(
            f"The shares for validation ({shares[0]:g}) and test ({shares[1]:g}) leave nothing for training; give less."
        )
    part = _part(first, setting, size)
    lattice, between = patches(part, size, int(options["stride"]) or size, shares)
    cuts = []
    for number, patch in enumerate(lattice):
        context.stop.check()
        days = tuple(day for day in images.fine if _share(images, day, patch.box) >= float(options["least_valid"]))
        own = tuple(
            (max(split, patch.split, key=SPLITS.index), group)
            for split, group in groups if set(group.days) <= set(days)
        )
        if own:
            cuts.append(Cut(patch, days, own))
        context.reporter.progress(50 * (number + 1) / len(lattice))
    context.reporter.log(
        f"Of {len(lattice) + between} patches {len(cuts)} are cut; {between} lie on the ground of two splits, and "
        f"{len(lattice) - len(cuts)} have no group of dates with enough valid pixels."
    )
    for split, share in zip(SPLITS[1:], shares, strict=True):
        if share and not any(cut.patch.split == split for cut in cuts):
            context.reporter.warning(
                f"No patch on the ground that is held out for {split} has enough valid pixels; give a larger share."
            )
    if not any(split == "training" for cut in cuts for split, _ in cut.groups):
        raise UserError(
            f"No patch of {size} x {size} pixels of {first} is left for training; give a smaller 'Size' or "
            "'Least valid share', or smaller shares for validation and test."
        )
    return cuts


def _part(first: Source, setting: Setting, size: int) -> Box:
    rows, columns = first.shape
    top, left, height, width = setting.crop or (0, 0, rows, columns)
    if top + height > rows or left + width > columns:
        raise UserError(
            f"The setting cuts out rows {top} to {top + height} and columns {left} to {left + width}, and {first} has "
            f"{rows} x {columns}; choose another setting."
        )
    if min(height, width) < size:
        raise UserError(
            f"A patch of {size} x {size} pixels is larger than the {height} x {width} pixels of {first} that are to "
            "be cut; give a smaller 'Size'."
        )
    return Box(top, top + height, left, left + width)


def _share(images: Images, day: date, box: Box) -> float:
    """The share of the pixels of a patch that are valid in the fine image and in the coarse one."""
    gaps = np.isnan(images.fine[day].read(box)[0])
    if day in images.aligned:
        gaps |= np.isnan(images.aligned[day].read(box)[0])
    return float(1 - gaps.mean())


def _write(context: Context, images: Images, cut: Cut, folder: Path) -> None:
    """Write the images of a patch."""
    make_folder(folder)
    box = cut.patch.box
    for day in cut.days:
        fine = images.fine[day]
        _write_window(context, fine, box, folder / name_of("fine", day))
        if day in images.coarse:
            grid = fine.grid[box.top : box.bottom, box.left : box.right]
            coarse = images.coarse[day]
            _write_window(context, coarse, covering(coarse.grid, grid), folder / name_of("coarse", day))


def _write_window(context: Context, source: Source, box: Box, path: Path) -> None:
    grid = source.grid[box.top : box.bottom, box.left : box.right]
    with Output(str(path), source, provenance(context, source.date), context.stop, grid=grid) as output:
        output.write(Box(0, box.shape[0], 0, box.shape[1]), source.read(box))
        output.finish(1)


def _write_index(context: Context, images: Images, cuts: Sequence[Cut], folder: Path) -> None:
    """Write the data set files of the trainer, and the table of the groups."""
    split_up = bool(context.options["validation"])
    files = {
        _DATA_SET: [_place(images, cut, split_up) for cut in cuts if cut.patch.split != "test"],
        _TEST: [_files(images, cut, {"groups": cut.of("test")}) for cut in cuts],
    }
    for name, found in files.items():
        places = [place for place in found if place["fine"]]
        if places:
            text = json.dumps({"schema": 1, "name": folder.name.removesuffix(".part"), "places": places}, indent=1)
            (folder / name).write_text(text + "\n", encoding="utf-8")
    with (folder / _TABLE).open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow([
            "split", "patch", "target", "reference_1", "reference_2", "target_fine", "target_coarse", "fine_1",
            "coarse_1", "fine_2", "coarse_2",
        ])
        table.writerows(_row(images, cut, split, group) for cut in cuts for split, group in cut.groups)


def _place(images: Images, cut: Cut, split_up: bool) -> dict[str, Any]:
    """A patch as a place of the trainer: its groups, and those that are held out on ground that is learnt from."""
    learnt, held_out = cut.of("training"), cut.of("validation")
    if not learnt:
        return {**_files(images, cut, {"groups": held_out}), "split": "validation"}
    place = _files(images, cut, {"groups": learnt, **({"held_out": held_out} if held_out else {})})
    return {**place, "split": "training"} if split_up else place


def _files(images: Images, cut: Cut, groups: Mapping[str, Sequence[Group]]) -> dict[str, Any]:
    """A patch as a place with some of its groups, and the files of their dates."""
    used = {day for some in groups.values() for group in some for day in group.days}
    place: dict[str, Any] = {"name": cut.patch.name}
    for sensor in ("fine", "coarse") if images.coarse else ("fine",):
        place[sensor] = {day.isoformat(): _path(cut, sensor, day) for day in cut.days if day in used}
    return place | {key: [group.listed for group in some] for key, some in groups.items()}


def _row(images: Images, cut: Cut, split: str, group: Group) -> list[str]:
    days = [group.target, *group.references]
    words = [day.isoformat() for day in days] + [""] * (3 - len(days))
    files = []
    for day in days:
        files += [_path(cut, "fine", day), _path(cut, "coarse", day) if images.coarse else ""]
    return [split, cut.patch.name, *words, *files, *[""] * (6 - len(files))]


def _path(cut: Cut, sensor: str, day: date) -> str:
    """The path of an image of a patch from the folder of the data set."""
    return f"{_PATCHES}/{cut.patch.name}/{name_of(sensor, day)}"


def _sets(
    folder: Path, cuts: Sequence[Cut], make: type[GroupFile] | None, stack: ExitStack
) -> dict[str, GroupFile]:
    """The HDF5 files by split; none where they are not wanted."""
    if make is None:
        return {}
    used = {split for cut in cuts for split, _ in cut.groups}
    return {split: stack.enter_context(make(folder / f"{split}.h5")) for split in SPLITS if split in used}


def _group_file(context: Context, images: Images) -> type[GroupFile] | None:
    """What writes HDF5, where it is wanted."""
    if not context.options["hdf5"]:
        return None
    if not images.coarse:
        raise UserError("HDF5 has the coarse images too, and none are given; give some, or switch 'HDF5' off.")
    try:
        from stfusion.preparation._hdf5 import GroupFile
    except ImportError as error:
        raise EnvironmentFault(
            f"The engine's Python lacks a working package '{error.name}' ({error}), which 'HDF5' needs; switch it off, "
            "run 'Install engine' in QGIS with 'Packages of the networks', or install the packages of "
            "core/requirements-networks.txt."
        ) from error
    return GroupFile
