"""docs/tree.md is as fresh as the docstrings, and every module has one."""

import pytest

from docs import tree


def test_the_page_is_fresh():
    assert tree.PAGE.read_text(encoding="utf-8") == tree.page(), "docs/tree.md is old: make tree"


def test_every_module_and_package_says_what_it_is_for():
    assert [str(path) for path in tree.without_sentence()] == []


@pytest.mark.parametrize(
    ("docstring", "wanted"),
    [
        ('"""One sentence."""', "One sentence."),
        ('"""Two sentences. Of these the first."""', "Two sentences."),
        ('"""Is it alive? And is it ready?"""', "Is it alive?"),
        ('"""Over two\nlines.\n\nAnd a paragraph."""', "Over two lines."),
        ('"""Version 0.5 of `a.b` stays whole."""', "Version 0.5 of `a.b` stays whole."),
        ("import os", ""),
    ],
)
def test_the_first_sentence_of_a_docstring(tmp_path, docstring, wanted):
    module = tmp_path / "module.py"
    module.write_text(docstring)
    assert tree.sentence(module) == wanted


@pytest.fixture
def root(tmp_path):
    for name, text in {
        "app/__init__.py": '"""An app."""',
        "app/apps.py": "",
        "app/silent.py": "x = 1",
        "app/room/__init__.py": "",
        "app/room/spoken.py": '"""Says something."""',
        "app/migrations/__init__.py": "",
        "app/migrations/0001_initial.py": "",
        "tests/__init__.py": "",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_modules_and_packages_without_a_sentence_are_found(root):
    assert [str(path) for path in tree.without_sentence(root)] == ["app/silent.py", "app/room/__init__.py"]


def test_the_page_lists_folders_with_their_modules_and_no_migration(root):
    listed = tree.page(root).removeprefix(tree.HEAD)
    assert listed == "\n## `app/`\n\nAn app.\n\n### `app/room/`\n\n- `spoken.py`: Says something.\n"
