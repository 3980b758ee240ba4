"""The whole way from downloads to a series: import, align, check, harmonise and fuse."""

from __future__ import annotations

from dataclasses import replace

from stfusion.declaration import Method, Option, Output, Result, Role
from stfusion.fusion._shared import CLASS_MAP
from stfusion.preparation._shared import AREA
from stfusion.preparation.align import METHOD as ALIGN
from stfusion.preparation.harmonise import METHOD as HARMONISE
from stfusion.preparation.import_products import METHOD as IMPORT
from stfusion.series._shared import DATES, FUSING, GROUP, PLANNING, STACKS, WEIGHTS, WHICH_METHOD
from stfusion.series.spectral_index import METHOD as INDEX

#: Where no index is made.
NO_INDEX = "none"
_OF_STEPS = {
    (method.id, option.id): option for method in (IMPORT, ALIGN, HARMONISE, INDEX) for option in method.options
}
_INDEX = _OF_STEPS["spectral_index", "index"]
_BANDS = _OF_STEPS["import_products", "bands"]
_MASKS = {role.id: role for role in STACKS}


def _downloads(sensor: str, which: str) -> tuple[Role, Role]:
    title = f"{sensor.capitalize()} images"
    return (
        Role(
            f"{sensor}_folder", f"Folder of the {sensor} images", "folder", "",
            f"Folder with the downloads of the {which}, or with dated raster files; all below it is looked through.",
            required=False,
        ),
        Role(
            sensor, title, "files", "",
            f"Files instead of the folder of the {sensor} images: archives, products or dated raster files. On the "
            "command line folders, too.",
            required=False, several=True,
        ),
    )


METHOD = Method(
    id="prepare_and_fuse",
    operation="series",
    title="Prepare and fuse",
    group=GROUP,
    summary="Goes the whole way from two folders of downloads to a dated series in one run.",
    description=(
        "One after the other: 'Import products' for the fine and the coarse images (left out where they are dated "
        "raster files in order), 'Align images' for fine ones of different grids and for the coarse ones, 'Check "
        "pairs', whose bad dates are named and left out, 'Harmonise images' and 'Spectral index' where they are asked "
        "for, and 'Fuse a time series'. Each step has a folder of its own in "
        "the output folder, and what it says is passed on with its name. A run that was stopped goes on where it was "
        "when it is started again with the same settings: steps that are done are not done again."
    ),
    paper="",
    doi="",
    roles=(
        *_downloads("fine", "few fine images (such as Landsat or Sentinel-2)"),
        *_downloads("coarse", "many coarse images (such as MODIS or VIIRS)"),
        _MASKS["fine_masks"],
        _MASKS["coarse_masks"],
        _MASKS["date_table"],
        replace(CLASS_MAP, advanced=True),
        WEIGHTS,
    ),
    options=(
        WHICH_METHOD,
        AREA,
        replace(_BANDS, id="fine_bands", title="Bands of the fine images"),
        replace(_BANDS, id="coarse_bands", title="Bands of the coarse images"),
        _OF_STEPS["import_products", "mask"],
        _OF_STEPS["import_products", "dilation"],
        _OF_STEPS["align", "shift"],
        _OF_STEPS["align", "same_extent"],
        Option(
            "bad_dates", "choice", "Bad dates", "leave_out",
            "Dates that the check of pairs marks as bad are named and left out ('leave_out') or named and used all the "
            "same ('keep').",
            choices=("leave_out", "keep"), advanced=False,
        ),
        replace(_OF_STEPS["harmonise", "adjust"], title="Adjust the coarse values to the fine ones"),
        replace(
            _INDEX, default=NO_INDEX, choices=(NO_INDEX, *_INDEX.choices), positional=False,
            help="Which index the series is to be of; 'none' leaves the bands. Formulas and sources are on the page of "
            "'Spectral index'.",
        ),
        Option(
            "index_order", "choice", "Index and blend", "before",
            "'before': the index of the fine and of the coarse images is made and fused; 'after': the bands are fused, "
            "and the index is made of the result.",
            choices=("before", "after"), advanced=False,
        ),
        replace(_OF_STEPS["spectral_index", "order"], id="index_bands"),
        *PLANNING,
        *FUSING,
    ),
    outputs=(
        Output(
            "output", "folder_out", "Folder of the run",
            "Folder that receives a folder for each step; that of the series is 'series'. It has to be new or empty, "
            "or hold the same run, which is then continued.",
            images=True,
        ),
    ),
    results=(
        Result("report", "html", "Report"),
        Result("check_report", "html", "Check of the pairs"),
        Result("stack", "text", "Virtual stack"),
        Result("moved", "number", "Coarse images that were moved"),
        Result("bad_fine", "number", "Bad fine dates"),
        Result("bad_coarse", "number", "Bad coarse dates"),
        *DATES,
    ),
    run="stfusion.series._prepare_and_fuse:run",
    tags=(
        "time series", "workflow", "chain", "import", "align", "fusion", "landsat", "modis", "sentinel", "viirs", "hls",
    ),
    example=("fine_folder", "coarse_folder"),
)
