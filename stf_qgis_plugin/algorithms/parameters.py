"""Declared parameters as QGIS parameters, and what the user gave for them as plain values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsProcessing,
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingParameterBand,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterDateTime,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterEnum,
    QgsProcessingParameterExtent,
    QgsProcessingParameterField,
    QgsProcessingParameterFile,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterFolderDestination,
    QgsProcessingParameterMultipleLayers,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
    QgsProcessingParameterVectorDestination,
    QgsProcessingParameterVectorLayer,
)
from qgis.PyQt.QtCore import Qt

from .declarations import Declaration

Values = Mapping[str, Any]
#: Whose names of coordinate systems the engine knows.
_AUTHORITIES = ("EPSG", "ESRI", "OGC")


def key(name: str) -> str:
    """The QGIS name of a declared name."""
    return name.upper()


def definition(declared: Declaration) -> QgsProcessingParameterDefinition:
    """The QGIS parameter of a declared one, with its help and its place in the form."""
    made = _MAKERS[declared.kind](declared)
    choices = f" One of: {', '.join(declared.choices)}." if declared.choices else ""
    return finish(made, declared.help + choices, declared.advanced)


def finish(made: QgsProcessingParameterDefinition, help_text: str, advanced: bool) -> QgsProcessingParameterDefinition:
    """Give a QGIS parameter its help, and fold it away when it is advanced."""
    made.setHelp(help_text)
    if advanced:
        made.setFlags(made.flags() | QgsProcessingParameterDefinition.Flag.FlagAdvanced)
    return made


def _raster(declared: Declaration) -> QgsProcessingParameterDefinition:
    return QgsProcessingParameterRasterLayer(key(declared.name), declared.title, optional=not declared.required)


def _rasters(declared: Declaration) -> QgsProcessingParameterDefinition:
    return QgsProcessingParameterMultipleLayers(
        key(declared.name), declared.title, QgsProcessing.SourceType.TypeRaster, optional=not declared.required
    )


def _vector(declared: Declaration) -> QgsProcessingParameterDefinition:
    return QgsProcessingParameterVectorLayer(key(declared.name), declared.title, optional=not declared.required)


def _field(declared: Declaration) -> QgsProcessingParameterDefinition:
    return QgsProcessingParameterField(
        key(declared.name),
        declared.title,
        parentLayerParameterName=key(declared.parent),
        optional=not declared.required,
    )


def _file(declared: Declaration) -> QgsProcessingParameterDefinition:
    return QgsProcessingParameterFile(
        key(declared.name), declared.title, extension=declared.extension, optional=not declared.required
    )


def _files(declared: Declaration) -> QgsProcessingParameterDefinition:
    return QgsProcessingParameterMultipleLayers(
        key(declared.name), declared.title, QgsProcessing.SourceType.TypeFile, optional=not declared.required
    )


def _folder(declared: Declaration) -> QgsProcessingParameterDefinition:
    return QgsProcessingParameterFile(
        key(declared.name), declared.title, QgsProcessingParameterFile.Behavior.Folder, optional=not declared.required
    )


def _bands(declared: Declaration) -> QgsProcessingParameterDefinition:
    if declared.parent is None:
        return _text(declared)
    return QgsProcessingParameterBand(
        key(declared.name),
        declared.title,
        parentLayerParameterName=key(declared.parent),
        optional=not declared.required,
        allowMultiple=True,
    )


def _date(declared: Declaration) -> QgsProcessingParameterDefinition:
    return QgsProcessingParameterDateTime(
        key(declared.name),
        declared.title,
        type=QgsProcessingParameterDateTime.Type.Date,
        optional=not declared.required,
    )


def _number(declared: Declaration) -> QgsProcessingParameterDefinition:
    kind = QgsProcessingParameterNumber.Type
    made = QgsProcessingParameterNumber(
        key(declared.name),
        declared.title,
        type=kind.Integer if declared.kind == "integer" else kind.Double,
        defaultValue=declared.default,
        optional=declared.default is None and not declared.required,
    )
    if declared.minimum is not None:
        made.setMinimum(declared.minimum)
    if declared.maximum is not None:
        made.setMaximum(declared.maximum)
    return made


def _boolean(declared: Declaration) -> QgsProcessingParameterDefinition:
    return QgsProcessingParameterBoolean(key(declared.name), declared.title, defaultValue=declared.default)


def _choice(declared: Declaration) -> QgsProcessingParameterDefinition:
    return QgsProcessingParameterEnum(
        key(declared.name),
        declared.title,
        options=declared.choices,
        defaultValue=declared.default,
        usesStaticStrings=True,
    )


def _text(declared: Declaration) -> QgsProcessingParameterDefinition:
    return QgsProcessingParameterString(
        key(declared.name), declared.title, defaultValue=declared.default, optional=not declared.required
    )


def _extent(declared: Declaration) -> QgsProcessingParameterDefinition:
    return QgsProcessingParameterExtent(
        key(declared.name), declared.title, defaultValue=declared.default, optional=not declared.required
    )


def _raster_out(declared: Declaration) -> QgsProcessingParameterDefinition:
    return QgsProcessingParameterRasterDestination(
        key(declared.name), declared.title, optional=not declared.required, createByDefault=declared.required
    )


def _vector_out(declared: Declaration) -> QgsProcessingParameterDefinition:
    return QgsProcessingParameterVectorDestination(
        key(declared.name), declared.title, optional=not declared.required, createByDefault=declared.required
    )


def _file_out(declared: Declaration) -> QgsProcessingParameterDefinition:
    extension = declared.extension
    return QgsProcessingParameterFileDestination(
        key(declared.name),
        declared.title,
        f"{extension.upper()} files (*.{extension})",
        optional=not declared.required,
        createByDefault=declared.required,
    )


def _folder_out(declared: Declaration) -> QgsProcessingParameterDefinition:
    return QgsProcessingParameterFolderDestination(
        key(declared.name), declared.title, optional=not declared.required, createByDefault=declared.required
    )


_MAKERS: dict[str, Callable[[Declaration], QgsProcessingParameterDefinition]] = {
    "raster": _raster,
    "rasters": _rasters,
    "mask": _raster,
    "vector": _vector,
    "field": _field,
    "file": _file,
    "files": _files,
    "folder": _folder,
    "bands": _bands,
    "date": _date,
    "integer": _number,
    "number": _number,
    "boolean": _boolean,
    "choice": _choice,
    "text": _text,
    "extent": _extent,
    "raster_out": _raster_out,
    "vector_out": _vector_out,
    "file_out": _file_out,
    "folder_out": _folder_out,
}


def _absolute(value: Any, kind: str) -> Any:
    """Paths from the root, since the engine works in another folder; what is no local file stays as it is."""
    if kind == "files":
        return [_absolute(path, "file") for path in value]
    if kind.endswith("_out") or (kind in ("file", "folder") and Path(value).exists()):
        return str(Path(value).absolute())
    return value


class Given:
    """What the user gave to an algorithm: typed values of its parameters, or None where nothing was given."""

    def __init__(self, algorithm: QgsProcessingAlgorithm, values: Values, context: QgsProcessingContext) -> None:
        self._algorithm = algorithm
        self.values = values
        self.context = context

    def __contains__(self, name: str) -> bool:
        """Whether there is a value for a QGIS parameter name."""
        value = self.values.get(name)
        if value is None or value in ("", []):
            return False
        # Forms hand over null dates and null variants for fields that were left empty.
        is_null = getattr(value, "isNull", None)
        return is_null is None or not is_null()

    def value(self, declared: Declaration) -> Any:
        """The plain value of a declared parameter; layers for rasters and vectors."""
        name = key(declared.name)
        if name not in self and declared.default is None:
            return None
        if declared.kind == "extent":
            return self._extent(name)
        listed = declared.kind == "bands" and declared.parent is None
        read = getattr(self._algorithm, _READERS["text" if listed else declared.kind])
        value = read(self.values, name, self.context)
        if listed:
            # What is no number is left to the engine's check, which says how bands are written.
            return [int(part) if part.strip().isdecimal() else part for part in value.split(",")] if value else None
        if declared.kind == "date":
            return value.date().toString(Qt.DateFormat.ISODate)
        if declared.kind == "field":
            return value[0]
        return _absolute(value, declared.kind)

    def _extent(self, name: str) -> str:
        """An extent as QGIS writes it; in longitude and latitude where its own coordinate system has no name."""
        if name not in self:
            return ""
        crs = self._algorithm.parameterAsExtentCrs(self.values, name, self.context)
        if crs.isValid() and crs.authid().partition(":")[0] not in _AUTHORITIES:
            crs = QgsCoordinateReferenceSystem("EPSG:4326")
        box = self._algorithm.parameterAsExtent(self.values, name, self.context, crs)
        numbers = (box.xMinimum(), box.xMaximum(), box.yMinimum(), box.yMaximum())
        return ",".join(map(repr, numbers)) + (f" [{crs.authid()}]" if crs.isValid() else "")

    def text(self, name: str) -> str:
        """What was given, in words for a message: the name of a layer, the path of a file."""
        value = self.values.get(name)
        return value.name() if hasattr(value, "name") else str(value)

    def destination(self, name: str) -> str:
        """Where an output shall go, as the user wrote it, without the side effects of resolving it."""
        value = self.values.get(name)
        sink = getattr(value, "sink", None)
        if sink is None:
            return str(self._algorithm.parameterAsString(self.values, name, self.context))
        return str(sink.valueAsString(self.context.expressionContext(), "")[0])


_READERS = {
    "raster": "parameterAsRasterLayer",
    "rasters": "parameterAsLayerList",
    "mask": "parameterAsRasterLayer",
    "vector": "parameterAsVectorLayer",
    "field": "parameterAsFields",
    "file": "parameterAsFile",
    "files": "parameterAsFileList",
    "folder": "parameterAsFile",
    "bands": "parameterAsInts",
    "date": "parameterAsDateTime",
    "integer": "parameterAsInt",
    "number": "parameterAsDouble",
    "boolean": "parameterAsBool",
    "choice": "parameterAsEnumString",
    "text": "parameterAsString",
    "raster_out": "parameterAsOutputLayer",
    "vector_out": "parameterAsOutputLayer",
    "file_out": "parameterAsFileOutput",
    "folder_out": "parameterAsFileOutput",
}
