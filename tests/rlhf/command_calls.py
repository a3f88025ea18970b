"""Calls a management command with --json."""

import io
import json

from django.core.management import call_command
from django.core.management.base import CommandError


def call(name, *arguments):
    """(exit code, JSON from stdout)"""
    out, code = io.StringIO(), 0
    try:
        call_command(name, *arguments, "--json", stdout=out, stderr=io.StringIO())
    except CommandError as error:
        code = error.returncode
    text = out.getvalue()
    assert text.count("\n") <= 1
    return code, json.loads(text) if text else None
