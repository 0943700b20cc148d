from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from synthlift.vision.neighbours import nearest


@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize("block", [1, 7, 1024])
def test_agrees_with_all_pairs(k: int, block: int) -> None:
    rng = np.random.default_rng(0)
    queries = rng.normal(50, 1, (40, 16)).astype(np.float32)
    references = rng.normal(50, 1, (300, 16)).astype(np.float32)
    found = nearest(queries, references=references, k=k, block=block)
    every = cdist(queries.astype(np.float64), references.astype(np.float64))
    np.testing.assert_array_equal(found.indices, np.argsort(every, axis=1, kind="stable")[:, :k])
    np.testing.assert_allclose(found.distances, np.sort(every, axis=1)[:, :k], rtol=1e-12)


def test_equal_rows_are_at_distance_zero_even_far_from_the_origin() -> None:
    rng = np.random.default_rng(1)
    references = (1e4 + rng.normal(size=(200, 64))).astype(np.float32)
    found = nearest(references[:50], references=references)
    assert (found.distances == 0).all()
    np.testing.assert_array_equal(found.indices[:, 0], np.arange(50))


def test_ties_go_to_the_lower_row() -> None:
    references = np.array([[3.0], [1.0], [-1.0], [1.0]], dtype=np.float32)
    found = nearest(np.zeros((1, 1), np.float32), references=references, k=3)
    assert found.indices.tolist() == [[1, 2, 3]]
    assert found.distances.tolist() == [[1.0, 1.0, 1.0]]


def test_a_row_is_no_neighbour_of_itself_but_its_double_is() -> None:
    points = np.array([[0.0], [5.0], [5.0], [7.0]], dtype=np.float32)
    found = nearest(points, references=points, same=True, block=3)
    assert found.distances[:, 0].tolist() == [5.0, 0.0, 0.0, 2.0]
    assert found.indices[:, 0].tolist() == [1, 2, 1, 1]


def test_more_neighbours_than_references_is_refused() -> None:
    points = np.zeros((3, 2), np.float32)
    with pytest.raises(AssertionError, match="4 neighbours wanted among 3"):
        nearest(points, references=points, k=4)
