"""What describes a series of images that was written: a virtual stack, a STAC item collection and a manifest."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from html import escape
from pathlib import Path
from typing import Any

import rasterio
from odc.geo.geobox import GeoBox

from stfusion import __version__
from stfusion.errors import UserError
from stfusion.folder import whole_file
from stfusion.job import Input
from stfusion.parts import Record
from stfusion.raster.source import Source
from stfusion.raster.stack import STACK
from stfusion.run import Context
from stfusion.series._orders import UNCERTAINTY
from stfusion.series._plan import Plan

#: The names of GDAL's data types in a virtual raster, by those of numpy.
_TYPES = {
    "uint8": "Byte", "int8": "Int8", "uint16": "UInt16", "int16": "Int16", "uint32": "UInt32", "int32": "Int32",
    "float32": "Float32", "float64": "Float64",
}
MANIFEST = "manifest.json"
_STAC = "1.0.0"
_PROJECTION = "https://stac-extensions.github.io/projection/v1.1.0/schema.json"
_COG = "image/tiff; application=geotiff; profile=cloud-optimized"


@dataclass(frozen=True)
class Entry:
    """A date of the series: what was to be done, and how it ended (no record: it was skipped)."""

    day: date
    action: str
    note: str
    row: Mapping[str, Any]
    record: Record | None

    @property
    def state(self) -> str:
        """How it ended: "fused", "kept", "skipped" or "failed"."""
        if self.record is None:
            return "skipped"
        return "failed" if self.record.error else {"fuse": "fused", "keep": "kept"}[self.action]

    @property
    def file(self) -> str | None:
        """The path of its image in the folder, if it has one."""
        return str(self.record.outputs["output"]["path"]) if self.record and not self.record.error else None


def entries_of(plan: Plan, records: Mapping[str, Record]) -> list[Entry]:
    """The dates of the plan with their records."""
    return [
        Entry(choice.day, choice.action, choice.note, row, records.get(f"{choice.day:%Y%m%d}"))
        for choice, row in zip(plan.choices, plan.rows(), strict=True)
    ]


def write_products(
    context: Context, folder: Path, plan: Plan, entries: Sequence[Entry], check: Mapping[str, Any] | None
) -> None:
    """Write stack.vrt, items.json and manifest.json into the folder."""
    written = [entry for entry in entries if entry.file]
    grid = plan.stacks.reference.grid
    texts = {
        "items.json": _dump(item_collection(folder.name, grid, written)),
        MANIFEST: _dump(_manifest(context, plan, entries, check)),
    }
    if written:
        texts[STACK] = virtual_stack(folder, written)
    for name, text in texts.items():
        with whole_file(str(folder / name), context.stop) as path:
            path.write_text(text, encoding="utf-8")


def read_json(path: Path) -> Any:
    """What an earlier run has written into the folder.

    Raises
    ------
    UserError
        The file cannot be read.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"'{path}' of an earlier run cannot be read ({error}); choose another folder.") from error


def _dump(plain: Any) -> str:
    return json.dumps(plain, indent=2) + "\n"


def virtual_stack(folder: Path, entries: Sequence[Entry]) -> str:
    """A virtual raster of GDAL with the bands of all dates, each called by its date (and its name, if it has one)."""
    with rasterio.open(folder / str(entries[0].file)) as first:
        profile, transform = first.profile, first.transform
        crs = first.crs.to_wkt() if first.crs else None
        scales, offsets, names = first.scales, first.offsets, first.descriptions
    size = f'xSize="{profile["width"]}" ySize="{profile["height"]}"'
    whole = f'<SrcRect xOff="0" yOff="0" {size}/><DstRect xOff="0" yOff="0" {size}/>'
    lines = [f'<VRTDataset rasterXSize="{profile["width"]}" rasterYSize="{profile["height"]}">']
    if crs:
        lines.append(f"<SRS>{escape(crs)}</SRS>")
    lines.append(f"<GeoTransform>{', '.join(map(repr, transform.to_gdal()))}</GeoTransform>")
    bands = [(entry, index) for entry in entries for index in range(len(names))]
    for number, (entry, index) in enumerate(bands, 1):
        title = names[index] or (f"band {index + 1}" if len(names) > 1 else "")
        lines += [
            f'<VRTRasterBand dataType="{_TYPES[profile["dtype"]]}" band="{number}">',
            f"<Description>{escape(f'{entry.day} {title}'.rstrip())}</Description>",
            f"<NoDataValue>{profile['nodata']!r}</NoDataValue>",
            f"<Offset>{offsets[index]!r}</Offset><Scale>{scales[index]!r}</Scale>",
            f'<SimpleSource><SourceFilename relativeToVRT="1">{escape(str(entry.file))}</SourceFilename>',
            f"<SourceBand>{index + 1}</SourceBand>{whole}</SimpleSource></VRTRasterBand>",
        ]
    return "\n".join([*lines, "</VRTDataset>"]) + "\n"


def item_collection(name: str, grid: GeoBox, entries: Sequence[Entry]) -> dict[str, Any]:
    """The images as a STAC item collection (version 1.0.0); their paths are relative to its file."""
    return {"type": "FeatureCollection", "features": [_item(name, grid, entry) for entry in entries]}


def _item(name: str, grid: GeoBox, entry: Entry) -> dict[str, Any]:
    assets = {
        key: {"href": f"./{output['path']}", "type": _COG, "roles": ["data" if key == "output" else UNCERTAINTY]}
        for key, output in (entry.record.outputs if entry.record else {}).items()
    }
    item: dict[str, Any] = {
        "type": "Feature", "stac_version": _STAC, "stac_extensions": [_PROJECTION],
        "id": f"{name}_{entry.day:%Y%m%d}", "geometry": None,
        "properties": {
            "datetime": f"{entry.day}T00:00:00Z", "stfusion:state": entry.state,
            "proj:epsg": grid.crs.epsg if grid.crs else None, "proj:shape": list(map(int, grid.shape)),
            "proj:transform": list(grid.affine)[:6],
        },
        "links": [], "assets": assets,
    }
    if grid.crs is not None:
        place = grid.geographic_extent
        box = place.boundingbox
        item["geometry"] = place.json
        item["bbox"] = [round(value, 7) for value in (box.left, box.bottom, box.right, box.top)]
    return item


def _manifest(
    context: Context, plan: Plan, entries: Sequence[Entry], check: Mapping[str, Any] | None
) -> dict[str, Any]:
    reference = plan.stacks.reference
    return {
        "engine": f"stfusion {__version__}",
        "job": json.loads(context.job.to_json()),
        "plan": {"summary": plan.summary, "remarks": plan.remarks},
        "grid": {
            "crs": reference.crs_name, "shape": list(reference.shape), "transform": list(reference.grid.affine)[:6],
        },
        "dates": [_of_date(entry) for entry in entries],
        "check": check,
    }


def _of_date(entry: Entry) -> dict[str, Any]:
    found: dict[str, Any] = {"state": entry.state, **{k: v for k, v in entry.row.items() if v not in (None, "")}}
    record = entry.record
    if record is not None:
        found |= {
            "error": record.error or None, "seconds": record.seconds, "processor_seconds": record.processor_seconds,
            "peak_memory_mb": record.peak_memory_mb, "notes": record.notes, "outputs": record.outputs,
        }
    return found


def thinned(folder: Path, entries: Sequence[Entry], side: int) -> dict[date, Any]:
    """The images (bands, rows, columns), thinned to a number of rows and columns."""
    return {
        entry.day: Source("Image", Input(str(folder / str(entry.file)))).thinned(side)[0]
        for entry in entries if entry.file
    }
