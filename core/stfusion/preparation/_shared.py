"""What the declarations of the data preparation have in common."""

from __future__ import annotations

from stfusion.declaration import Option, Role

GROUP = "Data preparation"
NAME_OPTION = Option(
    "name", "text", "Name", "",
    "Beginning of the names of the files that are written, before the date. When empty, that of the images' own names.",
)
RESAMPLING = Option(
    "resampling", "choice", "Resampling", "cubic", "How values between the pixels are made where the grids differ.",
    choices=("nearest", "bilinear", "cubic", "lanczos", "average"),
)

AREA = Option(
    "area", "extent", "Area", "",
    "Extent that the work is limited to: west,east,south,north, and the coordinate system in brackets where it is not "
    "that of the images, such as 600000,630000,4190000,4200000 [EPSG:32610]. All pixels that it touches count. When "
    "empty, all there is.",
    advanced=False,
)


def masks_of(images: str, role: str) -> Role:
    """The input of masks of some images, and its id."""
    return Role(
        role, f"Masks of the {images}", "mask", "",
        f"Masks of the same dates as the {images}; pixels that are not clear are left out.",
        required=False, several=True,
    )


#: Masks of the images and of the references that these are compared with.
MASKS = (masks_of("images", "masks"), masks_of("reference images", "reference_masks"))
