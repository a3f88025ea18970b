"""What a built site would load from other hosts is found; links that a person follows are none of it."""

import pytest

from docs import offline

QUIET = """<link rel="stylesheet" href="_static/site.css"><link rel="canonical" href="https://a.example/">
<a href="https://www.sphinx-doc.org/">Sphinx</a><img src="loop.svg"><script src="_static/theme.js"></script>"""


@pytest.fixture
def site(tmp_path):
    (tmp_path / "index.html").write_text(QUIET)
    (tmp_path / "site.css").write_text("body { background: url(sparrow.svg) }")
    return tmp_path


def test_a_site_that_loads_its_own_files_alone_passes(site):
    assert offline.main(str(site)) == 0


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.html", '<script src="https://cdn.example/x.js"></script>'),
        ("a.html", '<img src="//cdn.example/x.png">'),
        ("a.html", '<link rel="stylesheet" href="https://fonts.example/css">'),
        ("a.html", '<source srcset="https://cdn.example/x.svg">'),
        ("a.html", "<style>@import 'https://fonts.example/css';</style>"),
        ("a.css", "@font-face { src: url('https://fonts.example/x.woff2') }"),
        ("a.js", 'fetch("https://api.example/stars")'),
    ],
)
def test_whatever_is_loaded_from_elsewhere_is_named(site, name, text, capsys):
    (site / name).write_text(text)
    assert offline.main(str(site)) == 1
    assert "example/" in capsys.readouterr().err


def test_an_empty_directory_is_no_site(tmp_path):
    assert offline.main(str(tmp_path)) == 1
