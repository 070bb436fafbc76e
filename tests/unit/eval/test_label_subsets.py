import numpy as np

from cxrpt.eval.label_subsets import draws_of, subset_of

PATIENTS = [f"p{n // 3}" for n in range(600)]


def test_subsets_are_nested_and_hold_whole_patients():
    for draw in (0, 1):
        one, ten, all_of_them = (subset_of(PATIENTS, share, draw) for share in (1, 10, 100))
        assert one.sum() == 2 * 3 and ten.sum() == 20 * 3 and all_of_them.all()
        assert (one <= ten).all() and (ten.reshape(-1, 3).all(1) == ten.reshape(-1, 3).any(1)).all()
    assert subset_of(["a", "b"], 1, 0).sum() == 1


def test_a_draw_depends_on_pseudonyms_alone():
    taken = subset_of(PATIENTS, 10, 0)
    order = np.random.default_rng(0).permutation(600)
    again = subset_of([PATIENTS[n] for n in order], 10, 0)
    assert (again == taken[order]).all()
    # Without half of the patients, those of the others who came first still do.
    half = PATIENTS[:300]
    assert (taken[:300] <= subset_of(half, 20, 0)).all()
    both = subset_of(PATIENTS, 50, 0) & subset_of(PATIENTS, 50, 1)
    assert 100 < both.sum() < 200


def test_all_labels_are_drawn_once():
    assert draws_of(100, 3) == 1 and draws_of(10, 3) == 3
