"""Assess fused image: how well a fused or pansharpened image agrees with a reference, or with what it was made of."""

from __future__ import annotations

from stfusion.declaration import Method, Option, Output, Result, Role
from stfusion.raster.mtf import GAINS_OPTION, SENSOR_OPTION

METHOD = Method(
    id="assess_fusion",
    operation="assess",
    title="Assess fused image",
    group="Assessment",
    summary="Measures how well a fused or pansharpened image agrees with a reference image, or with its own sources.",
    description=(
        "With a reference image of the same day, it computes RMSE, rRMSE, MAE, bias, r, R², PSNR, SSIM, UIQI, SAM, "
        "ERGAS, Q2n, SCC and the agreement of edges and of local binary patterns: per band, as a mean, and for every "
        "class of a class map or every zone of a polygon layer. Without a reference, the coarse image that was "
        "sharpened gives D_lambda, the panchromatic image gives D_rho, and both together D_s, QNR and HQNR. Pixels "
        "without data are left out, also in windows. The report is one HTML file with maps, scatter plots, histograms "
        "and all numbers; results.json and results.csv hold the same numbers, and other definitions that published "
        "tables use, under names of their own."
    ),
    paper="",
    doi="",
    roles=(
        Role("predicted", "Fused image", "fused", "", "Fused or pansharpened image. Its grid is that of all."),
        Role(
            "reference", "Reference image", "reference", "",
            "True image of the same bands, on the same grid. Without it, give the coarse or the panchromatic image.",
            required=False,
        ),
        Role(
            "coarse", "Coarse image", "coarse", "",
            "Coarse image that was sharpened, of the same bands, for the indices that need no reference; it may lie on "
            "its own grid.",
            required=False,
        ),
        Role(
            "pan", "Panchromatic image", "pan", "",
            "Panchromatic image that the detail came from, one band, for the indices that need no reference.",
            required=False,
        ),
        Role(
            "class_map", "Class map", "classes", "",
            "Land cover or other classes, one whole number a class: errors are given for each. Resampled by nearest "
            "neighbour.",
            required=False,
        ),
        Role(
            "zones", "Zones", "vector", "",
            "Polygons, instead of a class map: errors are given for each value of a field.", required=False,
        ),
    ),
    options=(
        Option(
            "ratio", "number", "Ratio of coarse to fine pixel size", 0.0,
            "Fine pixels along a coarse pixel, for ERGAS. 0 takes it from the coarse image.",
            minimum=0.0, maximum=200.0, advanced=False,
        ),
        Option(
            "data_range", "number", "Data range", 0.0,
            "Range of the data for SSIM and peak for PSNR, such as 2047 for 11 bits or 1 for reflectance. 0: SSIM "
            "takes the range of every reference band, PSNR the value of reflectance 1.",
            minimum=0.0,
        ),
        Option(
            "unit", "number", "Value of reflectance 1", 0.0,
            "Value that stands for reflectance 1, such as 10000. Errors are given in reflectance when a value is "
            "given, else in the unit of the images, and the peak of PSNR is found from the data.",
            minimum=0.0,
        ),
        Option(
            "window", "integer", "Window of UIQI (pixels)", 8,
            "Side of the windows of the universal quality index and of the local variance; 32 in pansharpening.",
            minimum=2, maximum=64,
        ),
        Option(
            "whole_numbers", "boolean", "Whole numbers for Q2n", False,
            "Round values, and make negative ones 0, before Q2n is computed, as research toolboxes do. For images in "
            "digital numbers only.",
        ),
        SENSOR_OPTION,
        GAINS_OPTION,
    ),
    outputs=(
        Output(
            "output", "folder_out", "Folder of the report",
            "Folder that receives report.html, results.json and results.csv; it has to be new or empty.",
        ),
        Output(
            "error", "raster_out", "Error image",
            "Fused less reference image, for every band, in the unit of the images.", required=False,
        ),
        Output(
            "angle", "raster_out", "Spectral angle image",
            "Angle between the spectra of the fused and the reference image, in degrees.", required=False,
        ),
    ),
    results=(
        Result("report", "html", "Report"),
        *(
            Result(name, "number", title)
            for name, title in (
                ("rmse", "RMSE"), ("rrmse", "rRMSE"), ("mae", "MAE"), ("bias", "Bias"), ("r", "r"), ("r2", "R²"),
                ("psnr", "PSNR"), ("ssim", "SSIM"), ("uiqi", "UIQI"), ("sam", "SAM"), ("ergas", "ERGAS"),
                ("q2n", "Q2n"), ("scc", "SCC"), ("edge", "Edge"), ("lbp", "LBP"), ("d_lambda", "D_lambda"),
                ("d_s", "D_s"), ("qnr", "QNR"), ("hqnr", "HQNR"), ("d_rho", "D_rho"),
            )
        ),
    ),
    run="stfusion.assessment._assess_fusion:run",
    tags=("accuracy", "assessment", "validation", "metrics", "rmse", "ssim", "sam", "ergas", "q2n", "qnr", "quality"),
    example=("reference",),
)
