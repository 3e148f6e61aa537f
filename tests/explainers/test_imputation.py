import numpy as np
import pytest
from scipy.sparse import lil_matrix
from scipy.sparse.linalg import spsolve

from src.explainers import imputation
from src.explainers.imputation import linear_imputation, noisy_linear_imputation


def _solve_exactly(picture, removed):
    """The system of Rong et al. 2022, pixel by pixel as the paper states it, by a direct solver."""
    height, width = removed.shape
    places = {place: index for index, place in enumerate(zip(*np.nonzero(removed)))}
    matrix, right = lil_matrix((len(places), len(places))), np.zeros((len(places), 3))
    for (row, column), index in places.items():
        for down in (-1, 0, 1):
            for across in (-1, 0, 1):
                other = row + down, column + across
                if (down, across) == (0, 0) or not (0 <= other[0] < height and 0 <= other[1] < width):
                    continue
                weight = 1 / 6 if 0 in (down, across) else 1 / 12
                matrix[index, index] += weight
                if other in places:
                    matrix[index, places[other]] -= weight
                else:
                    right[index] += weight * picture[other]
    filled = np.array(picture, np.float64)
    filled[removed] = spsolve(matrix.tocsc(), right).reshape(len(places), 3)
    return filled


def _removed(kind, size, generator):
    rows, columns = np.mgrid[: size[0], : size[1]]
    if kind == "scattered":
        return generator.random(size) < 0.8
    if kind == "rim":  # only the middle is left
        return np.hypot(rows - size[0] / 2, columns - size[1] / 2) > 0.2 * min(size)
    if kind == "hole":  # only a frame is left
        return (np.minimum(rows, size[0] - 1 - rows) > 1) & (np.minimum(columns, size[1] - 1 - columns) > 1)
    return ~((rows == 5) & (columns == 3))  # "all but one"


@pytest.mark.parametrize("kind", ["scattered", "rim", "hole", "all but one"])
@pytest.mark.parametrize("size", [(32, 32), (37, 22), (7, 53)])
def test_filled_pixels_solve_the_papers_system(kind, size):
    generator = np.random.default_rng(0)
    picture = generator.random((*size, 3), dtype=np.float32) * 255
    removed = _removed(kind, size, generator)
    exact = _solve_exactly(picture, removed)
    # What the default tolerance leaves: less than the tolerance itself, 0.4% of the range.
    np.testing.assert_allclose(linear_imputation(picture, removed), exact, atol=1.0)
    # And it is the same system: further steps lead to its solution.
    np.testing.assert_allclose(linear_imputation(picture, removed, tolerance=1e-3), exact, atol=0.02)


@pytest.mark.parametrize("kind", ["scattered", "rim", "hole", "all but one"])
def test_few_steps_are_enough_at_the_networks_size(kind, monkeypatch):
    generator = np.random.default_rng(3)
    picture = generator.random((224, 224, 3), dtype=np.float32) * 255
    removed = _removed(kind, (224, 224), generator)
    filled = linear_imputation(picture, removed)
    monkeypatch.setattr(imputation, "_MOST_STEPS", 5)  # that is what makes it fast
    np.testing.assert_array_equal(linear_imputation(picture, removed), filled)


def test_one_removed_pixel_is_the_weighted_mean_of_its_neighbours():
    picture = np.zeros((4, 4, 3), np.float32)
    picture[1, 2, 0], picture[0, 0, 1], picture[0, 0, 2] = 60, 60, 120  # a direct neighbour of (1, 1); diagonal ones
    removed = np.zeros((4, 4), bool)
    removed[1, 1] = True
    filled = linear_imputation(picture, removed, tolerance=1e-4)
    assert filled[1, 1] == pytest.approx([60 / 6, 60 / 12, 120 / 12], abs=1e-4)


def test_beyond_the_border_there_is_no_neighbour():
    picture = np.zeros((3, 3, 3), np.float32)
    picture[0, 1], picture[1, 1] = 60, 30
    removed = np.zeros((3, 3), bool)
    removed[0, 0] = True  # its neighbours weigh 1/6, 1/6 and 1/12
    expected = (60 / 6 + 30 / 12) / (5 / 12)
    assert linear_imputation(picture, removed, tolerance=1e-4)[0, 0] == pytest.approx([expected] * 3, abs=1e-3)


def test_a_linear_ramp_is_filled_without_error():
    rows, columns = np.mgrid[:40, :40].astype(np.float32)
    picture = np.stack([rows, columns, 2 * rows - columns], axis=2)
    removed = np.zeros((40, 40), bool)
    removed[5:33, 8:36] = True
    np.testing.assert_allclose(linear_imputation(picture, removed, tolerance=1e-4), picture, atol=1e-3)


def test_nearer_tolerance_is_nearer_to_the_solution():
    generator = np.random.default_rng(1)
    picture = generator.random((64, 64, 3), dtype=np.float32) * 255
    removed = _removed("hole", (64, 64), generator)
    exact = linear_imputation(picture, removed, tolerance=1e-4)
    errors = [np.abs(linear_imputation(picture, removed, tolerance=limit) - exact).max() for limit in (20, 1, 0.05)]
    assert errors[0] > 3 * errors[1] > 9 * errors[2]
    # Through noise's function the same tolerance is a share of the range.
    coarse = noisy_linear_imputation(picture, removed, noise=0.0, tolerance=20 / 255)
    np.testing.assert_array_equal(coarse, linear_imputation(picture, removed, tolerance=20))


def test_pixels_that_stay_are_untouched():
    generator = np.random.default_rng(2)
    picture = generator.random((30, 41, 3), dtype=np.float32)
    removed = generator.random((30, 41)) < 0.5
    before = picture.copy()
    filled = noisy_linear_imputation(picture, removed, noise=0.5)
    assert filled.dtype == np.float32
    np.testing.assert_array_equal(filled[~removed], before[~removed])
    np.testing.assert_array_equal(picture, before)
    np.testing.assert_array_equal(noisy_linear_imputation(picture, np.zeros((30, 41), bool)), before)


def test_noise_is_relative_to_the_range():
    picture = np.full((60, 60, 3), 100, np.float32)
    removed = np.ones((60, 60), bool)
    removed[0] = False
    for noise, value_range, deviation in ((0.02, (0.0, 255.0), 5.1), (0.01, (-1.0, 1.0), 0.02)):
        filled = noisy_linear_imputation(picture, removed, noise=noise, value_range=value_range)
        spread = filled[removed] - 100
        assert spread.std() == pytest.approx(deviation, rel=0.03)  # 10,620 values: 0.7% is one standard error
        assert abs(spread.mean()) < 5 * deviation / np.sqrt(10_620)


def test_noise_is_a_function_of_its_seed():
    picture, removed = np.zeros((8, 8, 3), np.float32), np.eye(8, dtype=bool)
    first = noisy_linear_imputation(picture, removed, seed=1)
    np.testing.assert_array_equal(first, noisy_linear_imputation(picture, removed, seed=1))
    assert (first != noisy_linear_imputation(picture, removed, seed=2))[removed].all()


def test_what_cannot_be_filled_is_refused():
    picture = np.zeros((4, 4, 3), np.float32)
    with pytest.raises(ValueError, match="every pixel is removed"):
        linear_imputation(picture, np.ones((4, 4), bool))
    with pytest.raises(ValueError, match=r"Received: \(4, 4, 3\), \(4, 5\)"):
        noisy_linear_imputation(picture, np.zeros((4, 5), bool))
