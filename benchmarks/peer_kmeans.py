"""K-means of a raster as a plain script does it: rasterio and scikit-learn, everything in memory.

``peer_kmeans.py IMAGE CLASSES OUTPUT``. Sample, restarts and number of classes are as ours.
"""

from __future__ import annotations

import sys

import numpy as np
import rasterio
from sklearn.cluster import KMeans

SAMPLE, RESTARTS = 100_000, 3


def main(path: str, classes: int, output: str) -> None:
    """Read, sample, fit, predict, write."""
    with rasterio.open(path) as source:
        image, profile = source.read(), source.profile
    bands, rows, columns = image.shape
    pixels = image.reshape(bands, -1).T.astype(np.float32) / 10_000
    valid = (image != source.nodata).all(axis=0).ravel()
    places = np.flatnonzero(valid)
    sample = pixels[np.random.default_rng(0).choice(places, min(SAMPLE, len(places)), replace=False)]
    model = KMeans(classes, n_init=RESTARTS, random_state=0).fit(sample)
    labels = np.zeros(rows * columns, np.uint8)
    labels[valid] = model.predict(pixels[valid]) + 1
    profile.update(count=1, dtype="uint8", nodata=0, compress="deflate")
    with rasterio.open(output, "w", **profile) as sink:
        sink.write(labels.reshape(1, rows, columns))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
