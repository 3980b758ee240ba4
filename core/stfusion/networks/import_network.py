"""Import a network: a checkpoint of public code becomes one of ours."""

from __future__ import annotations

from stfusion.declaration import Method, Option, Output, Role
from stfusion.networks._shared import GROUP, NETWORKS, SHARPENING

METHOD = Method(
    id="import_network",
    operation="import_network",
    title="Import a network",
    group=GROUP,
    summary="Brings in a checkpoint that the public code of a network wrote, if the architecture is the same.",
    description=(
        "Reads the numbers of a checkpoint (*.pth, *.pt, *.safetensors) and nothing else: whatever else is in the file "
        "is not executed. Bands and pairs are found from the numbers' shapes. What the file does not say, how its "
        "images were scaled, is asked for, and all of it is written into a model card, so that 'Fuse with a trained "
        "network', or the network of sharpening itself, can use it. Names are understood as the public codes of "
        "GAN-STFM, SwinSTFM and STFDiff, the toolbox DLPan and PanBench have them, with or without the prefixes that "
        "training adds. A GPPNN does not say its ratio, which is taken for 4 if none is given. Values next to 0, which "
        "processors are very slow with, are set to 0."
    ),
    paper="",
    doi="",
    roles=(
        Role("file", "Checkpoint", "file", "", "File that another program wrote: *.pth, *.pt or *.safetensors."),
    ),
    options=(
        Option(
            "network",
            "choice",
            "Network",
            "gan_stfm",
            "Network that the checkpoint belongs to.",
            choices=(*NETWORKS, *SHARPENING),
            advanced=False,
        ),
        Option(
            "unit",
            "number",
            "Value of reflectance 1",
            10000.0,
            "Value, after the file's scale and offset, that the network took for 1: 10000 for reflectance stored as "
            "0..10000, 1 for reflectance 0..1, 255 for 8-bit images, 2047 for 11-bit images.",
            minimum=1e-9,
            advanced=False,
        ),
        Option(
            "ratio",
            "number",
            "Ratio of pixel sizes",
            0.0,
            "Ratio of coarse to fine, or of multispectral to panchromatic, pixel size that the network is for, "
            "such as 16 for Landsat and MODIS; 0 when it is unknown.",
            minimum=0.0,
            maximum=200.0,
        ),
        Option(
            "grid",
            "choice",
            "Place of the interpolated image",
            "gis",
            "Of a network of sharpening: gis, where the multispectral image lies; toolbox, half a panchromatic pixel "
            "further down and to the right, as the MATLAB toolboxes and PanCollection have it.",
            choices=("gis", "toolbox"),
        ),
        Option(
            "bands",
            "text",
            "Names of the bands",
            "",
            "Names of the bands in the network's order, separated by commas, such as 'blue, green, red'. They go into "
            "the model card.",
        ),
    ),
    outputs=(
        Output(
            "output",
            "file_out",
            "Imported checkpoint",
            "Checkpoint with a model card; a JSON and a Markdown copy of the card are written beside it.",
            extension="safetensors",
        ),
    ),
    run="stfusion.networks._import:run",
    tags=("fusion", "network", "weights", "checkpoint", "pth", "deep learning"),
    needs="networks",
)
