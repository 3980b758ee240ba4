"""PanNet: a network that learns from high frequencies alone (Yang et al. 2017)."""

from __future__ import annotations

from stfusion.networks._shared import sharpening

METHOD = sharpening(
    name="pannet",
    title="PanNet",
    summary="Learns from the high frequencies of both images which detail the interpolated one lacks.",
    description=(
        "The means of the surroundings are taken away from both images before the network sees them, so that it "
        "depends less on the sensor and on what the brightness was; the interpolated image is added to what it gives. "
        "The multispectral image is upsampled inside, so that a checkpoint is for one ratio."
    ),
    paper=(
        "Yang, J., Fu, X., Hu, Y., Huang, Y., Ding, X., Paisley, J. (2017). PanNet: a deep network architecture for "
        "pan-sharpening. Proceedings of the IEEE International Conference on Computer Vision, 1753-1761."
    ),
    doi="10.1109/ICCV.2017.193",
)
