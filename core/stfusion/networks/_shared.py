"""What the declarations of the networks have in common."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from stfusion.declaration import Method, Option, Output, Role
from stfusion.fusion._shared import FIRST_PAIR, PREDICTION, SECOND_PAIR, SECOND_PAIR_OPTIONAL, TARGET
from stfusion.pansharpening._shared import ALIGNMENT, GUIDED, OUTPUT, ROLES

GROUP = "Spatiotemporal fusion (networks)"
SHARPENING_GROUP = "Pansharpening (networks)"

#: The ids of the fusion networks, in the order of their age.
NETWORKS = ("stfdcnn", "stfnet", "edcstfn", "gan_stfm", "stfgan", "swinstfm", "opgan", "sr3", "stfdiff")

#: The ids of the networks of sharpening, in the order of their age.
SHARPENING = ("pnn", "pannet", "drpnn", "msdcnn", "dicnn", "fusionnet", "gppnn", "ddif", "ssdiff")

#: Where the weights that come with the engine lie, each under the id of its network.
WEIGHTS_FOLDER = Path(__file__).parent / "weights"

#: Inputs: a fine image without a coarse one of its date, two pairs, and one or two; a network for one pair predicts
#: from each of two.
REFERENCE_ALONE = (FIRST_PAIR[0], TARGET)
TWO_PAIRS = (*FIRST_PAIR, TARGET, *SECOND_PAIR)
ONE_OR_TWO_PAIRS = (*FIRST_PAIR, TARGET, *SECOND_PAIR_OPTIONAL)

WEIGHTS = Role(
    "weights",
    "Weights",
    "file",
    "",
    "Checkpoint of this network (*.safetensors), as 'Train a fusion network' writes it. When empty, the weights that "
    "come with STF, for the networks that have some.",
    required=False,
    extension="safetensors",
)

BATCH = Option(
    "batch",
    "integer",
    "Patches at once",
    0,
    "Patches (and bands, of a network for single bands) that the device is given at once. 0 takes 16 on a graphics "
    "card and 1 on a processor, which gains nothing from more. Where the memory is short the number is halved.",
    minimum=0,
    maximum=1024,
)

UNCERTAINTY = Output(
    "uncertainty",
    "raster_out",
    "Uncertainty",
    "Standard deviation of the samples, band by band, in the unit of the image: where it is large, the images did not "
    "settle what the pixel is. Needs at least two samples.",
    required=False,
)

DIFFUSION = (
    Option(
        "samples",
        "integer",
        "Samples",
        4,
        "Images that are drawn with different noise; the result is their mean, whose errors are smaller than those of "
        "one. Each takes as long as the first.",
        minimum=1,
        maximum=1000,
        advanced=False,
    ),
    Option(
        "steps",
        "integer",
        "Steps",
        0,
        "Steps from noise to image. Few give what is most likely, many give more grain. 0 takes as many as the weights "
        "do best with.",
        minimum=0,
        maximum=2000,
        advanced=False,
    ),
    Option(
        "sampler",
        "choice",
        "Sampler",
        "ddim",
        "ddim: a few steps, with as much fresh noise as 'Fresh noise' says. ddpm: as the network was trained, with "
        "fresh noise in every step; best with as many steps as the training had. dpm-solver++: a few steps without "
        "fresh noise, each led by the one before, which come nearer to what many steps give.",
        choices=("ddim", "ddpm", "dpm-solver++"),
    ),
    Option(
        "eta",
        "number",
        "Fresh noise (eta)",
        0.0,
        "Share of fresh noise in the steps of ddim: 0 none, so that the first noise decides; 1 as much as ddpm.",
        minimum=0.0,
        maximum=1.0,
    ),
)

TAGS = ("fusion", "network", "deep learning", "landsat", "modis", "sentinel", "reflectance", "time series")


def network(
    *, name: str, title: str, summary: str, description: str, paper: str, doi: str, roles: tuple[Role, ...],
    diffusion: bool = False,
) -> Method:
    """The declaration of a network: what it takes besides its images is the same for all."""
    return Method(
        id=name,
        operation="fuse",
        title=title,
        group=GROUP,
        summary=summary,
        description=description,
        paper=paper,
        doi=doi,
        roles=(*roles, WEIGHTS),
        options=(*(DIFFUSION if diffusion else ()), BATCH),
        outputs=(PREDICTION, *((UNCERTAINTY,) if diffusion else ())),
        run="stfusion.networks._run:run",
        tags=TAGS,
        needs="networks",
    )


def sharpening(
    *, name: str, title: str, summary: str, description: str, paper: str, doi: str, diffusion: bool = False,
    several: bool = False,
) -> Method:
    """The declaration of a network of sharpening; where the interpolated image lies is for its checkpoint to say.

    One that takes ``several`` bands in place of the panchromatic one sharpens hyperspectral images too.
    """
    training = "Checkpoint of this network (*.safetensors), as 'Train a pansharpening network' or 'Import a network' "
    return Method(
        id=name,
        operation="pansharpen",
        title=title,
        group=SHARPENING_GROUP,
        summary=summary,
        description=description,
        paper=paper,
        doi=doi,
        roles=(
            *(GUIDED if several else ROLES),
            replace(WEIGHTS, help=training + "writes it. When empty, the weights that come with STF, for the networks "
                    "that have some."),
        ),
        options=(
            *(DIFFUSION if diffusion else ()), BATCH,
            *(option for option in ALIGNMENT if option.id != "grid"),
        ),
        outputs=(OUTPUT, *((UNCERTAINTY,) if diffusion else ())),
        run="stfusion.networks._sharpen:run",
        tags=("pansharpening", "pan-sharpening", "panchromatic", "sharpen", "network", "deep learning"),
        needs="networks",
    )


def shipped(name: str) -> Path | None:
    """The checkpoint of a network that comes with the engine; none for a network that is offered for training only."""
    path = WEIGHTS_FOLDER / f"{name}.safetensors"
    return path if path.exists() else None
