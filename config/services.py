"""Settings of Channels, the cache, Celery and shared state from the addresses of services; no Django here."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, quote, unquote, urlsplit

SENTINEL, SENTINEL_PORT = "sentinel", 26379
VISIBILITY_S = 43_200
"""After which Redis delivers a task again that nobody acknowledged."""


S3_FORMS = "empty, s3://BUCKET/PREFIX or file:///FOLDER"


class BadAddress(ValueError):
    """An address of a service that has not the form it needs."""


@dataclass(frozen=True)
class Sentinels:
    """`sentinel://[:PASSWORD@]HOST[:PORT],HOST[:PORT].../NAME[/DB]`: which Redis of several is the master is for the
    sentinels to say, at each new connection. The password is that of the Redis, not of the sentinels."""

    hosts: tuple[tuple[str, int], ...]
    name: str
    db: int = 0
    username: str = ""
    password: str = ""

    @classmethod
    def read(cls, url: str) -> "Sentinels":
        parts = urlsplit(url)
        user, _, hosts = parts.netloc.rpartition("@")
        name, _, db = parts.path.strip("/").partition("/")
        if not hosts or not name or (db and not db.isdecimal()):
            raise BadAddress("sentinel://HOST:PORT,HOST:PORT/NAME or .../NAME/DB")
        username, _, password = user.partition(":")
        found = tuple(_host_and_port(host) for host in hosts.split(","))
        return cls(found, unquote(name), int(db or 0), unquote(username), unquote(password))

    def login(self) -> dict[str, Any]:
        """As redis-py names it; empty where there is no password."""
        given = {"username": self.username, "password": self.password}
        return {name: value for name, value in given.items() if value} | {"db": self.db}


def _host_and_port(text: str) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    try:
        port = parts.port or SENTINEL_PORT
    except ValueError:
        raise BadAddress(f"a port in {text!r}") from None
    if not parts.hostname:
        raise BadAddress(f"a host in {text!r}")
    return parts.hostname, port


def is_http(url: str) -> bool:
    """Whether it is the address of a server."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and url.isprintable()
    except ValueError:  # a port that is none
        return False


def is_sentinel(url: str) -> bool:
    return urlsplit(url).scheme == SENTINEL


def channel_layer(url: str) -> dict[str, Any]:
    """For CHANNEL_LAYERS."""
    if not url:
        return {"BACKEND": "channels.layers.InMemoryChannelLayer", "CONFIG": {"capacity": 1000}}
    # The layer waits for 5 s at a time; if the client's timeout (5 s by default) ends first, idle sockets close.
    host: dict[str, Any] = {"socket_timeout": 20.0}
    if is_sentinel(url):
        sentinels = Sentinels.read(url)
        host |= {"sentinels": sentinels.hosts, "master_name": sentinels.name, **sentinels.login()}
    else:
        host |= {"address": url}
    return {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": {"hosts": [host], "capacity": 1000}}


def cache(url: str) -> dict[str, Any]:
    """For CACHES."""
    if not url:
        return {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}  # one web process; several need Redis
    kind = (
        "config.sentinel_cache.SentinelCache" if is_sentinel(url) else "django.core.cache.backends.redis.RedisCache"
    )
    # Limits count without it meanwhile.
    return {"BACKEND": kind, "LOCATION": url, "OPTIONS": {"socket_connect_timeout": 1.0, "socket_timeout": 1.0}}


def broker(url: str, *, quorum: bool, folder: str) -> tuple[str, dict[str, Any]]:
    """CELERY_BROKER_URL and its transport options. `quorum`: the queues are copied to several nodes of RabbitMQ, and
    a task counts as sent when most of them have it."""
    if url.startswith("filesystem"):
        folders = {"data_folder_in": folder, "data_folder_out": folder, "control_folder": f"{folder}/control"}
        return url, {**folders, "polling_interval": 0.1}
    if is_sentinel(url):
        found = Sentinels.read(url)
        user = f"{quote(found.username)}:{quote(found.password, safe='')}@" if found.password else ""
        url = ";".join(f"sentinel://{user}{host}:{port}/{found.db}" for host, port in found.hosts)
        return url, {"visibility_timeout": VISIBILITY_S, "master_name": found.name}
    if url.startswith("redis"):
        return url, {"visibility_timeout": VISIBILITY_S}
    return url, {"confirm_publish": True} if quorum else {}


def shared_state(address: str, endpoint: str) -> dict[str, Any]:
    """What STORAGES has beside Django's own: nothing, or the storage by which hosts share state. `endpoint`: of an S3
    that is not Amazon's. Raises BadAddress."""
    if not address:
        return {}
    parts = urlsplit(address)
    if parts.scheme == "file" and not parts.netloc and Path(parts.path).is_absolute():
        folder = {"location": parts.path, "allow_overwrite": True}
        return {"shared": {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": folder}}
    if parts.scheme != "s3" or not parts.netloc or parts.query:
        raise BadAddress(S3_FORMS)
    if find_spec("storages") is None or find_spec("boto3") is None:
        raise BadAddress("file:///FOLDER, since django-storages is not installed: pip install 'chamsae[s3]'")
    return {"shared": {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": _bucket(parts, endpoint)}}


def _bucket(parts: SplitResult, endpoint: str) -> dict[str, Any]:
    from botocore.config import Config

    # A page must not wait for minutes: botocore's own limits are 60 s, five times.
    patience = {"connect_timeout": 5, "read_timeout": 30, "retries": {"mode": "standard", "total_max_attempts": 3}}
    # Services that are not Amazon's have no host name for each bucket.
    style = {"s3": {"addressing_style": "path"}} if endpoint else {}
    return {
        "bucket_name": parts.netloc,
        "location": parts.path.strip("/"),
        "endpoint_url": endpoint or None,
        "client_config": Config(**patience, **style),
        "file_overwrite": True,
        "max_memory_size": 1 << 24,  # of a file that is read; what is larger passes through a temporary file
    }
