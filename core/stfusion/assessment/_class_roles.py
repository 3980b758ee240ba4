"""What the declarations about classifications have in common: input roles and options."""

from __future__ import annotations

from stfusion.declaration import Option, Role

CLASS_MAP = Role(
    "class_map",
    "Class map",
    "classes",
    "",
    "Raster with one band of whole numbers, one for each class or cluster; its nodata value stands for no class.",
)

REFERENCE = Role(
    "reference",
    "Reference raster",
    "classes",
    "",
    "Raster of the true classes. It is brought onto the grid of the class map by nearest neighbour. Give this, or "
    "points or polygons.",
    required=False,
)

SAMPLES = Role(
    "samples",
    "Reference points or polygons",
    "vector",
    "",
    "Layer of points, or of polygons, whose field holds the true class: its number, or its name where the class map "
    "carries names or 'Names of the classes' gives them. A pixel belongs to a polygon when its centre lies inside.",
    required=False,
)

CLASS_NAMES = Option(
    "class_names",
    "text",
    "Names of the classes",
    "",
    "Such as 1=forest, 2=grass: what tables show, and how names in the field of points or polygons become numbers. "
    "The names that the rasters carry when empty.",
)

#: How matching is done.
RULES = ("hungarian", "majority")
