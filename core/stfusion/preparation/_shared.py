"""What the declarations of the data preparation have in common."""

from __future__ import annotations

from stfusion.declaration import Option

GROUP = "Data preparation"
NAME_OPTION = Option(
    "name", "text", "Name", "",
    "Beginning of the names of the files that are written, before the date. When empty, that of the images' own names.",
)
RESAMPLING = Option(
    "resampling", "choice", "Resampling", "cubic", "How values between the pixels are made where the grids differ.",
    choices=("nearest", "bilinear", "cubic", "lanczos", "average"),
)
