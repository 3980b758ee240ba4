"""How QGIS shows a raster of one quantity: the text of a QML file with a ramp of colours."""

from __future__ import annotations

from collections.abc import Sequence

#: From negative over zero to positive, and from little to much; both can be told apart by colour-blind people.
DIVERGING = ("#2166ac", "#92c5de", "#f7f7f7", "#f4a582", "#b2182b")
SEQUENTIAL = ("#fcfdbf", "#fc8961", "#b73779", "#51127c", "#000004")

_QML = """<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.22.0" styleCategories="Symbology">
  <pipe>
    <rasterrenderer type="singlebandpseudocolor" band="1" opacity="1" alphaBand="-1" \
classificationMin="{low}" classificationMax="{high}">
      <rastershader>
        <colorrampshader colorRampType="INTERPOLATED" classificationMode="1" clip="0" \
minimumValue="{low}" maximumValue="{high}" labelPrecision="4">
{items}
        </colorrampshader>
      </rastershader>
    </rasterrenderer>
  </pipe>
  <blendMode>0</blendMode>
</qgis>
"""


def ramp(colours: Sequence[str], low: float, high: float) -> str:
    """The style of a first band from ``low`` to ``high``, whose colours are interpolated and go on beyond the ends."""
    steps = [low + (high - low) * place / (len(colours) - 1) for place in range(len(colours))]
    items = "\n".join(
        f'          <item value="{value:.9g}" color="{colour}" label="{value:.4g}" alpha="255"/>'
        for value, colour in zip(steps, colours, strict=True)
    )
    return _QML.format(low=f"{low:.9g}", high=f"{high:.9g}", items=items)
