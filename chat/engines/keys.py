"""The key of an embedded engine: derived from the site's secret and the engine's row, stored nowhere."""

from django.utils.crypto import salted_hmac


def key_of(engine_process_id: int) -> str:
    return salted_hmac("chat.engines", str(engine_process_id), algorithm="sha256").hexdigest()
