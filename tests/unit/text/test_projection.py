import numpy as np
import pytest

from export.text_encoder import fit_projection
from services.text.protocol import unit_rows


def embeddings(count, base_dims=12, rank=12, seed=3):
    random = np.random.default_rng(seed)
    factors = random.standard_normal((count, rank)) * np.geomspace(1, 0.01, rank)
    return unit_rows(factors @ random.standard_normal((rank, base_dims)) + 0.2)


@pytest.mark.parametrize(("count", "rank"), [(0, 1), (1, 12), (3, 12), (200, 2), (200, 12)])
def test_components_are_orthonormal(count, rank):
    """However few or alike the texts, the projection has all its dimensions, at right angles."""
    projection = fit_projection(embeddings(count, rank=rank), dims=5)
    np.testing.assert_allclose(projection.components @ projection.components.T, np.eye(5), atol=1e-9)


def test_keeps_the_directions_of_most_variance():
    """What is lost is no more than the smallest principal components hold."""
    data = embeddings(500)
    projection = fit_projection(data, dims=6)
    centred = data - data.mean(axis=0)
    lost = centred - centred @ projection.components.T @ projection.components
    _, singular, _ = np.linalg.svd(centred, full_matrices=False)
    assert np.square(lost).sum() == pytest.approx(np.square(singular[6:]).sum(), rel=0.05)


def test_a_lone_text_keeps_a_direction():
    """A catalogue of one text does not centre that text away."""
    data = embeddings(1)
    np.testing.assert_allclose(np.linalg.norm(fit_projection(data, dims=4).apply(data), axis=1), 1)


def test_fit_is_deterministic():
    """The same texts and seed give the same projection; the seed decides only the directions not spanned."""
    data = embeddings(3)
    first, second, other = (fit_projection(data, dims=8, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.components, second.components)
    np.testing.assert_array_equal(first.components[:3], other.components[:3])
    assert np.abs(first.components[3:] - other.components[3:]).max() > 0.01


@pytest.mark.parametrize("dims", [0, 13])
def test_impossible_dimensions_are_rejected(dims):
    """There is no orthogonal projection to more dimensions than the model has, nor to none."""
    with pytest.raises(ValueError, match="between 1 and 12"):
        fit_projection(embeddings(20), dims=dims)


def test_a_saved_projection_is_loaded_unchanged(tmp_path):
    """A projection reads back to the bit and keeps its identity."""
    projection = fit_projection(embeddings(50), dims=4)
    projection.save(tmp_path)
    again = type(projection).load(tmp_path)
    assert projection.content() == again.content()


def test_what_scripts_differ_in_is_left_out():
    """Texts of two languages that mean the same have the same vector, though the embeddings lie far apart."""
    random = np.random.default_rng(5)
    meaning = random.standard_normal((30, 12)) * np.r_[0.0, np.full(11, 0.1)]
    apart = np.eye(12)[0]
    data = unit_rows(np.vstack([meaning + apart, meaning - apart]))
    scripts = ["Latin"] * 30 + ["Han"] * 30
    with_scripts, without = (fit_projection(data, 8, scripts=given).apply(data) for given in (scripts, ()))
    assert ((with_scripts[:30] * with_scripts[30:]).sum(axis=1) > 0.95).all()
    assert ((without[:30] * without[30:]).sum(axis=1) < 0).all()


@pytest.mark.parametrize("count", [0, 9, 10, 40])
def test_components_stay_orthonormal_without_the_scripts(count):
    """Also where directions must be filled; a script of few texts changes nothing."""
    data = embeddings(count + 30)
    scripts = ["Han"] * count + ["Latin"] * 30
    projection = fit_projection(data, dims=11, scripts=scripts)
    np.testing.assert_allclose(projection.components @ projection.components.T, np.eye(11), atol=1e-9)
    same = np.array_equal(projection.components, fit_projection(data, dims=11).components)
    assert (count < 10) == same


def test_texts_in_one_corner_are_spread():
    """Embeddings of which any two have a cosine of .8 project to vectors that tell them apart."""
    random = np.random.default_rng(6)
    data = unit_rows(random.standard_normal((50, 12)) * 0.15 + 1)
    assert (data @ data.T).mean() > 0.8
    vectors = fit_projection(data, dims=8).apply(data)
    assert abs((vectors @ vectors.T)[np.triu_indices(50, 1)].mean()) < 0.1
