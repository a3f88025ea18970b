"""URL patterns of the websockets."""

from django.urls import URLPattern, path

from chat.websocket.consumers import ChatConsumer

websocket_urlpatterns: list[URLPattern] = [
    path("ws/chat/<uuid:conversation_id>/", ChatConsumer.as_asgi(), name="chat_socket"),  # type: ignore[arg-type]
]
