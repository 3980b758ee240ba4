"""The picture of a fusion: what is drawn where, and how."""

import io

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.image import imread

from stfusion.assessment import _picture as picture
from stfusion.assessment._picture import Panel, default_bands, draw


def images(bands=4, shape=(40, 60)):
    ramp = np.linspace(0, 1, shape[0] * shape[1]).reshape(shape)
    return np.stack([ramp * (band + 1) for band in range(bands)])


def test_one_stretch_for_all_panels():
    low, high = picture._limits(np.concatenate([np.zeros(50), np.full(50, 2.0)]))
    assert (low, high) == (0, 2)
    colours = picture._colours(np.full((1, 2, 2), 0.5), [(low, high)])
    np.testing.assert_allclose(colours, np.broadcast_to([0.25, 0.25, 0.25, 1], (2, 2, 4)))


def test_three_bands_become_red_green_and_blue_and_nodata_becomes_transparent():
    image = np.array([0.1, 0.2, 0.9])[:, None, None] * np.ones((3, 2, 2))
    image[1, 0, 0] = np.nan
    colours = picture._colours(image, [(0, 1), (0, 0.4), (0, 0.5)])
    np.testing.assert_allclose(colours[1, 1], [0.1, 0.5, 1, 1])
    np.testing.assert_allclose(colours[0, 0], 0)


def test_nothing_valid_and_constant_images_have_limits():
    assert picture._limits(np.full(4, np.nan)) == (0, 1)
    assert picture._limits(np.full(4, 7.0)) == (7, 8)


def test_near_infrared_red_and_green_are_shown_where_they_are():
    assert default_bands(6) == default_bands(4) == (4, 3, 2)
    assert default_bands(3) == default_bands(1) == (1,)


@pytest.mark.parametrize(("count", "bands"), [(4, (4, 3, 2)), (1, (1,)), (2, (2, 1, 1))])
def test_a_picture_with_six_panels_is_written(tmp_path, count, bands):
    image = images(count)
    panels = [Panel(f"panel {number}", image) for number in range(5)]
    path = tmp_path / "picture.png"
    draw(path, panels, Panel("error", np.abs(image - 0.5)), bands)
    pixels = imread(path)
    rows, cols = pixels.shape[:2]
    assert cols > picture.COLUMNS * picture.PANEL_INCHES * picture.DOTS_PER_INCH
    # Every one of the six places shows something: it has many grey levels or colours.
    for top in (0, rows // 2):
        for left in (0, cols // 3, 2 * cols // 3):
            place = pixels[top : top + rows // 2, left : left + cols // 3, :3]
            assert len(np.unique(place.reshape(-1, 3), axis=0)) > 50


def test_nodata_is_hatched_on_white(tmp_path, monkeypatch):
    image = images(1)
    image[:, 10:30, 10:50] = np.nan
    drawn = []
    for hatch in ("", picture.HATCH):
        monkeypatch.setattr(picture, "HATCH", hatch)
        draw(tmp_path / "picture.png", [Panel("image", image)] * 2, Panel("error", image), (1,))
        drawn.append(imread(tmp_path / "picture.png")[..., :3])
    lines = (drawn[0] != drawn[1]).any(-1)
    assert lines.any()
    assert (drawn[0][lines] == 1).all()
    # The hatching stays in the three holes and leaves most of them white.
    panel_width = picture.PANEL_INCHES * picture.DOTS_PER_INCH
    hole = (20 / 60 * panel_width) * (40 / 60 * panel_width)
    assert 0.05 * hole < lines.sum() / 3 < 0.5 * hole


def test_error_without_a_valid_pixel_is_drawn_empty(tmp_path):
    image = images(1)
    draw(tmp_path / "empty.png", [Panel("image", image)], Panel("error", np.full_like(image, np.nan)), (1,))
    assert (tmp_path / "empty.png").stat().st_size > 0


def test_no_global_state_is_touched(tmp_path):
    before = dict(mpl.rcParams)
    draw(tmp_path / "picture.png", [Panel("image", images(1))], Panel("error", images(1)), (1,))
    assert dict(mpl.rcParams) == before


def test_two_bands_cannot_be_shown(tmp_path):
    with pytest.raises(ValueError, match="one band or three"):
        draw(tmp_path / "picture.png", [Panel("image", images(2))], Panel("error", images(2)), (1, 2))


def test_one_look_for_all_predictions_and_errors():
    """The truth sets the stretch, and the errors of all methods together the brightest colour."""
    truth = images(4)
    look = picture.Look.of([truth], [truth * 0.1, truth * 0.4], (4, 3, 2), "label")
    assert look.limits == [picture._limits(truth[band - 1]) for band in (4, 3, 2)]
    both = np.concatenate([(truth * share).mean(0).ravel() for share in (0.1, 0.4)])
    assert look.error_limit == pytest.approx(np.percentile(both, 99))
    np.testing.assert_allclose(look.colours(truth * 100)[1:, :, :3], 1)


def test_maps_alone_have_no_colour_bar():
    panel = Panel("image", images(1))
    look = picture.Look.of([panel.image], [panel.image], (1,), "label")
    alone, judged = (imread(io.BytesIO(picture.maps([panel], look, error))) for error in (None, panel))
    assert judged.shape[1] > 1.5 * alone.shape[1]


@pytest.mark.parametrize("bands", [1, 4, 8])
def test_scatter_has_a_plot_for_every_band(bands):
    truth = images(bands)
    truth[:, :5] = np.nan
    predicted = truth * 1.1
    predicted[:, :, :3] = np.nan
    pixels = imread(io.BytesIO(picture.scatter(predicted, truth, [f"Band {band}" for band in range(bands)])))
    columns = min(bands, picture.SCATTER_COLUMNS)
    assert pixels.shape[1] == pytest.approx(columns * picture.SCATTER_INCHES * picture.DOTS_PER_INCH, abs=2)
    red = (pixels[..., 0] > 0.7) & (pixels[..., 1] < 0.3)
    # A 1:1 line crosses every column of every plot, but for the frames.
    assert red.any(0).sum() > 0.5 * pixels.shape[1]


def test_scatter_of_nothing_is_drawn_empty():
    nothing = np.full((2, 4, 4), np.nan)
    assert len(picture.scatter(nothing, nothing, ["one", "two"])) > 1000
