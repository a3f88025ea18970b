"""Template tag for pages of other apps: whether this site shows replies side by side at all."""

from django import template

from chat import site_choices

register = template.Library()


@register.simple_tag
def site_shows_pairs() -> bool:
    return site_choices.get().side_by_side_percent > 0
