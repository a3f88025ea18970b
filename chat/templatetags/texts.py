"""Template filters for texts of people and models on pages where they are judged: nothing in them stays hidden."""

from django import template
from django.utils.safestring import SafeString, mark_safe

from chat.markdown import invisible
from chat.markdown.rendering import render, render_for_judging

register = template.Library()


@register.filter
def for_judging(text: str) -> SafeString:
    """The Markdown as HTML."""
    return mark_safe(render_for_judging(text))  # noqa: S308  sanitised there


@register.filter
def as_prose(text: str) -> SafeString:
    """The Markdown of a text that nobody judges, as HTML."""
    return mark_safe(render(text))  # noqa: S308  sanitised there


@register.filter
def marked(text: str) -> str:
    """The text as it was written, with invisible characters marked."""
    return invisible.marked(text)
