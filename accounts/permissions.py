"""Who may open which route. The table fails closed: a route that is not in it is refused, and a test walks it."""

from collections.abc import Mapping

from accounts.roles import Role

EVERYBODY = frozenset({Role.ANONYMOUS, Role.CHATTER})
SIGNED_IN = frozenset({Role.CHATTER})
ANNOTATORS = frozenset({Role.ANNOTATOR})
MODERATORS = frozenset({Role.MODERATOR})
ADMINS = frozenset({Role.ADMIN})

TABLE: Mapping[str, frozenset[Role]] = {
    # accounts
    "sign_in": EVERYBODY,
    "sign_up": EVERYBODY,
    "sign_out": EVERYBODY,
    "set_language": EVERYBODY,
    "password_change": SIGNED_IN,
    "account": SIGNED_IN,
    "my_data": SIGNED_IN,
    "delete_account": SIGNED_IN,
    "keep_account": SIGNED_IN,
    "audit_log": MODERATORS,
    "healthz": EVERYBODY,
    "readyz": EVERYBODY,
    # chat
    "home": EVERYBODY,
    "conversation_list": SIGNED_IN,
    "conversation_create": SIGNED_IN,
    "conversation": SIGNED_IN,
    "conversation_path": SIGNED_IN,
    "chat_socket": SIGNED_IN,
    "conversation_rename": SIGNED_IN,
    "conversation_pin": SIGNED_IN,
    "conversation_archive": SIGNED_IN,
    "conversation_share": SIGNED_IN,
    "conversation_export": SIGNED_IN,
    "conversation_import": SIGNED_IN,
    "shared_links": SIGNED_IN,
    "share_revoke": SIGNED_IN,
    "shared": EVERYBODY,
    "conversation_delete": SIGNED_IN,
    "conversation_restore": SIGNED_IN,
    "conversation_consent": SIGNED_IN,
    "conversation_assistant": SIGNED_IN,
    "context": SIGNED_IN,
    "assistants": SIGNED_IN,
    "assistant_create": SIGNED_IN,
    "assistant": SIGNED_IN,
    "assistant_duplicate": SIGNED_IN,
    "assistant_delete": SIGNED_IN,
    "assistant_restore": SIGNED_IN,
    "site_choices": ADMINS,
    "look_inside": SIGNED_IN,
    "inside_of": SIGNED_IN,
    # feedback
    "rank": ANNOTATORS,
    "submit_ranking": ANNOTATORS,
    "save_draft": ANNOTATORS,
    "skip_task": ANNOTATORS,
    "my_rankings": ANNOTATORS,
    "withdraw_ranking": ANNOTATORS,
    "guidelines": ANNOTATORS,
    "report_message": SIGNED_IN,
    "thumb": SIGNED_IN,
    "take_back_flag": SIGNED_IN,
    "choose_reply": SIGNED_IN,
    "give_up_pair": SIGNED_IN,
    "side_by_side": SIGNED_IN,
    "rules": ADMINS,
    "edit_rule": ADMINS,
    "switch_rule": ADMINS,
    "add_phrase": ADMINS,
    "remove_phrase": ADMINS,
    "moderation": MODERATORS,
    "moderation_item": MODERATORS,
    "moderate": MODERATORS,
    "undo_moderation": MODERATORS,
    # rlhf
    "lineage": SIGNED_IN,
    "conversation_uses": SIGNED_IN,
    "training": MODERATORS,
    "training_under_way": MODERATORS,
    "runs": MODERATORS,
    "run": MODERATORS,
    "run_part": MODERATORS,
    "run_metrics": MODERATORS,
    "policies": MODERATORS,
    "policy": MODERATORS,
    "evaluation": MODERATORS,
    "start_cycle": ADMINS,
    "cancel_run": ADMINS,
    "resume_run": ADMINS,
    "roll_back": ADMINS,
    "force_policy": ADMINS,
    "put_on_trial": ADMINS,
    # the API: who its key belongs to
    "v1:missing": EVERYBODY,
    # every page of Django's admin
    "admin:*": ADMINS,
}


def roles_for(view_name: str) -> frozenset[Role]:
    """The roles that may open a route, by its name with its namespace; empty where the table does not know it."""
    if ":" in view_name:
        return TABLE.get(view_name) or TABLE.get(view_name.split(":")[0] + ":*", frozenset())
    return TABLE.get(view_name, frozenset())
