"""Finds e-mail addresses and postal addresses, English and Korean. Every pattern has a greatest width."""

import re
from collections.abc import Iterator

from feedback.masking.spans import MaskKind, Span

LOCAL = re.compile(r"[A-Za-z0-9_.+%'-]{1,64}\Z")
DOMAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,62}(?:\.[A-Za-z0-9][A-Za-z0-9-]{0,62}){1,6}")
LOCAL_CHARS = 64

KINDS_OF_STREET = (
    "Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Place|Pl|Square|Sq|Terrace|Way|Close|"
    "Crescent|Parkway|Pkwy|Highway|Hwy|Circle|Cir|Gardens|Mews|Row|Hill"
)
STREET = re.compile(
    r"(?<![\w.-])\d{1,5}[A-Za-z]?,? {1,2}(?:[NSEW]\.? {1,2})?(?:[A-Z0-9][\w'’-]{0,20}\.? {1,2}){1,3}"
    rf"(?:{KINDS_OF_STREET})\b\.?"
    r"(?:,? {1,2}(?:Apt|Apartment|Suite|Ste|Unit|Flat|Floor|#)\.? ?\w{1,6})?"
    r"(?:, {0,2}[A-Z][a-z]{1,20}(?: [A-Z][a-z]{1,20}){0,2})?"
    r"(?:,? {1,2}[A-Z]{2}(?= {1,2}\d))?(?: {1,2}\d{5}(?:-\d{4})?)?"
)
POSTCODE = re.compile(r"(?<!\w)[A-Z]{1,2}\d[A-Z\d]? \d[A-Z]{2}(?!\w)")
"""British; an American or Korean one is five digits, which tell nothing by themselves."""
POST_BOX = re.compile(r"\b[Pp]\.? ?[Oo]\.? ?[Bb]ox {1,2}\d{1,6}\b")

PROVINCES = "서울|부산|대구|인천|광주|대전|울산|세종|경기|강원|충북|충남|전북|전남|경북|경남|제주"
KOREAN = re.compile(
    rf"(?<![가-힣])(?:(?:{PROVINCES})[가-힣]{{0,5}} {{1,2}}|[가-힣]{{1,5}}(?:시|군|구) {{1,2}})"
    r"(?:[가-힣]{1,5}(?:시|군|구|읍|면) {1,2}){0,3}"
    r"[가-힣][가-힣\d]{0,10}(?:(?:로|길) {0,2}\d{1,4}(?:-\d{1,4})?(?:(?:번길|길) {0,2}\d{1,4}(?:-\d{1,4})?)?|"
    r"(?:동|리|가) {0,2}\d{1,4}(?:-\d{1,4})?(?:번지)?)"
    r"(?:,? {0,2}(?:[가-힣A-Za-z\d]{1,14} {1,2})?\d{1,4}동 {0,2}\d{1,4}호)?"
)
FLAT = re.compile(r"(?<!\d)\d{1,4}동 {0,2}\d{1,4}호")


def emails(text: str) -> Iterator[Span]:
    at = text.find("@")
    while at >= 0:
        local = LOCAL.search(text[max(0, at - LOCAL_CHARS) : at])
        domain = DOMAIN.match(text, at + 1)
        if local is not None and domain is not None:
            yield Span(at - len(local[0]), domain.end(), MaskKind.EMAIL)
        at = text.find("@", at + 1)


def postal_addresses(text: str) -> Iterator[Span]:
    for pattern in (STREET, POSTCODE, POST_BOX, KOREAN, FLAT):
        for match in pattern.finditer(text):
            yield Span(*match.span(), MaskKind.ADDRESS)
