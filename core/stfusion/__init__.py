"""STF engine: spatiotemporal fusion of satellite images, without QGIS."""

__version__ = "0.1.0"

#: Version of the JSON lines that the engine prints; the plugin refuses another one.
PROTOCOL = 1
