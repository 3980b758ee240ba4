"""K-means classification: fitting, the model file, prediction, and the paletted raster."""
