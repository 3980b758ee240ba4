"""Cut patches: a data set for training, validation and test, of stacks of fine and coarse images."""

from __future__ import annotations

from stfusion.declaration import Method, Option, Output, Result, Role
from stfusion.preparation._settings import SETTINGS
from stfusion.preparation._shared import GROUP, masks_of

METHOD = Method(
    id="cut_patches",
    operation="prepare",
    title="Cut patches",
    group=GROUP,
    summary="Cuts stacks of fine and coarse images into a data set of patches for training, validation and test.",
    description=(
        "Patches of a size and a stride are cut out of all dates, with their georeference, and those with too few "
        "valid pixels are left out. Strips of the scene are held out for validation and test, and a setting says "
        "which dates are references, which are targets, and which are held out. What is written is the data set file "
        "that 'Train a fusion network' reads, a table of all groups of images, and where wanted HDF5."
    ),
    paper="",
    doi="",
    roles=(
        Role(
            "fine", "Fine images", "fine", "",
            "Fine images of one grid, each layer being an image of one date, which is read from its tags or its name; "
            "a folder stands for the raster files in it.",
            several=True,
        ),
        Role(
            "coarse", "Coarse images", "coarse", "",
            "Coarse images of the same dates, on any grid. Without them the trainer simulates some.",
            required=False, several=True,
        ),
        masks_of("fine images", "fine_masks"),
        masks_of("coarse images", "coarse_masks"),
        Role(
            "own_setting", "Setting of your own", "file", "",
            "JSON file with the part of the scene and the groups of dates, in place of a setting with a name.",
            required=False, extension="json",
        ),
    ),
    options=(
        Option(
            "setting", "choice", "Setting", "all",
            "'all': the whole scene, each date being a target. The others have the part of the scene and the dates of "
            "a published data set: Coleambally (cia) and Lower Gwydir (lgc), each with a second list of dates in "
            "order (hh), Ar Horqin (ahb), Daxing and Tianjin.",
            choices=tuple(SETTINGS), advanced=False,
        ),
        Option(
            "size", "integer", "Size (fine pixels)", 256, "Rows and columns of a patch.", 16, 4096, advanced=False,
        ),
        Option(
            "stride", "integer", "Stride (fine pixels)", 0,
            "Fine pixels from one patch to the next; less than the size makes them overlap. 0 takes the size.",
            0, 4096, advanced=False,
        ),
        Option(
            "least_valid", "number", "Least valid share", 0.8,
            "Share (0 to 1) of the pixels of a patch that have to be valid in the fine and in the coarse image of a "
            "date for the date to be used.",
            0.0, 1.0,
        ),
        Option(
            "validation", "number", "Share for validation", 0.2,
            "Share (0 to 1) of the scene that is held out, a strip across its longer side, a patch wide at least.",
            0.0, 0.9, advanced=False,
        ),
        Option(
            "test", "number", "Share for test", 0.0,
            "Share (0 to 1) of the scene that is held out for the test, a strip at its end.", 0.0, 0.9,
            advanced=False,
        ),
        Option(
            "references", "integer", "References of a target", 2,
            "1: each date from the one before it; 2: from those before and after it. A setting may say it itself.",
            1, 2,
        ),
        Option(
            "hdf5", "boolean", "HDF5", False,
            "Write the groups as HDF5 too, a file for each split. Needs the packages of the networks.",
        ),
    ),
    outputs=(
        Output("output", "folder_out", "Folder of the data set", "Folder for data_set.json, groups.csv and patches."),
    ),
    results=(
        Result("data_set", "text", "Data set file"),
        Result("training", "number", "Patches for training"),
        Result("validation", "number", "Patches for validation"),
        Result("test", "number", "Patches for the test"),
        Result("groups", "number", "Groups"),
    ),
    run="stfusion.preparation._cut_patches:run",
    tags=("data set", "training", "tiles", "chips", "patches", "split", "hdf5", "deep learning"),
    example=("coarse",),
)
