"""The web app manifest, by which browsers install the site as an app, in the language of the page."""

from django.conf import settings
from django.http import HttpRequest, JsonResponse
from django.templatetags.static import static
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

PAPER = "#faf6f0"
"""The background of css/tokens.css; a manifest has one for light and dark."""


@require_safe
def manifest(request: HttpRequest) -> JsonResponse:
    content = {
        "id": "/",
        "name": _("Chamsae chat"),
        "short_name": _("Chamsae"),
        "description": _("A chat whose model learns from the people who use it."),
        "lang": get_language() or settings.LANGUAGE_CODE,
        "dir": "ltr",
        "start_url": "/",
        "scope": "/",
        "display": "standalone",
        "background_color": PAPER,
        "theme_color": PAPER,
        "icons": [
            {"src": static("sparrow.svg"), "sizes": "any", "type": "image/svg+xml", "purpose": "any"},
            {"src": static("app/icon-192.png"), "sizes": "192x192", "type": "image/png", "purpose": "any"},
            {"src": static("app/icon-512.png"), "sizes": "512x512", "type": "image/png", "purpose": "any"},
            {"src": static("app/maskable-512.png"), "sizes": "512x512", "type": "image/png", "purpose": "maskable"},
        ],
        "shortcuts": [
            {"name": _("New conversation"), "url": "/"},
            {"name": _("Temporary chat"), "url": "/?temporary"},
        ],
    }
    return JsonResponse(
        content, content_type="application/manifest+json", json_dumps_params={"ensure_ascii": False, "indent": 1}
    )
