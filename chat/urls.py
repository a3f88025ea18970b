from django.urls import path

from chat.views import conversations, pages

urlpatterns = [
    path("", pages.home, name="home"),
    path("conversations/", pages.conversation_list, name="conversation_list"),
    path("conversations/new/", conversations.create, name="conversation_create"),
    path("c/<uuid:conversation_id>/", pages.conversation, name="conversation"),
    path("c/<uuid:conversation_id>/rename/", conversations.rename, name="conversation_rename"),
    path("c/<uuid:conversation_id>/delete/", conversations.delete, name="conversation_delete"),
    path("c/<uuid:conversation_id>/restore/", conversations.restore, name="conversation_restore"),
    path("c/<uuid:conversation_id>/consent/", conversations.consent, name="conversation_consent"),
]
