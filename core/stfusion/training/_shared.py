"""What the declarations of the training have in common."""

from __future__ import annotations

from stfusion.declaration import Option, Output, Result, Role

FINE = Role(
    "fine",
    "Fine images",
    "fine",
    "",
    "Fine images (such as Landsat or Sentinel-2) of one place, each layer being an image of one date, which is read "
    "from its tags or its name.",
    required=False,
    several=True,
)

COARSE = Role(
    "coarse",
    "Coarse images",
    "coarse",
    "",
    "Coarse images (such as MODIS or VIIRS) of the same place, each layer being an image of one date. Where none are "
    "given, coarse images are simulated from the fine ones.",
    required=False,
    several=True,
)

CHECKPOINT = Output(
    "checkpoint",
    "file_out",
    "Checkpoint",
    "The trained network (*.safetensors). Beside it, with the same name: the model card (*.json and *.md), the report "
    "(*.html), and the folder *.training with all that is needed to go on, the curves for TensorBoard and a table of "
    "the epochs. It is written whenever a better network is found, so that a stop loses nothing.",
    extension="safetensors",
)

RESULTS = (
    Result("report", "html", "Report"),
    Result("rmse", "number", "RMSE on validation (unit of the images)"),
    Result("ssim", "number", "SSIM on validation"),
)

SHARPENING_RESULTS = (
    *RESULTS,
    Result("ergas", "number", "ERGAS on validation"),
    Result("sam", "number", "SAM on validation (degrees)"),
)

SIZE = Option(
    "size",
    "choice",
    "Size",
    "published",
    "published: as large as in the paper. small: the same structure with fewer channels, for training on a processor.",
    choices=("published", "small"),
    advanced=False,
)

EPOCHS = Option(
    "epochs",
    "integer",
    "Epochs",
    50,
    "Rounds of training, each followed by a validation; networks that are trained in stages share them out.",
    minimum=1,
    maximum=100_000,
    advanced=False,
)

SAMPLES = Option(
    "samples",
    "integer",
    "Samples of an epoch",
    800,
    "Patches that are drawn at random for an epoch.",
    minimum=1,
    maximum=10_000_000,
    advanced=False,
)

MINUTES = Option(
    "minutes",
    "number",
    "Time (minutes)",
    0.0,
    "Time after which the training is interrupted, at the end of an epoch; started again, it goes on. 0: until it is "
    "done.",
    minimum=0.0,
    advanced=False,
)

PER_BAND = Option(
    "per_band",
    "boolean",
    "Band by band",
    False,
    "Train a network for single bands, each scaled by its range in the scene: one set of weights for images of any "
    "bands and any sensor. Otherwise the network is for as many bands as the images have, and for values like theirs.",
    advanced=False,
)

BATCH = Option(
    "batch",
    "integer",
    "Samples of a step",
    8,
    "Patches that the network learns from at once, in every process. Where the memory is short they are learnt from in "
    "pieces, with the same result.",
    minimum=1,
    maximum=4096,
)

PATCH = Option(
    "patch",
    "integer",
    "Patch (fine pixels)",
    64,
    "Side of the patches that are learnt from; 0 takes the network's own. Larger patches show more of the surroundings "
    "and cost more; the patches of the coarse images have to hold a few coarse pixels.",
    minimum=0,
    maximum=1024,
)

CHANGED = Option(
    "changed",
    "number",
    "Share of made-up changes",
    0.0,
    "Share of the samples whose change is made up from the image of a single date: classes change their reflectance. "
    "With images of one date alone all are, where this is above 0.",
    minimum=0.0,
    maximum=1.0,
)

VALIDATION_SHARE = Option(
    "validation_share",
    "number",
    "Share for validation",
    0.2,
    "Share of the places that is held out for validation; of a single place, a strip at its end. A data set may say "
    "itself what is held out.",
    minimum=0.01,
    maximum=0.9,
)

HELD_OUT = Option(
    "held_out",
    "integer",
    "Samples for validation",
    64,
    "Patches that the network is validated with after every epoch, at most.",
    minimum=1,
    maximum=100_000,
)

LEARNING_RATE = Option(
    "learning_rate",
    "number",
    "Learning rate",
    0.0,
    "Highest learning rate of the network; those of other parts, such as a critic, change by the same factor. It rises "
    "in the first steps and falls to a fiftieth. 0 takes the one that the network is published with.",
    minimum=0.0,
    maximum=10.0,
)

PATIENCE = Option(
    "patience",
    "integer",
    "Patience (epochs)",
    0,
    "End the training when so many epochs brought nothing better. 0: never.",
    minimum=0,
)

PRECISION = Option(
    "precision",
    "choice",
    "Precision",
    "auto",
    "auto: 16 bits where a graphics card is quick with them, else 32 bits. bfloat16: 16 bits anywhere.",
    choices=("auto", "float32", "bfloat16"),
)

AVERAGE = Option(
    "average",
    "number",
    "Moving average of the weights",
    0.999,
    "Share that a step keeps of the moving average of the weights (EMA), which is what is validated and saved; less in "
    "the first steps. 0 saves the weights of the last step.",
    minimum=0.0,
    maximum=0.99999,
)

CLIP = Option(
    "clip",
    "number",
    "Largest norm of the gradients",
    1.0,
    "Gradients with a larger norm are shortened to it. 0 leaves them as they are.",
    minimum=0.0,
)

RESTART = Option(
    "restart",
    "boolean",
    "Begin anew",
    False,
    "Forget the state that an earlier training left beside the checkpoint. Otherwise the training goes on from it.",
)

TAGS = ("training", "network", "deep learning", "checkpoint", "machine learning")
