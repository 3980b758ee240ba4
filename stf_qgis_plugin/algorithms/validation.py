"""What only QGIS can know to be wrong with the values of a form; everything else the engine checks.

The toolbox and qgis_process ask before a run, a model does not: the same check is repeated when a run is prepared.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from qgis.core import QgsMapLayer, QgsProcessing, QgsRasterLayer, QgsVectorLayer

from ..layers import sources
from .declarations import Declaration
from .parameters import Given, key


def problems(method: Declaration, given: Given) -> Iterator[str]:
    """Sentences that name the layer or parameter, what is wrong with it, and the remedy."""
    layers: dict[str, QgsRasterLayer] = {}
    for declared in method.parameters:
        if declared.kind in ("raster", "mask") and key(declared.name) in given:
            layer = given.value(declared)
            problem = _layer_problem(declared, layer, given)
            if problem:
                yield problem
            else:
                layers[declared.name] = layer
        elif declared.kind == "rasters":
            yield from _several_problems(declared, given)
        elif declared.kind == "vector" and key(declared.name) in given:
            layer = given.value(declared)
            if not isinstance(layer, QgsVectorLayer) or not layer.isValid():
                name = given.text(key(declared.name))
                yield f"'{declared.title}' is '{name}', which is missing or no vector layer; choose another."
    for declared in method.parameters:
        if declared.kind == "bands" and declared.parent is not None:
            yield from _band_problems(declared, layers, given)
        elif declared.odd and (value := given.value(declared)) != 0 and value % 2 == 0:
            yield f"'{declared.title}' is {value}, an even number; take {value + 1}."
        elif declared.kind == "raster_out":
            yield from _output_problems(method, declared, layers, given)


def _layer_problem(declared: Declaration, layer: QgsRasterLayer | None, given: Given) -> str | None:
    if layer is None:
        name = given.text(key(declared.name))
        return f"'{declared.title}' is '{name}', which is missing or no raster; choose a raster layer or file."
    obstacle = sources.obstacle(layer)
    return f"'{declared.title}': the layer '{layer.name()}' {obstacle}" if obstacle else None


def _several_problems(declared: Declaration, given: Given) -> Iterator[str]:
    layers: list[QgsMapLayer] = given.value(declared) or []
    if declared.required and not layers:
        yield f"'{declared.title}' has no layer; choose at least one raster layer."
    for layer in layers:
        if not isinstance(layer, QgsRasterLayer):
            yield f"'{declared.title}': the layer '{layer.name()}' is no raster; choose raster layers only."
        elif obstacle := sources.obstacle(layer):
            yield f"'{declared.title}': the layer '{layer.name()}' {obstacle}"


def _band_problems(declared: Declaration, layers: dict[str, QgsRasterLayer], given: Given) -> Iterator[str]:
    bands = given.value(declared) or []
    for role in (target.split(".")[1] for target in declared.targets):
        count = layers[role].bandCount() if role in layers else max(bands, default=0)
        wrong = [band for band in bands if not 1 <= band <= count]
        if wrong:
            yield (
                f"'{declared.title}': the layer '{layers[role].name()}' has no band {wrong[0]}; "
                f"choose from its bands 1 to {count}."
            )


def _output_problems(
    method: Declaration, declared: Declaration, layers: dict[str, QgsRasterLayer], given: Given
) -> Iterator[str]:
    destination = given.destination(key(declared.name))
    if not destination or destination == QgsProcessing.TEMPORARY_OUTPUT:
        return
    titles = {parameter.name: parameter.title for parameter in method.parameters}
    for name, layer in layers.items():
        if Path(sources.path(layer)).resolve() == Path(destination).resolve():
            yield (
                f"'{declared.title}' is the file '{destination}', which is also the input '{titles[name]}'; "
                "write to another file."
            )
