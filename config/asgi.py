"""The ASGI application, which web servers run: HTTP and websockets."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

from django.core.asgi import get_asgi_application

django_application = get_asgi_application()  # before anything that imports models

from channels.routing import ProtocolTypeRouter, URLRouter
from channels.sessions import CookieMiddleware
from django.conf import settings

from base import host_tidying
from base.garbage_collection import freeze_startup_objects
from chat.websocket.routing import websocket_urlpatterns
from config.body_limits import BodyLimits
from config.origins import StrictOrigins

routes = URLRouter(websocket_urlpatterns)  # type: ignore[arg-type]  # the stubs know no plain URLPattern

application = ProtocolTypeRouter(
    {
        "http": BodyLimits(django_application),
        "websocket": StrictOrigins(CookieMiddleware(routes), settings.ORIGINS),
    }
)

freeze_startup_objects()
host_tidying.start()
