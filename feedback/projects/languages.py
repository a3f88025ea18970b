"""Codes of languages as people write them for a project: “en, ko”."""

import re
from typing import Any

from django.utils.translation import gettext as _

from feedback.projects.errors import BadLanguages

CODE = re.compile(r"[a-z]{2,3}(-[A-Za-z]{2,4})?")
LONGEST = 8


def is_code(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST and CODE.fullmatch(value) is not None


def read_codes(text: str) -> list[str]:
    """With commas, semicolons or spaces between them, each once. Raises BadLanguages."""
    codes = list(dict.fromkeys(re.split(r"[\s,;]+", text.strip()))) if text.strip() else []
    if not all(is_code(code) for code in codes) or len(codes) > 50:
        raise BadLanguages(_("Write codes of languages with commas between them, such as: en, ko"))
    return codes
