"""Fusing with a trained network: its checkpoint, whether it fits the scene, and the fused image."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from stfusion.fusion._scene import Scene, open_scene
from stfusion.networks._checkpoint import Checkpoint
from stfusion.networks._inputs import FusionReader
from stfusion.networks._network import FusionNetwork
from stfusion.networks._normalisation import Normalisation, from_samples, sample_of
from stfusion.networks._scene_fit import check_bands, check_pairs, check_range, warn_of_ratio
from stfusion.networks._whole import checkpoint_of, drawing_of, predict
from stfusion.raster.output import Content, Output, provenance
from stfusion.raster.source import AlignedSource
from stfusion.raster.tiles import bounded_gdal, window_of
from stfusion.run import Context

#: Share of the working memory for resampled images.
_CACHE_SHARE = 0.2


def run(context: Context) -> dict[str, Any]:
    """Run a fusion job with the network of its checkpoint."""
    with bounded_gdal(context) as working:
        context.reporter.stage("Opening and checking the images", 1, 3)
        checkpoint = checkpoint_of(context, "Train a fusion network")
        scene = open_scene(context, int(_CACHE_SHARE * working))
        network = checkpoint.build()
        if not isinstance(network, FusionNetwork):
            raise TypeError(f"{network} does not fuse")
        fine, coarse = images_of_pairs(context, scene, network, checkpoint)
        scaling = _scaling(context, checkpoint, network, scene, [*fine, *coarse])
        reader = FusionReader(scene, fine, coarse, scaling)
        tags = provenance(context, scene.target.source.date) | {"STF_CHECKPOINT": checkpoint.path.name}
        window = window_of(context, scene.shape)
        with ExitStack() as files:
            outputs = {
                name: files.enter_context(
                    Output(path, scene.reference, tags, context.stop, _content(name, scene), window=window)
                )
                for name, path in context.job.outputs.items() if name in ("output", "uncertainty")
            }
            drawing = drawing_of(context, network, checkpoint.card.steps, "uncertainty" in outputs)
            context.reporter.stage("Fusing", 2, 3)
            predict(context, network, reader, drawing, outputs, working, window=window)
            context.reporter.stage("Writing the Cloud Optimized GeoTIFF", 3, 3)
            for output in outputs.values():
                output.finish(context.threads)
    result = {name: str(output.path) for name, output in outputs.items()}
    if scene.target.source.date is not None:
        result["date"] = scene.target.source.date.isoformat()
    return result


def _content(name: str, scene: Scene) -> Content | None:
    """The uncertainty is in real numbers, under the names of the bands; the image is like the fine one."""
    return Content.of_numbers(scene.reference.names) if name == "uncertainty" else None


def images_of_pairs(
    context: Context, scene: Scene, network: FusionNetwork, checkpoint: Checkpoint
) -> tuple[list[AlignedSource], list[AlignedSource]]:
    """The fine and the coarse images of the pairs that are used; no coarse ones for a network that needs none."""
    where = "'Bands of the fine images' and 'Bands of the coarse images'"
    check_bands(scene.reference, network, checkpoint, where)
    fine = [scene.images[name] for name in ("fine", "fine2") if name in scene.images]
    check_pairs(context, network, checkpoint, len(fine))
    coarse = [scene.images[name] for name in ("coarse", "coarse2") if name in scene.images]
    return (fine, coarse) if network.needs_coarse else (fine[: network.form.pairs], [])


def _scaling(
    context: Context, checkpoint: Checkpoint, network: FusionNetwork, scene: Scene, images: list[AlignedSource]
) -> Normalisation:
    """How values become those that the network knows."""
    warn_of_ratio(context, scene, checkpoint)
    scaling = checkpoint.card.normalisation
    if scaling.kind == "stored":
        check_range(context, scene.reference, checkpoint, scaling)
        return scaling
    return from_samples([sample_of(image) for image in (*images, scene.target)], network.symmetric)
