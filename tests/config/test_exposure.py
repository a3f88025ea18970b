"""A demo does not start where strangers could reach it."""

import subprocess
import sys

import pytest
from django.core.management import CommandError, call_command

from config.env import BadSetting
from config.exposure import DemoExposed, check_address, check_origins
from tests.site import ROOT, environment_of

LOCAL = [
    "http://127.0.0.1:8000",
    "http://localhost:8000",
    "http://[::1]:8000",
    "http://192.168.0.7",
    "http://chamsae",
]
PUBLIC = ["https://chat.example.org", "http://chat.example.org:8000", "http://8.8.8.8", "http://[2606:4700::1111]"]


def test_local_origins_are_no_trouble():
    check_origins(LOCAL)


@pytest.mark.parametrize("origin", PUBLIC)
def test_a_public_origin_is_refused(origin):
    with pytest.raises(BadSetting, match="published passwords"):
        check_origins([*LOCAL, origin])


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "8.8.8.8", "chat.example.org"])  # noqa: S104
def test_a_public_address_is_refused(host):
    with pytest.raises(DemoExposed):
        check_address(host)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "10.0.0.3"])
def test_a_private_address_is_no_trouble(host):
    check_address(host)


def test_run_web_of_a_demo_says_so(settings):
    settings.DEMO = True
    with pytest.raises(CommandError, match="published passwords"):
        call_command("run_web", host="0.0.0.0")  # noqa: S104


@pytest.mark.parametrize(("demo", "code"), [("1", 1), ("0", 0)])
def test_no_command_of_a_public_demo_starts_and_check_deploy_of_a_real_site_is_clean(tmp_path, demo, code):
    environment = environment_of(tmp_path, "", CHAMSAE_DEBUG=demo, CHAMSAE_ORIGINS=PUBLIC[0])
    command = [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == code, done.stdout + done.stderr
    assert ("published passwords" in done.stderr) == bool(code)
