"""Sampling design: where to look up the true classes, and at how many places."""

from __future__ import annotations

from stfusion.declaration import Method, Option, Output, Result, Role

METHOD = Method(
    id="sampling_design",
    operation="sampling",
    title="Sampling design",
    group="Assessment",
    summary="Draws stratified random points for labelling, as many as the wanted standard error takes.",
    description=(
        "Draws points at random in every class of a map, or in any other strata, at which the true class is then to be "
        "found out. How many there have to be follows from the standard error that you want for the overall accuracy "
        "and from the accuracies that you expect. The points lie at the centres of pixels, in random order, with an "
        "empty field 'reference' to be filled with the number of the true class; 'Assess classification' takes the "
        "labelled layer as its reference."
    ),
    paper=(
        "Olofsson, P., Foody, G. M., Herold, M., Stehman, S. V., Woodcock, C. E., & Wulder, M. A. (2014). Good "
        "practices for estimating area and assessing accuracy of land change. Remote Sensing of Environment, 148, "
        "42-57."
    ),
    doi="10.1016/j.rse.2014.02.015",
    roles=(
        Role(
            "strata",
            "Class map or strata",
            "classes",
            "",
            "Raster with one band of whole numbers: the map that is to be assessed, or other strata. No point is drawn "
            "where it has no data.",
        ),
        Role(
            "exclusion",
            "Excluded places",
            "classes",
            "",
            "Raster whose pixels other than 0 get no points, such as clouds or places out of reach. It is brought onto "
            "the grid of the strata by nearest neighbour; where it has no data, points are drawn.",
            required=False,
        ),
    ),
    options=(
        Option(
            "standard_error",
            "number",
            "Wanted standard error",
            0.01,
            "Standard error of the overall accuracy (0 to 1) that the sample is to reach; 0.01 makes an interval of "
            "about plus or minus 2 %.",
            minimum=0.0001,
            maximum=0.5,
            advanced=False,
        ),
        Option(
            "accuracy",
            "number",
            "Expected user's accuracy",
            0.8,
            "Share of every class of the map that you expect to be right (0 to 1); 0.5 takes the largest sample.",
            minimum=0.0,
            maximum=1.0,
            advanced=False,
        ),
        Option(
            "accuracies",
            "text",
            "Expected accuracies of single classes",
            "",
            "Such as 1=0.9, 4=0.6, for classes that differ from the expected user's accuracy.",
        ),
        Option(
            "samples",
            "integer",
            "Number of points",
            0,
            "Points in all, where you want to set it yourself. 0 computes it from the wanted standard error.",
            minimum=0,
            maximum=1_000_000,
            advanced=False,
        ),
        Option(
            "allocation",
            "choice",
            "Allocation",
            "minimum",
            "How the points are shared out. 'minimum' gives every stratum the minimum and shares the rest by size, as "
            "Olofsson et al. advise; 'proportional' shares by size; 'equal' gives all as many; 'neyman' gives more to "
            "large strata of uncertain accuracy, which makes the error of the overall accuracy smallest.",
            choices=("minimum", "proportional", "equal", "neyman"),
            advanced=False,
        ),
        Option(
            "minimum",
            "integer",
            "Minimum of a stratum",
            50,
            "Points of every stratum with the allocation 'minimum'; a stratum with fewer pixels gets them all.",
            minimum=2,
            maximum=100_000,
        ),
        Option(
            "distance",
            "number",
            "Minimum distance",
            0.0,
            "Two points are at least so far apart, in the unit of the map's coordinate system. The sample is no longer "
            "simply random then, and the formulas for standard errors hold as an approximation.",
            minimum=0.0,
        ),
    ),
    outputs=(
        Output(
            "output",
            "vector_out",
            "Points",
            "Layer of points (.gpkg, .geojson or .shp) with the fields reference (empty), id, stratum, and weight: the "
            "pixels of the stratum that a point stands for.",
            extension="gpkg",
        ),
        Output(
            "design",
            "file_out",
            "Design",
            "JSON file with the strata, their sizes and points, and all settings.",
            required=False,
            extension="json",
        ),
    ),
    results=(
        Result("points", "number", "Number of points"),
        Result("expected_error", "number", "Expected standard error of the overall accuracy"),
    ),
    run="stfusion.assessment._sampling:run",
    tags=("sampling", "stratified", "random points", "accuracy", "validation", "sample size", "assessment"),
)
