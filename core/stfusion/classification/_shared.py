"""What the declarations of classifications have in common: input roles, options and outputs."""

from __future__ import annotations

from dataclasses import replace

from stfusion.declaration import Option, Output, Role
from stfusion.fusion._shared import RESAMPLING

GROUP = "Classification"

IMAGE = Role(
    "image",
    "Layers",
    "image",
    "",
    "One layer, or several whose bands are taken one after the other. The map has the grid of the first; the others "
    "may lie on grids of their own. A pixel that is invalid in one of the bands has no class.",
    several=True,
)

ALIGNMENT = replace(
    RESAMPLING,
    title="Resampling of layers on another grid",
    default="bilinear",
    help="How layers that do not lie on the grid of the first are brought onto it.",
)

STANDARDISATION = Option(
    "standardisation",
    "choice",
    "Standardisation of the bands",
    "z-score",
    "How bands are made comparable: 'z-score' by mean and standard deviation, 'min-max' by least and greatest "
    "value, 'robust' by median and interquartile range; with 'none', bands with large values decide.",
    choices=("none", "z-score", "min-max", "robust"),
    advanced=False,
)

SAMPLE = Option(
    "sample",
    "integer",
    "Sampled pixels",
    100_000,
    "Pixels that the centres are fitted to, drawn at random from the whole scene; all valid pixels where there "
    "are no more.",
    minimum=100,
    maximum=100_000_000,
)

RESTARTS = Option(
    "restarts",
    "integer",
    "Restarts",
    5,
    "Times that the fit begins anew with other centres; the best is kept.",
    minimum=1,
    maximum=1000,
)

CLASSES = Output(
    "output",
    "raster_out",
    "Class map",
    "Cloud Optimized GeoTIFF of bytes: classes 1, 2 and so on from dark to bright, 0 where there is no data. It has a "
    "colour table, a style for QGIS, and class names and a raster attribute table with pixels, area and mean of every "
    "band.",
)

CERTAINTY = Output(
    "certainty",
    "raster_out",
    "Certainty",
    "Raster with two bands: how much nearer the pixel is to the centre of its class than to the next one (0: as near "
    "to both, 1: at the centre), and its distance to the centre in standardised units.",
    required=False,
)

REPORT = Output(
    "report",
    "file_out",
    "Report",
    "HTML file, whole in itself, with the map, a chart of the spectra of the classes, a table of the classes and the "
    "settings.",
    required=False,
    extension="html",
)
