"""Who is at the other end of a websocket: read from the session each time, since a socket may outlive a sign-in."""

from importlib import import_module
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, load_backend
from django.utils.crypto import constant_time_compare
from django.utils.translation.trans_real import parse_accept_lang_header

from accounts.models import User
from accounts.roles import Role
from chat.models import Conversation


def user_of(scope: Any) -> User | None:
    """The person who is signed in and may chat, according to the database now; None for everybody else.

    Django's own function gives the session a new key after SECRET_KEY was rotated, which a socket cannot pass on to
    the browser; Channels' ends the session, and checks at every frame whether to save it. This one only reads.
    """
    session_key = scope.get("cookies", {}).get(settings.SESSION_COOKIE_NAME)
    if not session_key:
        return None
    session = import_module(settings.SESSION_ENGINE).SessionStore(session_key).load()
    backend = session.get(BACKEND_SESSION_KEY)
    if backend not in settings.AUTHENTICATION_BACKENDS:
        return None
    user = load_backend(backend).get_user(session.get(SESSION_KEY))
    if not isinstance(user, User) or not user.has_role(Role.CHATTER):
        return None
    hashes = [user.get_session_auth_hash(), *user.get_session_auth_fallback_hash()]
    return user if any(constant_time_compare(session.get(HASH_SESSION_KEY, ""), one) for one in hashes) else None


def conversation_of(user: User, conversation_id: UUID) -> Conversation | None:
    """None unless it is the person's own, whether or not it exists."""
    found = Conversation.objects.filter(pk=conversation_id, owner=user, deleted_at=None).first()
    if found is not None:
        found.owner = user
    return found


def language_of(scope: Any) -> str:
    """The language that the person chose (cookie), else the browser's first one that the site has."""
    known = dict(settings.LANGUAGES)
    chosen = scope.get("cookies", {}).get("language", "")
    if chosen in known:
        return str(chosen)
    headers = dict(scope.get("headers", []))
    accepted = headers.get(b"accept-language", b"").decode("latin-1")
    for code, _quality in parse_accept_lang_header(accepted):
        if code.split("-")[0] in known:
            return code.split("-")[0]
    return str(settings.LANGUAGE_CODE)
