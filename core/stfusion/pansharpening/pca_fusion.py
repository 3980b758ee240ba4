"""Declaration of principal component substitution."""

from __future__ import annotations

from stfusion.pansharpening._shared import declare

METHOD = declare(
    "pca_fusion",
    "Principal component (PCA)",
    "Replaces the first principal component of the bands by the panchromatic image.",
    "The bands are turned into principal components, uncorrelated sums of them, of which the first has most of the "
    "variance, mostly what they have in common. The panchromatic image, matched to its mean and standard deviation, "
    "takes its place. Any number of bands can be given. What the first component means depends on the scene: where it "
    "is not what the panchromatic image shows, colours change.",
    "Chavez, P. S., Kwarteng, A. Y. (1989). Extracting spectral contrast in Landsat Thematic Mapper image data using "
    "selective principal component analysis. Photogrammetric Engineering and Remote Sensing 55(3), 339-348.",
    tags=("pca", "principal components", "component substitution"),
)
