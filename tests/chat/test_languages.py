"""What languages a policy speaks, what a page suggests in them, and what it says where none fits."""

import pytest
from django.test import Client
from django.utils import translation

from accounts.models import AuditEntry, User
from chat import languages, policies
from chat.models import Message, Policy
from tests.chat.policies import install

pytestmark = pytest.mark.django_db
IN_KOREAN, IN_ENGLISH = "무지개는 무엇인가요?", "What is a rainbow?"


def speaker(*codes):
    return Policy(name="speaker", version=1, languages=list(codes))


@pytest.mark.parametrize(
    ("codes", "language", "expected"),
    [
        (("en",), "en", True),
        (("en",), "ko", False),
        (("en-gb",), "en", True),
        (("zh",), "zh-hans", True),
        ((), "ko", True),
    ],
)
def test_a_language_is_spoken_in_any_region_and_unknown_ones_are_given_the_benefit(codes, language, expected):
    assert languages.speaks(speaker(*codes), language) is expected
    assert languages.speaks(None, language) is True


def test_suggestions_come_in_a_language_of_the_policy_that_the_site_has():
    assert languages.suggested(speaker("en"), "ko") == "en"
    assert languages.suggested(speaker("ko", "ja"), "en") == "ko"
    assert languages.suggested(speaker("ko", "en"), "ko") == "ko"
    assert languages.suggested(speaker("fr"), "ko") == "ko", "there are none in French"
    assert languages.suggested(speaker(), "ko") == "ko"


def test_the_warning_names_the_languages_in_the_words_of_the_page():
    with translation.override("ko"):
        assert "영어" in languages.warning(speaker("en"), "ko")
        assert "한국어" in languages.warning(speaker("en"), "ko")
        assert languages.warning(speaker("en", "ko"), "ko") == ""
    assert "Korean" in languages.warning(speaker("ko"), "en")
    assert "tlh" in languages.warning(speaker("tlh"), "en"), "a language without a name is shown by its code"


@pytest.mark.parametrize(
    ("page", "codes", "suggestion", "is_warned"),
    [
        ("ko", ["en"], IN_ENGLISH, True),
        ("en", ["ko"], IN_KOREAN, True),
        ("ko", ["ko", "en"], IN_KOREAN, False),
        ("en", [], IN_ENGLISH, False),
    ],
)
def test_the_home_page_suggests_and_warns(alice, page, codes, suggestion, is_warned):
    with translation.override("ko"):
        assert translation.gettext(IN_ENGLISH) == IN_KOREAN
    Policy.objects.create(name="speaker", version=1, is_live=True, languages=codes)
    client = Client(headers={"accept-language": page})
    client.force_login(alice)
    shown = client.get("/").content.decode()
    assert f"data-suggestion>{suggestion}<" in shown
    assert ('id="language-warning" hidden' not in shown) is is_warned


@pytest.mark.parametrize(("page", "is_warned"), [("ko", True), ("en", False)])
def test_a_conversation_that_is_there_warns_too(alice, conversation, page, is_warned):
    Policy.objects.create(name="speaker", version=1, is_live=True, languages=["en"])
    Message.objects.create(conversation=conversation, role="user", text="Hi")
    client = Client(headers={"accept-language": page})
    client.force_login(alice)
    shown = client.get(f"/c/{conversation.pk}/").content.decode()
    assert shown.count('id="language-warning"') == 1
    assert ('id="language-warning" hidden' not in shown) is is_warned


def test_the_model_that_a_person_chose_is_the_one_that_is_warned_of(alice):
    Policy.objects.create(name="english", version=1, is_live=True, languages=["en"])
    Policy.objects.create(name="korean", version=2, languages=["ko"])
    client = Client(headers={"accept-language": "ko"})
    client.force_login(alice)
    assert 'id="language-warning" hidden' in client.get("/?model=korean").content.decode()
    assert 'id="language-warning" hidden' not in client.get("/?model=english").content.decode()


def test_a_policy_speaks_what_its_base_speaks(tiny_policy):
    base = install(tiny_policy, "tiny-spoken")
    Policy.objects.filter(pk=base.pk).update(languages=["ko"])
    base.refresh_from_db()
    path = policies.directory(base)
    assert policies.register(path, name="child", source="run:1", base=base, languages=["fr"]).languages == ["ko"]
    assert policies.register(path, name="other", source="hub", languages=["fr"]).languages == ["fr"]


def test_what_is_typed_is_read_as_codes_each_once():
    assert languages.read(" EN, ko;  zh_Hans en") == ["en", "ko", "zh-hans"]
    assert languages.read("") == []
    with pytest.raises(languages.BadLanguage, match="한국어"):
        languages.read("en, 한국어")


def test_a_change_has_its_audit_entry_and_none_has_none():
    admin = User.objects.create_superuser("admin", password="not the demo one")
    policy = Policy.objects.create(name="speaker", version=1)
    languages.change(admin, policy, ["en"])
    languages.change(admin, policy, ["en"])
    entry = AuditEntry.objects.get(verb="policy.languages")
    assert (entry.before, entry.after) == ({"languages": []}, {"languages": ["en"]})
    policy.refresh_from_db()
    assert policy.languages == ["en"]
