"""Words that people read: one term for one thing, one polite form, one format of dates."""

import re
from pathlib import Path

import pytest
from babel.messages.pofile import read_po

ROOT = Path(__file__).parent.parent.parent
CATALOGUE = ROOT / "locale/ko/LC_MESSAGES/django.po"

ENGLISH = {
    r"\b(No link leads|will stand|could have stood|stands? (here|on the page|before))\b": "No links yet; will appear",
    r"\bfit together\b|\bMind upper\b": "Wrong username or password. Check capitals.",
    r"\bgreatest length\b": "maximum length",
    r"\b[Ww]ait for its end\b|\bone to end\b": "wait for it to finish",
    r"\bsite's choices\b|\bAs the environment\b|\bas the site\b": "site settings; server default; site default",
    r"\buntil the person says\b": "unless the person opts out",
    r"\bwhich is told\b|\btold no\b|\bas a job tells\b|\bas the list tells\b": "You'll see; returned",
    r"\bother draws\b": "two samples of the same model",
    r"\blearns from %": "Fine-tune of … on …",
    r"\b(Bring|bring|brings)( a| another)?( file)? (in|back)\b|\bBring in\b": "Upload; Restore",
    r"\bof 2023 has the price\b": "2023 names keep 2023 prices",
    r"\bNone ticked\b": "Leave empty for full access",
    r"\bof all: <|\bmay do\b|\bdo all\b": "Password for all; can do everything",
    r"\bMarks between\b|\bwaits to be\b|\blearnt\b": "Chat formatting; Waiting for training; learned",
    r"^To the\b": "Go to; Focus the message box",
    r"\bWho answer(s|ed)\b": "Live policy; Promotion history",
    r"\bNothing is known\b|\bruns elsewhere\b": "No probabilities: …",
    r"\bmade-up name\b": "pseudonym",
    r"\b[Uu]ser name\b": "username",
    r"\b[Mm]ake (a|an|another|the)( API)? (account|key|link|model|assistant)\b": "Create",
    r"\b[Mm]ake .* live\b|\b[Mm]ade live\b|\bbefore the gate\b": "promote; submit to the gate",
    r"\bon trial\b|\bat present\b|\bas it was\b|\bAs it was\b": "in a trial; right now; original model",
    r"\b[Tt]rains? nothing\b|\bmay train\b": "not used for training",
    r"\bdoes not answer\b(?! the question)": "does not respond",
    r"\bholds? (characters|words|an? line|no line)\b": "contains",
    r"\b[Tt]ake (it |this |a \w+ )?(back|out)\b|\bTake %|\btaken (back|out)\b": "Withdraw; Remove",
    r"\bnats a (token|reply)\b|\brequests a minute\b|\b[Oo]ne a line\b|\bon a page\b": "per",
    r"\bin all\b": "in total",
    r"\b[Tt]humb is\b|\bbeneath the field\b|\ball the same\b": "thumbs up or down; below the message box",
    r"\b[Tt]o be read:|\bAt a glance\b|\bGood to know\b": "Sample replies; Summary; Notes",
    r"^What learns$|^It learns$": "Trained part; Training data",
    r"\bcame in with\b|\bcome into this queue\b": "imported from a file; appear here",
    r"” is (back|deleted|here|pinned|revoked|saved|in the archive)\b": "was restored, was deleted, …",
    r"\badministrator\b": "admin",
    r"\bformer (version|policy)\b": "previous",
    r" …$": "no space before an ellipsis",
}
"""What no English string says, with what one says instead."""

KOREAN = {
    r"조정": "신고 처리, 운영자",
    r"쓰는 사람에게 배우는": "사용자에게서 배우는",
    r"처리를 기다립니다": "처리할 답변이 없습니다",
    r"자리를 (주|하나)|한 자리|같은 자리|의 자리": "순위를 매겨 주세요",
    r"모두의 (비밀번호|키)": "공통 비밀번호, 전체 키",
    r"엄지": "좋아요·싫어요",
    r"판단": "판정",
    r"지어낸 이름": "가명",
    r"막는 (구절|표현)|구절": "차단 문구",
    r"뽑(기|은)|표본 추출": "샘플링",
    r"벌점": "존재 페널티, 빈도 페널티",
    r"지우(기|고)|없애기|지워집|지워짐|지워질|없앴": "삭제",
    r"고치기|더하기|바꾸기|견주": "수정, 추가, 변경",
    r"(?<!주)세요": "…해 주세요",
    r" …$": "중…",
    r"사이트의 선택": "사이트 설정",
    r"쓰신|하신 판정": "작성하신 글은 본인의 것입니다",
    r"거르기": "필터",
    r"API의 말": "API 형식",
    r"놀람": "의외성",
    r"따로 떼어": "평가용",
    r"바탕 모델|바탕 정책": "기반 모델",
    r"되살리": "복원",
    r"운영 중인": "사용 중인",
    r"학습 사이클": "학습 주기",
    r"차례의 목록|어시스턴트의 차례|답변이 둘인 차례|다음 차례부터": "턴",
}
"""What no Korean string says, with what one says instead."""

ALLOWED = {
    "미세 조정": "fine-tuning, not moderation",
    "메시지를 입력하세요": "the placeholder of the message box",
    "저는 프로그램이라 기분이 없어요.": "a reply on the landing page",
    "아주 좋아요. 푹 자고 언니와 커피도 마셨거든요.": "a reply on the landing page",
}
NAMED_FORMATS = {"DATE_FORMAT", "DATETIME_FORMAT", "YEAR_MONTH_FORMAT"}
MACHINE_READABLE = "c"


def forms(text: str | tuple[str, ...]) -> tuple[str, ...]:
    return text if isinstance(text, tuple) else (text,)


def strings(path: Path = CATALOGUE) -> list[tuple[str, str]]:
    """Each English string with its Korean one."""
    with path.open("rb") as source:
        messages = [message for message in read_po(source, locale="ko") if message.id]
    return [(english, forms(message.string)[0]) for message in messages for english in forms(message.id)]


def templates() -> list[Path]:
    return sorted((ROOT / "templates").rglob("*.html"))


def without_allowed(text: str) -> str:
    for phrase in ALLOWED:
        text = text.replace(phrase, "")
    return text


@pytest.mark.parametrize("pattern", ENGLISH)
def test_no_english_string_reads_as_if_translated(pattern: str) -> None:
    bad = [english for english, _korean in strings() if re.search(pattern, english)]
    assert bad == [], f"say: {ENGLISH[pattern]}"


@pytest.mark.parametrize("pattern", KOREAN)
def test_no_korean_string_uses_a_second_word_for_the_same_thing(pattern: str) -> None:
    bad = [korean for _english, korean in strings() if re.search(pattern, without_allowed(korean))]
    assert bad == [], f"say: {KOREAN[pattern]}"


@pytest.mark.parametrize("pattern", ENGLISH)
def test_no_template_says_it_outside_the_catalogue(pattern: str) -> None:
    flags = re.MULTILINE if pattern.startswith("^") else 0
    tag = re.compile(r"\{#.*?#\}|\{% (?!translate|blocktranslate)[^%]*%\}|\{\{.*?\}\}|<[^>]*>", re.DOTALL)
    bad = [path.name for path in templates() if re.search(pattern, tag.sub(" ", path.read_text("utf-8")), flags)]
    assert bad == [], f"say: {ENGLISH[pattern]}"


def test_korean_sentences_end_in_one_polite_form() -> None:
    other = re.compile(r"(?<!니)다\.|(?<!주세)요\.")
    assert [korean for _english, korean in strings() if other.search(without_allowed(korean))] == []


def test_templates_use_only_the_named_formats_of_dates() -> None:
    used = {
        (path.name, form)
        for path in templates()
        for form in re.findall(r"\|(?:date|time):[\"']([^\"']*)[\"']", path.read_text("utf-8"))
    }
    assert {form for _name, form in used} >= NAMED_FORMATS
    assert sorted(pair for pair in used if pair[1] not in NAMED_FORMATS | {MACHINE_READABLE}) == []


def test_a_date_that_is_only_machine_readable_is_an_attribute() -> None:
    attribute = re.compile(r"(?:datetime|data-\w+)=\"\{\{[^}]*\|date:'c' \}\}\"")
    for path in templates():
        text = path.read_text("utf-8")
        assert text.count("|date:'c'") == len(attribute.findall(text)), path.name


@pytest.mark.parametrize("language", ["en", "ko"])
def test_a_language_has_one_format_of_dates(language: str) -> None:
    formats = __import__(f"config.formats.{language}.formats", fromlist=["DATE_FORMAT"])
    assert formats.SHORT_DATE_FORMAT == formats.DATE_FORMAT
    assert formats.SHORT_DATETIME_FORMAT == formats.DATETIME_FORMAT
    assert formats.DATETIME_FORMAT.startswith(formats.DATE_FORMAT)
    assert formats.DATETIME_FORMAT.endswith(formats.TIME_FORMAT)


def test_korean_in_people_s_texts_breaks_between_words_and_never_overflows() -> None:
    css = (ROOT / "static/css/site.css").read_text("utf-8")
    rules = re.findall(r"([^{}]+)\{([^}]*)\}", re.sub(r"/\*.*?\*/", "", css, flags=re.DOTALL))
    said = "".join(body for selectors, body in rules if '[dir="auto"]' in selectors)
    assert "word-break: keep-all" in said
    assert "overflow-wrap: anywhere" in said
    for name in ("user_turn", "assistant_turn", "shared", "list_item", "conversation_title"):
        assert 'dir="auto"' in (ROOT / f"templates/chat/{name}.html").read_text("utf-8"), name
    ranking = (ROOT / "templates/feedback/rank_task.html").read_text("utf-8")
    assert 'class="foreign-text prose reply-text" dir="auto"' in ranking
