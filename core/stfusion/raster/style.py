"""How QGIS shows a raster: the text of a QML file with a ramp of colours, or with the classes of a map."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

#: From negative over zero to positive, and from little to much; both can be told apart by colour-blind people.
DIVERGING = ("#2166ac", "#92c5de", "#f7f7f7", "#f4a582", "#b2182b")
SEQUENTIAL = ("#fcfdbf", "#fc8961", "#b73779", "#51127c", "#000004")

_QML = """<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.22.0" styleCategories="Symbology">
  <pipe>
{renderer}
  </pipe>
  <blendMode>0</blendMode>
</qgis>
"""
_RAMP = """    <rasterrenderer type="singlebandpseudocolor" band="1" opacity="1" alphaBand="-1" \
classificationMin="{low}" classificationMax="{high}">
      <rastershader>
        <colorrampshader colorRampType="INTERPOLATED" classificationMode="1" clip="0" \
minimumValue="{low}" maximumValue="{high}" labelPrecision="4">
{items}
        </colorrampshader>
      </rastershader>
    </rasterrenderer>"""
_CLASSES = """    <rasterrenderer type="paletted" band="1" opacity="1" alphaBand="-1">
      <colorPalette>
{items}
      </colorPalette>
    </rasterrenderer>"""


def ramp(colours: Sequence[str], low: float, high: float) -> str:
    """The style of a first band from ``low`` to ``high``, whose colours are interpolated and go on beyond the ends."""
    steps = [low + (high - low) * place / (len(colours) - 1) for place in range(len(colours))]
    items = "\n".join(
        f'          <item value="{value:.9g}" color="{colour}" label="{value:.4g}" alpha="255"/>'
        for value, colour in zip(steps, colours, strict=True)
    )
    return _QML.format(renderer=_RAMP.format(low=f"{low:.9g}", high=f"{high:.9g}", items=items))


def paletted(classes: Iterable[tuple[int, str, tuple[int, int, int]]]) -> str:
    """The style of a map of classes: their values, names and colours (red, green, blue)."""
    items = "\n".join(
        f'        <paletteEntry value="{value}" color="#{red:02x}{green:02x}{blue:02x}" label="{escape(name)}" '
        'alpha="255"/>'
        for value, name, (red, green, blue) in classes
    )
    return _QML.format(renderer=_CLASSES.format(items=items))
