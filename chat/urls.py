from django.urls import path

from chat.views import assistants, context, conversations, inside, pages, sharing, site, transfer

urlpatterns = [
    path("", pages.home, name="home"),
    path("conversations/", pages.conversation_list, name="conversation_list"),
    path("conversations/new/", conversations.create, name="conversation_create"),
    path("c/<uuid:conversation_id>/", pages.conversation, name="conversation"),
    path("c/<uuid:conversation_id>/path/", pages.conversation_path, name="conversation_path"),
    path("c/<uuid:conversation_id>/rename/", conversations.rename, name="conversation_rename"),
    path("c/<uuid:conversation_id>/pin/", conversations.pin, name="conversation_pin"),
    path("c/<uuid:conversation_id>/archive/", conversations.archive, name="conversation_archive"),
    path("c/<uuid:conversation_id>/share/", sharing.share, name="conversation_share"),
    path("c/<uuid:conversation_id>/export/<slug:kind>/", transfer.export, name="conversation_export"),
    path("conversations/import/", transfer.import_file, name="conversation_import"),
    path("links/", sharing.shared_links, name="shared_links"),
    path("links/<int:link_id>/revoke/", sharing.revoke, name="share_revoke"),
    path("s/<slug:token>/", sharing.shared, name="shared"),
    path("c/<uuid:conversation_id>/delete/", conversations.delete, name="conversation_delete"),
    path("c/<uuid:conversation_id>/restore/", conversations.restore, name="conversation_restore"),
    path("replies/<int:reply_id>/look/", inside.look_inside, name="look_inside"),
    path("replies/<int:reply_id>/inside/", inside.inside_of, name="inside_of"),
    path("c/<uuid:conversation_id>/consent/", conversations.consent, name="conversation_consent"),
    path("c/<uuid:conversation_id>/assistant/", assistants.choose, name="conversation_assistant"),
    path("context/", context.context, name="context"),
    path("assistants/", assistants.assistant_list, name="assistants"),
    path("assistants/new/", assistants.create, name="assistant_create"),
    path("assistants/<uuid:assistant_id>/", assistants.assistant, name="assistant"),
    path("assistants/<uuid:assistant_id>/copy/", assistants.duplicate, name="assistant_duplicate"),
    path("assistants/<uuid:assistant_id>/delete/", assistants.delete, name="assistant_delete"),
    path("assistants/<uuid:assistant_id>/restore/", assistants.restore, name="assistant_restore"),
    path("site/", site.site_choices, name="site_choices"),
]
