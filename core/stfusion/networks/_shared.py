"""What the declarations of the networks have in common."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from stfusion.declaration import Method, Option, Output, Result, Role
from stfusion.fusion._shared import FIRST_PAIR, PREDICTION, SECOND_PAIR, SECOND_PAIR_OPTIONAL, TARGET
from stfusion.pansharpening._shared import ALIGNMENT, GUIDED, OUTPUT, ROLES
from stfusion.raster.mtf import GAINS_OPTION, SENSOR_OPTION

GROUP = "Spatiotemporal fusion (networks)"
SHARPENING_GROUP = "Pansharpening (networks)"

#: The ids of the fusion networks, in the order of their age.
NETWORKS = ("stfdcnn", "stfnet", "edcstfn", "gan_stfm", "stfgan", "swinstfm", "opgan", "sr3", "stfdiff")

#: The ids of the networks of sharpening, in the order of their age.
SHARPENING = ("pnn", "pannet", "drpnn", "msdcnn", "dicnn", "fusionnet", "gppnn", "ddif", "ssdiff")

#: The ids of those that learn from the scene that they sharpen.
SCENE_TAUGHT = ("zpnn", "lambda_pnn")

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

ZERO_SHOT = (
    Option(
        "iterations", "integer", "Iterations", 500,
        "Crops of the scene that are learnt from, one after the other. 0 sharpens with the weights as they are.",
        minimum=0, maximum=100_000, advanced=False,
    ),
    Option(
        "learn_at", "choice", "Resolution to learn at", "full",
        "full: that of the images, where no truth is known; the image has to agree with both of them, as published. "
        "reduced: both images are made coarser by their ratio, and the multispectral one is the truth. both: in turns.",
        choices=("full", "reduced", "both"), advanced=False,
    ),
    Option(
        "size", "choice", "Size", "published",
        "published: as large as in the paper. small: fewer channels, about three times as fast.",
        choices=("published", "small"),
    ),
    Option(
        "crop", "integer", "Crop (panchromatic pixels)", 128, "Side of the crops that are learnt from.",
        minimum=16, maximum=2048,
    ),
    Option(
        "patience", "integer", "Patience (rounds of 25 iterations)", 8,
        "End the learning when so many rounds brought nothing better. 0: never.", minimum=0,
    ),
    SENSOR_OPTION,
    GAINS_OPTION,
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


def zero_shot(*, name: str, title: str, summary: str, description: str, paper: str, doi: str) -> Method:
    """The declaration of a network of sharpening that learns from the scene itself."""
    method = sharpening(name=name, title=title, summary=summary, description=description, paper=paper, doi=doi)
    return replace(
        method,
        roles=(
            *ROLES,
            replace(WEIGHTS, help="What this method has learnt from another scene (*.safetensors), to go on from, or, "
                    "without iterations, to sharpen with. Same bands, ratio and unit."),
        ),
        options=(*ZERO_SHOT, *method.options),
        outputs=(
            *method.outputs,
            Output(
                "checkpoint", "file_out", "What was learnt",
                "The trained network (*.safetensors), for the neighbouring scene. Beside it, with the same name: the "
                "model card (*.json and *.md), the report with the curves of the losses (*.html), and the folder "
                "*.training with all that is needed to go on after a stop.",
                required=False, extension="safetensors",
            ),
        ),
        results=(Result("report", "html", "Report"),),
        run="stfusion.training._zero_shot:run",
        tags=(*method.tags, "zero-shot", "unsupervised", "full resolution", "training"),
    )


def shipped(name: str) -> Path | None:
    """The checkpoint of a network that comes with the engine; none for a network that is offered for training only."""
    path = WEIGHTS_FOLDER / f"{name}.safetensors"
    return path if path.exists() else None
