"""What stands in the place of removed pixels, by hand."""

import numpy as np
import pytest

from src.errors import UserError
from src.explainers.baselines import removed_picture


def test_removed_pictures_by_hand():
    picture = np.zeros((2, 4, 3), np.float32)
    picture[:, 0], picture[:, 3] = [8, 0, 4], [0, 16, 4]
    assert np.array_equal(removed_picture(picture), np.broadcast_to([2.0, 4.0, 2.0], picture.shape))
    assert np.array_equal(removed_picture(picture, "black"), np.zeros_like(picture))
    caffe = [-103.9, -116.8, -123.7]
    assert np.array_equal(removed_picture(picture, "black", black=caffe)[1, 2], np.float32(caffe))
    assert np.array_equal(picture[:, 0, 0], [8, 8])  # the picture stays
    with pytest.raises(UserError, match="mean, blur, black. Received: white"):
        removed_picture(picture, "white")


def test_a_blurred_picture_keeps_coarse_colours_only():
    steps = np.zeros((60, 80, 3), np.float32)
    steps[:, 40:] = 200.0
    fine = steps + np.where(np.indices((60, 80)).sum(axis=0) % 2, 20.0, -20.0).astype(np.float32)[..., None]
    blurred = removed_picture(fine, "blur")
    np.testing.assert_allclose(blurred, removed_picture(steps, "blur"), atol=0.2)  # the checkerboard is gone
    # A step under a Gaussian of sigma 8 = 80 / 10: 5.5 pixels from the edge its normal integral up to 5.5 / 8.
    assert blurred[30, 45, 0] == pytest.approx(200 * 0.7541, abs=1.0)
    assert blurred[0, 0, 0] == pytest.approx(0, abs=0.1) and blurred[59, 79, 0] == pytest.approx(200, abs=0.1)
