"""The channel layer of a site with Redis is as patient as it must be."""

import json
import os
import subprocess
import sys

from channels_redis.core import RedisChannelLayer

from tests.site import ROOT

PROGRAM = """
import json
from channels.layers import get_channel_layer
from django import setup
setup()
layer = get_channel_layer()
print(json.dumps([layer.brpop_timeout, layer.create_pool(0).connection_kwargs["socket_timeout"]]))
"""


def test_a_socket_that_hears_nothing_stays_open(tmp_path):
    """The layer waits in Redis for some seconds at a time; a client that gave up as soon would end the socket."""
    settings = {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "CHAMSAE_HOME": str(tmp_path),
        "REDIS_URL": "redis://127.0.0.1:6379/0",
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=ROOT,
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    waits_s, patience_s = json.loads(done.stdout)
    assert waits_s == RedisChannelLayer.brpop_timeout
    assert patience_s is None or patience_s > 2 * waits_s
