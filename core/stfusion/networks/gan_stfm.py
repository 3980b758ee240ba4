"""GAN-STFM: reference-insensitive conditional adversarial network (Tan et al. 2022)."""

from __future__ import annotations

from stfusion.networks._shared import REFERENCE_ALONE, network

METHOD = network(
    name="gan_stfm",
    title="GAN-STFM",
    summary="Predicts a fine image from the coarse image of the target date and any fine image of the place.",
    description=(
        "GAN-STFM needs no coarse image of the pair: it sharpens the coarse image of the target date with the "
        "structure of one fine image, of whatever date. Its generator learns against a discriminator at three scales "
        "and normalises by mixtures of statistics (switchable normalisation), so that the date of the reference "
        "matters little. Structures that neither the reference nor the coarse image shows are invented at best."
    ),
    paper=(
        "Tan, Z., Gao, M., Li, X., Jiang, L. (2022). A flexible reference-insensitive spatiotemporal fusion model for "
        "remote sensing images using conditional generative adversarial network. IEEE Transactions on Geoscience and "
        "Remote Sensing 60, 5601413."
    ),
    doi="10.1109/TGRS.2021.3050551",
    roles=REFERENCE_ALONE,
)
