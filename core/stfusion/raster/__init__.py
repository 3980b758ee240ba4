"""Raster access: grids, aligned reading, dates, tiles and Cloud Optimized GeoTIFF output."""
