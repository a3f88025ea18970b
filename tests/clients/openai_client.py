"""OpenAI's clients, each in a virtual environment of its own, and programs that run there with a key of a site."""

import fcntl
import os
import subprocess
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]
ENVIRONMENTS = ROOT / ".venv-clients"
WANTED = {"old": "openai[datalib]==0.27.*", "new": "openai"}
HERE = Path(__file__).parent
SETTINGS = {"CHAMSAE_API_REQUESTS_PER_MINUTE": "10000"}


def environment(name):
    """The Python of a virtual environment with that client, made by whoever comes first and kept."""
    home, wanted = ENVIRONMENTS / name, WANTED[name]
    python, ready = home / "bin/python", home / "ready"
    ENVIRONMENTS.mkdir(exist_ok=True)
    with (ENVIRONMENTS / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ready.exists() or ready.read_text().strip() != wanted:
            venv.create(home, with_pip=True, clear=True)
            subprocess.run([python, "-m", "pip", "install", "--quiet", wanted], check=True, timeout=900)
            ready.write_text(wanted)
    return python


class Client:
    """Programs and commands in one of the environments, with a key of the site."""

    def __init__(self, site, python, key):
        self.python, self.key = python, key
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}
        address = {"OPENAI_API_BASE": f"{site.url}/v1", "OPENAI_BASE_URL": f"{site.url}/v1", "NO_PROXY": "*"}
        self.environment = {**kept, **address, "OPENAI_API_KEY": key, "PYTHONUNBUFFERED": "1"}

    def program(self, file, name, **variables):
        """Runs a function of a file beside this one; it asserts by itself."""
        return self.run([self.python, HERE / file, name], **variables)

    def openai(self, *words, **variables):
        """The command line."""
        return self.run([self.python.parent / "openai", *words], **variables)

    def run(self, command, *, fails=False, **variables):
        done = subprocess.run(
            [str(word) for word in command],
            env={**self.environment, **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
        )
        assert bool(done.returncode) == fails, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr if fails else done.stdout
