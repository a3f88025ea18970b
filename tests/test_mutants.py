"""Every mistake of `make mutants` still has its line, once; the command itself runs apart, since it takes minutes."""

import shutil

import pytest

from tests.mutants import MUTANTS, ROOT, plant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.about)
def test_the_line_occurs_once_and_its_tests_are_there(mutant, tmp_path):
    (tmp_path / mutant.file).parent.mkdir(parents=True)
    shutil.copy(ROOT / mutant.file, tmp_path / mutant.file)
    former = plant(mutant, tmp_path)
    planted = (tmp_path / mutant.file).read_text()
    assert planted != former
    compile(planted, mutant.file, "exec")
    assert (ROOT / mutant.tests).exists()


def test_a_line_that_is_gone_is_an_error(tmp_path):
    mutant = MUTANTS[0]
    (tmp_path / mutant.file).parent.mkdir(parents=True)
    (tmp_path / mutant.file).write_text("nothing of it\n")
    with pytest.raises(ValueError, match="0 times"):
        plant(mutant, tmp_path)
