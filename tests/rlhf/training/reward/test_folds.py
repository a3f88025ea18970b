"""Whoever judges a comparison learnt nothing from its prompt group and nothing from its annotator."""

from hypothesis import given
from hypothesis import strategies as st

from rlhf.training.reward.folds import Folds

judgements = st.lists(
    st.tuples(st.sampled_from("abcdefgh"), st.sampled_from(["ann", "bob", "eve", "joe"])), min_size=1, max_size=40
)


@given(judgements, st.integers(0, 4), st.integers(1, 3))
def test_each_judgement_is_judged_once_by_a_model_that_saw_neither(said, prompt_folds, annotator_folds):
    folds = Folds.divide(said, prompt_folds=prompt_folds, annotator_folds=annotator_folds)
    for group, person in said:
        (judge,) = [fold for fold in folds.cells if folds.judges(fold, group, person)]
        learnt = [other for other in said if folds.learns(judge, *other)]
        assert group not in {g for g, _ in learnt}
        if folds.annotator_folds > 1:
            assert person not in {p for _, p in learnt}
        else:
            assert len({p for _, p in said}) == 1 or annotator_folds == 1
            assert learnt == [other for other in said if folds.groups[other[0]] != judge.prompts]
    assert Folds.from_json(folds.as_json()) == folds


@given(judgements)
def test_the_order_of_the_judgements_changes_nothing(said):
    assert Folds.divide(said) == Folds.divide(said[::-1])


def test_folds_are_of_like_size():
    """Longest processing time first: of 6, 5, 4, 3, 2, 2 in two folds each gets 11."""
    said = [(group, "ann") for group, count in zip("abcdef", (6, 5, 4, 3, 2, 2), strict=True) for _ in range(count)]
    folds = Folds.divide(said, prompt_folds=2)
    assert sorted(sum(folds.groups[group] == fold for group, _ in said) for fold in (0, 1)) == [11, 11]


def test_little_data_is_divided_more_finely():
    found = [
        Folds.divide((str(group), "ann") for group in range(n)).prompt_folds for n in (2, 5, 199, 200, 999, 1000)
    ]
    assert found == [2, 4, 4, 3, 3, 2]


@given(judgements, judgements)
def test_every_fold_has_rankings_if_there_are_as_many_groups_and_people(ranked, flagged):
    """However labels are spread: a model of labels alone has no preference."""
    folds = Folds.divide(ranked, flagged)
    assert {folds.groups[group] for group, _ in ranked} == set(range(folds.prompt_folds))
    assert {folds.people[person] for _, person in ranked} == set(range(folds.annotator_folds))
    assert folds.annotator_folds == min(2, len({person for _, person in ranked}))
    for group, person in flagged:
        assert sum(folds.judges(fold, group, person) for fold in folds.cells) == 1


def test_a_group_that_nobody_judged_has_a_fold_too():
    folds = Folds.divide([("a", "ann"), ("b", "ann")])
    assert {folds.prompt_fold(name) for name in map(str, range(40))} == {0, 1}
    assert folds.prompt_fold("new") == folds.prompt_fold("new")
