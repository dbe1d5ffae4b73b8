"""The contest of patches: the same patches for every rung, intervals over pictures, a fair number of factors."""

import numpy as np
import pytest

from gradus.practice.ladder import Rung, climb
from gradus.practice.patches import PatchContest, PatchPart, patch_rungs, patch_title
from gradus.research.linear_factors.patches import PatchFactors, cut_patches

TOP = PatchFactors(patch_size=8, n_patches=3000, max_iter=15, active=5, random_state=0)


@pytest.fixture(scope="module")
def parts(data_home):
    with np.load(data_home / "vision" / "photos.npz", allow_pickle=False) as file:
        train = [file[name] for name in ("astronaut", "coffee", "china")]
        others = [[file[name]] for name in ("camera", "flower")]
    cut = [PatchPart(*cut_patches(one, 8, 600, np.random.default_rng(k))) for k, one in enumerate(others)]
    return train, *cut


def test_the_ladder_of_patches(parts):
    contest = PatchContest(*parts, active=5)
    rungs = [*patch_rungs(TOP), Rung(patch_title(TOP), "classical", TOP, "the top")]
    assert [rung.name for rung in rungs] == [
        "90 patches as they are", "PCA", "ICA", "sparse coding with 45 atoms", "sparse coding with 90 atoms",
    ]  # fmt: skip
    ladder = climb(rungs, contest)
    assert all(row.status == "done" for row in ladder.rows), [row.error for row in ladder.rows]
    assert ladder.chosen == "sparse coding with 90 atoms"
    by_name = {row.name: row.test.value for row in ladder.rows}
    assert by_name["ICA"] < by_name["PCA"] and by_name[ladder.chosen] < by_name["90 patches as they are"]
    white = ladder.fitted["PCA"].whitened(parts[2].patches)
    rest = np.sort(np.square(white - ladder.fitted["PCA"].center_), axis=1)[:, :-5].sum()
    assert np.isclose(by_name["PCA"], rest / np.square(white).sum(), rtol=1e-9)  # all but the five largest
    assert "1 pictures" in ladder.row("PCA").test.how and ladder.row("PCA").test.n == 600


def test_intervals_are_over_pictures_where_there_are_enough(parts):
    train, valid, _ = parts
    model = PatchFactors(patch_size=8, n_patches=1000, method="pca", random_state=0).fit(train)
    twelve = PatchPart(valid.patches, np.arange(600) % 12)
    contest = PatchContest(train, valid, twelve, 5)
    few, many = contest.judge(model, "valid"), contest.judge(model, "test")
    assert np.isclose(few[1].value, many[1].value) and len(few[0]) == 600 and len(many[0]) == 12
    assert "over pictures" in many[1].how
