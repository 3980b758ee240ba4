"""What a method is, said once: the command line, the QGIS forms, the docs and the checks are made from it.

Nothing here imports numpy, so that ``stfusion --help`` and ``stfusion info`` answer at once.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

Scalar = int | float | bool | str
Kind = Literal[
    "raster", "rasters", "mask", "bands", "date", "vector", "field", "file", "files", "folder",
    "integer", "number", "boolean", "choice", "text", "extent",
    "raster_out", "vector_out", "file_out", "folder_out",
]


#: The dates that images can have a part in, in words.
EPOCHS = {"pair": "the pair", "pair2": "the second pair", "target": "the target image"}


@dataclass(frozen=True)
class Parameter:
    """One value that a user gives: a flag of the command line, a parameter of the QGIS form.

    ``name`` is lower case with underscores: the flag is ``--fine-bands``, the QGIS parameter ``FINE_BANDS``.
    ``targets`` are the places in the job that receive the value, such as ``inputs.fine.bands``.
    ``parent`` names the raster or vector parameter whose bands or fields are chosen from (kinds ``bands`` and
    ``field``; bands of several rasters have none). ``extension`` is that of a file (kinds ``file`` and
    ``file_out``), such as ``json``.
    A parameter that is not required and has no default is left out of the job when it is not given. A ``positional``
    one stands on the command line without a flag, and has to.
    """

    name: str
    kind: Kind
    title: str
    help: str
    targets: tuple[str, ...]
    default: Scalar | None = None
    required: bool = False
    advanced: bool = False
    minimum: float | None = None
    maximum: float | None = None
    odd: bool = False
    choices: tuple[str, ...] = ()
    parent: str | None = None
    extension: str = ""
    positional: bool = False


#: The sensors whose images have bands, a mask and a nodata value, in words.
SENSORS = {
    "fine": "fine images",
    "coarse": "coarse images",
    "image": "images",
    "fused": "fused image",
    "reference": "reference image",
    "pan": "panchromatic image",
}


@dataclass(frozen=True)
class Role:
    """An input and its part in the method: its sensor (:data:`SENSORS`) and its epoch (:data:`EPOCHS`, or none).

    What is no image has a word of its own instead of a sensor: a map of "classes" has one band and neither mask nor
    nodata value of the user's own, a "mask" has values that mean clear, a "vector" layer has a field that is chosen, a
    "file" is read as it is and has an ``extension``, "files" may be of any kind, a "folder" stands for what is in it.
    An image with ``several`` files has the bands of all of them, one after the other, unless its ``help`` says that
    each file is an image. One that is ``advanced`` is folded away in the form.
    """

    id: str
    title: str
    sensor: Literal[
        "fine", "coarse", "image", "fused", "reference", "pan", "classes", "mask", "vector", "file", "files", "folder"
    ]
    epoch: str
    help: str
    required: bool = True
    several: bool = False
    extension: str = ""
    advanced: bool = False


@dataclass(frozen=True)
class Option:
    """A setting of a method, with its default and its range (values in the unit that ``help`` says).

    One that is ``positional`` is given on the command line as a word without a flag. An "extent" is written as QGIS
    writes one: west,east,south,north and the coordinate system in brackets.
    """

    id: str
    kind: Literal["integer", "number", "boolean", "choice", "text", "extent"]
    title: str
    default: Scalar
    help: str
    minimum: float | None = None
    maximum: float | None = None
    odd: bool = False
    choices: tuple[str, ...] = ()
    advanced: bool = True
    positional: bool = False


@dataclass(frozen=True)
class Output:
    """A file or folder that a method writes; one that is not required is written where it is asked for.

    ``images`` says that it is a folder of dated images, which QGIS opens as a group of layers.
    """

    id: str
    kind: Literal["raster_out", "vector_out", "file_out", "folder_out"]
    title: str
    help: str
    required: bool = True
    extension: str = ""
    images: bool = False


@dataclass(frozen=True)
class Result:
    """What a run gives besides its outputs: the path of an HTML file in one of them, a number or a text."""

    id: str
    kind: Literal["html", "number", "text"]
    title: str


@dataclass(frozen=True)
class Method:
    """A method, complete: identity, source, inputs, options, outputs and the function that runs it.

    ``run`` is ``"module:function"`` and is imported only when the method runs; the function takes a
    :class:`stfusion.run.Context` and returns the results by name. ``needs`` is the tier of packages. ``example`` names
    what the example on its page gives besides what is required.
    """

    id: str
    operation: str
    title: str
    group: str
    summary: str
    description: str
    paper: str
    doi: str
    roles: tuple[Role, ...]
    options: tuple[Option, ...]
    outputs: tuple[Output, ...]
    run: str
    results: tuple[Result, ...] = ()
    tags: tuple[str, ...] = ()
    needs: Literal["base", "networks"] = "base"
    example: tuple[str, ...] = ()

    @property
    def command(self) -> tuple[str, ...]:
        """Words of the command line: ``("fuse", "starfm")``, or one word where the operation has one method.

        An id that begins or ends with the operation says it once: ``assess_fusion`` is ``("assess", "fusion")``,
        ``plan_series`` is ``("series", "plan")``.
        """
        word = self.id.removeprefix(f"{self.operation}_").removesuffix(f"_{self.operation}")
        return (self.operation,) if self.operation == self.id else (self.operation, word)

    def load(self) -> Callable[..., dict[str, Any]]:
        """Import and return the function that runs the method."""
        module, _, name = self.run.partition(":")
        function: Callable[..., dict[str, Any]] = getattr(importlib.import_module(module), name)
        return function

    def parameters(self) -> tuple[Parameter, ...]:
        """Every value that a user can give, in the order of the form: inputs, bands, dates, options, outputs."""
        return (*self._inputs(), *self._per_sensor(), *self._dates(), *self._options(), *self._outputs())

    def _images(self) -> list[Role]:
        """The roles of images."""
        return [role for role in self.roles if role.sensor in SENSORS]

    def _inputs(self) -> Iterator[Parameter]:
        kinds: dict[str, Kind] = {"vector": "vector", "file": "file", "folder": "folder"}
        listed: dict[str, Kind] = {"files": "files"}
        for role in self.roles:
            yield Parameter(
                role.id,
                listed.get(role.sensor, "rasters") if role.several else kinds.get(role.sensor, "raster"),
                role.title,
                role.help,
                (f"inputs.{role.id}.path",),
                required=role.required,
                advanced=role.advanced,
                extension=role.extension,
            )
            if role.sensor == "vector":
                yield Parameter(
                    f"{role.id}_field",
                    "field",
                    f"Field of the {role.title[0].lower()}{role.title[1:]}",
                    "Attribute that holds the class: numbers or text. When empty, the field 'reference', or else the "
                    "first of whole numbers.",
                    (f"inputs.{role.id}.field",),
                    parent=role.id,
                )
        for role in self._images():
            yield Parameter(
                f"{role.id}_mask",
                "mask",
                f"Mask of the {role.title[0].lower()}{role.title[1:]}",
                "Raster of clouds and shadows: pixels that do not have one of the clear values are left out. It is "
                "resampled to the image's grid by nearest neighbour.",
                (f"inputs.{role.id}.mask",),
                advanced=True,
            )
        masked = tuple(f"inputs.{role.id}.clear" for role in self.roles if role.sensor in (*SENSORS, "mask"))
        if masked:
            yield Parameter(
                "clear",
                "text",
                "Clear values of the masks",
                "Values at which masks are clear, separated by commas, such as 0,1 for clear land and water in an "
                "Fmask. 0 when empty.",
                masked,
                advanced=not any(role.sensor == "mask" for role in self.roles),
            )

    def _per_sensor(self) -> Iterator[Parameter]:
        for sensor in dict.fromkeys(role.sensor for role in self._images()):
            roles, images = [role.id for role in self.roles if role.sensor == sensor], SENSORS[sensor]
            goes_with = (
                "" if sensor not in ("fine", "coarse")
                else f"; the first {sensor} band goes with the first band of the other sensor, and so on"
            )
            yield Parameter(
                f"{sensor}_bands",
                "bands",
                f"Bands of the {images}",
                f"Band numbers of the {images} to use, from 1, in order{goes_with}. All bands when empty.",
                tuple(f"inputs.{role}.bands" for role in roles),
                advanced=True,
                parent=None if any(role.several for role in self.roles if role.id in roles) else roles[0],
            )
            yield Parameter(
                f"{sensor}_nodata",
                "number",
                f"Nodata value of the {images}",
                "Stored value that means 'no data', when the file's header says none or a wrong one.",
                tuple(f"inputs.{role}.nodata" for role in roles),
                advanced=True,
            )

    def _dates(self) -> Iterator[Parameter]:
        for epoch in dict.fromkeys(role.epoch for role in self._images() if role.epoch):
            roles = [role for role in self.roles if role.epoch == epoch]
            yield Parameter(
                f"{epoch}_date",
                "date",
                f"Date of {EPOCHS[epoch]}",
                "Acquisition date (YYYY-MM-DD). Read from the file's tags or name when empty.",
                tuple(f"inputs.{role.id}.date" for role in roles),
                advanced=True,
            )

    def _options(self) -> Iterator[Parameter]:
        for option in self.options:
            yield Parameter(
                option.id,
                option.kind,
                option.title,
                option.help,
                (f"options.{option.id}",),
                default=option.default,
                advanced=option.advanced,
                minimum=option.minimum,
                maximum=option.maximum,
                odd=option.odd,
                choices=option.choices,
                positional=option.positional,
            )

    def _outputs(self) -> Iterator[Parameter]:
        for output in self.outputs:
            yield Parameter(
                output.id,
                output.kind,
                output.title,
                output.help,
                (f"outputs.{output.id}",),
                required=output.required,
                extension=output.extension,
            )

    def as_dict(self) -> dict[str, Any]:
        """The declaration as plain values, for ``stfusion info --json`` and ``resources/methods.json``."""
        plain = asdict(self)
        for of_the_engine in ("run", "example"):
            plain.pop(of_the_engine)
        plain["parameters"] = [asdict(parameter) for parameter in self.parameters()]
        return plain
