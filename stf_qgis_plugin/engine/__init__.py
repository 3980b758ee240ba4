"""The engine seen from QGIS: where it is, how it is installed, and how a job is run and stopped in it."""
