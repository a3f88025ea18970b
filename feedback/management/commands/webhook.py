"""`manage.py webhook`: adds, lists, tests, changes and removes webhooks, and sends a delivery again."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from accounts.models import User
from base.commands import ChamsaeCommand, Exit
from feedback.models import Webhook, WebhookDelivery
from feedback.webhooks import events, sending, setting_up
from feedback.webhooks.addresses import BadHookAddress

ACTIONS = ("list", "add", "log", "test", "on", "off", "rotate", "remove", "resend")
LOGGED = 50


class Command(ChamsaeCommand):
    help = (
        "Webhooks: addresses that are told of feedback, signed (Standard Webhooks), without names. `add` and "
        "`rotate` print the secret, which is shown only once. `test` sends at once and says how it went; `resend` "
        "takes the id of a delivery from `log`. Events: " + ", ".join(events.EVENTS) + "."
    )
    examples = """
        manage.py webhook add watcher --url https://example.org/hook --event thumb.given --event ranking.submitted
        manage.py webhook test watcher
        manage.py webhook log watcher --json
        manage.py webhook resend msg_0123456789abcdef01234567
    """
    failures = (BadHookAddress,)

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("action", choices=ACTIONS)
        parser.add_argument("name", nargs="?", help="name of the webhook; for `resend` the id of the delivery")
        parser.add_argument("--url", default="", metavar="URL", help="where it is sent")
        parser.add_argument(
            "--event", action="append", default=[], choices=[*events.EVENTS], help="can be given several times"
        )
        parser.add_argument("--by", metavar="USER", help="username of who does it, for the audit log")

    def handle(self, *args: Any, **options: Any) -> None:
        action, name = options["action"], options["name"]
        if action == "list":
            self.finish({"webhooks": [_told(one) for one in Webhook.objects.all()]})
        elif not name:
            raise CommandError("name the webhook, or the delivery", returncode=Exit.USAGE)
        elif action == "add":
            self._add(name, options)
        elif action == "resend":
            self._resend(name)
        else:
            self._act(action, _webhook(name), _user(options["by"]))

    def _add(self, name: str, options: dict[str, Any]) -> None:
        if not options["url"] or not options["event"]:
            raise CommandError("give --url and at least one --event", returncode=Exit.USAGE)
        if Webhook.objects.filter(name=name).exists():
            raise CommandError(f"there is a webhook {name!r} already", returncode=Exit.USAGE)
        made, secret = setting_up.add(name[:60], options["url"], options["event"], by=_user(options["by"]))
        self.finish({**_told(made), "secret": secret}, text=secret)

    def _act(self, action: str, webhook: Webhook, by: User | None) -> None:
        if action == "log":
            self.finish({"deliveries": [_told_of(row) for row in webhook.deliveries.all()[:LOGGED]]})
        elif action == "test":
            self._send(events.test(webhook))
        elif action == "rotate":
            secret = setting_up.rotate(webhook, by=by)
            self.finish({**_told(webhook), "secret": secret}, text=secret)
        elif action == "remove":
            told = _told(webhook)
            setting_up.remove(webhook, by=by)
            self.finish(told)
        else:
            changed = setting_up.change(webhook, by=by, is_on=action == "on")
            webhook.refresh_from_db()
            self.finish(_told(webhook), Exit.DONE if changed else Exit.NOTHING_TO_DO)

    def _resend(self, key: str) -> None:
        delivery = WebhookDelivery.objects.filter(key=key).first()
        if delivery is None:
            raise CommandError(f"there is no delivery {key!r}", returncode=Exit.USAGE)
        sending.resend(delivery)
        self._send(delivery)

    def _send(self, delivery: WebhookDelivery) -> None:
        arrived = sending.send_now(delivery)
        delivery.refresh_from_db()
        self.finish(_told_of(delivery), Exit.DONE if arrived else Exit.FAILED)


def _told(webhook: Webhook) -> dict[str, Any]:
    return {
        "name": webhook.name,
        "url": webhook.url,
        "events": webhook.events,
        "is_on": webhook.is_on,
        "failures": webhook.failures,
        "secret_shown": webhook.shown,
    }


def _told_of(delivery: WebhookDelivery) -> dict[str, Any]:
    return {
        "id": delivery.key,
        "event": delivery.event,
        "state": str(delivery.state),
        "attempts": delivery.attempts,
        "status": delivery.status,
        "error": delivery.error,
        "created_at": delivery.created_at.isoformat(),
    }


def _webhook(name: str) -> Webhook:
    found = Webhook.objects.filter(name=name).first()
    if found is None:
        known = ", ".join(Webhook.objects.values_list("name", flat=True)) or "none yet"
        raise CommandError(f"there is no webhook {name!r}; known: {known}", returncode=Exit.USAGE)
    return found


def _user(name: str | None) -> User | None:
    found = User.objects.filter(username=name).first() if name else None
    if name and found is None:
        raise CommandError(f"there is no user {name!r}", returncode=Exit.USAGE)
    return found
