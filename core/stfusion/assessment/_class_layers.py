"""The layers of an assessment of classes: the class map, its reference and strata, opened and on one grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from stfusion.assessment._confusion import Floats, number_names, read_codes
from stfusion.classification._legend import Legend, read_legend, read_pairs
from stfusion.errors import UserError
from stfusion.raster.grids import Box
from stfusion.raster.source import AlignedSource, Source, align
from stfusion.raster.vector import Areas, VectorLayer, read_vector
from stfusion.raster.views import resampling_note
from stfusion.run import Context

Indices = NDArray[np.int64]


class Places(NamedTuple):
    """Pixels of a window that features lie on: row and column in the window, and the index of the feature."""

    rows: Indices
    columns: Indices
    features: Indices


class Points:
    """Points on a grid: each lies on one pixel; those of a multipoint count one by one."""

    def __init__(self, layer: VectorLayer, grid: GeoBox) -> None:
        import shapely

        parts, self._features = shapely.get_parts(layer.geometries, return_index=True)
        inverse = ~grid.affine
        x, y = shapely.get_x(parts), shapely.get_y(parts)
        self._columns = np.floor(inverse.a * x + inverse.b * y + inverse.c).astype(np.int64)
        self._rows = np.floor(inverse.d * x + inverse.e * y + inverse.f).astype(np.int64)

    def places(self, box: Box) -> Places:
        """The points in a window."""
        inside = (self._rows >= box.top) & (self._rows < box.bottom)
        inside &= (self._columns >= box.left) & (self._columns < box.right)
        rows, columns = self._rows[inside] - box.top, self._columns[inside] - box.left
        return Places(rows, columns, self._features[inside])


class Polygons:
    """Polygons on a grid: each has the pixels whose centres lie inside, the last polygon where several do."""

    def __init__(self, layer: VectorLayer, grid: GeoBox) -> None:
        self._areas = Areas(VectorLayer(layer.name, layer.field, layer.geometries, np.arange(len(layer))), grid)

    def places(self, box: Box) -> Places:
        """The pixels of polygons in a window."""
        features = self._areas.read(box)
        rows, columns = np.nonzero(features >= 0)
        return Places(rows, columns, features[rows, columns].astype(np.int64))


@dataclass(frozen=True)
class Features:
    """Points or polygons with the code of the class of each."""

    title: str
    shapes: Points | Polygons
    codes: Floats

    @property
    def are_points(self) -> bool:
        """Whether they are points."""
        return isinstance(self.shapes, Points)


@dataclass(frozen=True)
class Layers:
    """A class map, its reference and the strata, if any, on the grid of the map; names and colours of their classes.

    ``about`` says in sentences what had to be done to the layers.
    """

    source: Source
    mapped: AlignedSource
    reference: AlignedSource | Features
    strata: AlignedSource | None
    legend: Legend
    about: list[str] = field(default_factory=list)

    @property
    def titles(self) -> tuple[str, str]:
        """The map and the reference in words, for messages."""
        of_reference = self.reference.title if isinstance(self.reference, Features) else str(self.reference.source)
        return str(self.source), of_reference

    def about_missed(self, missed: int) -> list[str]:
        """A sentence on features of the reference that have no pixel of their own, where there are such."""
        if not missed or not isinstance(self.reference, Features):
            return []
        why = "lie on the edge of the map" if self.reference.are_points else (
            "hold the centre of no pixel of their own, being smaller than a pixel or below others"
        )
        return [f"{missed} feature(s) of {self.titles[1]} {why}, and are left out."]


def open_map(context: Context, role: str) -> Source:
    """The raster of classes of a role that the job has.

    Raises
    ------
    UserError
        It is no raster, or has several bands.
    """
    titles = {each.id: each.title for each in context.method.roles}
    source = Source(titles[role], context.job.inputs[role])
    if len(source.bands) > 1:
        raise UserError(f"{source} has {len(source.bands)} bands and a map of classes has one; choose another raster.")
    return source


def open_if_given(context: Context, role: str) -> Source | None:
    """The raster of classes of a role, as :func:`open_map` has it; None where it was not given."""
    return open_map(context, role) if role in context.job.inputs else None


def open_layers(context: Context, clusters: bool) -> Layers:
    """Open the layers of a job with the roles "class_map", "reference", "samples" and perhaps "strata".

    With ``clusters`` the numbers of the map say nothing of the reference's classes, so that names that are not known
    are numbered.

    Raises
    ------
    UserError
        A layer cannot be used, or there is not one reference.
    """
    source, reference = open_map(context, "class_map"), open_if_given(context, "reference")
    samples = context.job.inputs.get("samples")
    if (reference is None) == (samples is None):
        given = "none is" if samples is None else "both are"
        raise UserError(
            f"Of 'Reference raster' (reference) and 'Reference points or polygons' (samples), {given} given; give "
            "one of them."
        )
    about: list[str] = []
    words = read_pairs("Names of the classes", str(context.options.get("class_names", "")))
    legend = Legend() if clusters else read_legend(source)
    found: AlignedSource | Features
    if reference is not None:
        legend = legend | read_legend(reference) | Legend(words)
        found = onto(reference, source, about)
    else:
        layer = read_vector("Reference", context.job.inputs["samples"], source.grid, ("points", "polygons"))
        found, names = _features(layer, source.grid, {**legend.names, **words}, clusters, about)
        legend = legend | Legend(names)
    given_strata = open_if_given(context, "strata")
    strata = None if given_strata is None else onto(given_strata, source, about)
    return Layers(source, AlignedSource(source, source.grid, "nearest"), found, strata, legend, about)


def onto(source: Source, target: Source, about: list[str]) -> AlignedSource:
    """A raster of classes on the grid of another one, by nearest neighbour; a sentence says so where it lies apart."""
    image = align(source, target, "nearest")
    if not image.same_grid:
        about.append(resampling_note(source, target, "nearest"))
    return image


def _features(
    layer: VectorLayer, grid: GeoBox, known: Mapping[int, str], clusters: bool, about: list[str]
) -> tuple[Features, dict[int, str]]:
    """The features of a layer with the codes of their classes, and the names of the codes."""
    _refuse_shared_names(layer, known)
    codes = {name: code for code, name in known.items()}
    if clusters:
        taken = [name.casefold() for name in codes]
        strange = [value for value in layer.values if str(value).strip().casefold() not in taken]
        codes = {**codes, **number_names(strange, known)}
    title = f"Field '{layer.field}' of {layer.name}"
    found = read_codes(layer.values, title, codes)
    kinds = {geometry.geom_type.removeprefix("Multi") for geometry in layer.geometries}
    if len(kinds) > 1:
        raise UserError(f"{layer.name} holds both points and polygons; choose a layer of one kind.")
    if layer.left_out:
        about.append(f"{layer.left_out} feature(s) of {layer.name} have no value of '{layer.field}' and are left out.")
    if layer.outside:
        about.append(f"{layer.outside} feature(s) of {layer.name} lie outside the class map and are left out.")
    shapes = Points(layer, grid) if kinds == {"Point"} else Polygons(layer, grid)
    return Features(layer.name, shapes, found), {code: name for name, code in codes.items()}


def _refuse_shared_names(layer: VectorLayer, known: Mapping[int, str]) -> None:
    """Refuse a name in the field of a layer that several classes have."""
    classes: dict[str, list[int]] = {}
    for code, name in known.items():
        classes.setdefault(name.strip().casefold(), []).append(code)
    for value in layer.values if layer.values.dtype == object else ():
        shared = classes.get(str(value).strip().casefold(), [])
        if len(shared) > 1:
            raise UserError(
                f"Field '{layer.field}' of {layer.name} has the name '{value}', which classes "
                f"{', '.join(map(str, shared))} of the map share; choose a field with numbers, or give other names."
            )
