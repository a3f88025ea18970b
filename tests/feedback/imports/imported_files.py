"""Files of judgements, and their import, for tests."""

import json

from feedback.imports.importing import import_file
from feedback.models import Project, site_project

ASKED = (
    "Tell me in words that a child can follow why the sky above our town is blue on a clear day in May {}",
    "How do whales sleep out in the open sea, with only one half of their brain at a time or with both {}",
)
"""Those of one are near-duplicates of each other."""


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def preference(number, annotator="ann", **fields):
    return {
        "prompt": ASKED[number % 2].format(number),
        "chosen": "Light scatters.",
        "rejected": "No idea.",
        "annotator": annotator,
        **fields,
    }


def bring(path, key="trl-preference", by=None, project=None, limit_mb=10, **options):
    project = project or Project.objects.get(pk=site_project())
    return import_file(path, key, project, name=path.name, by=by, limit_mb=limit_mb, **options)
