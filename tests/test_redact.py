"""Card numbers and credentials are masked, what only looks like them stays, in linear time."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handrail.model import Attempt, Conversation, Customer, Message, Role
from handrail.redact import mask, redact

REMOVED = "[credential removed]"


def luhn(digits: str) -> str:
    """``digits`` with the check digit that makes it a valid number."""
    total = sum(sum(divmod(int(d) * (2 if n % 2 == 0 else 1), 10)) for n, d in enumerate(reversed(digits)))
    return digits + str(-total % 10)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("4111111111111111", "[card ending 1111]"),
        ("my card 4111 1111 1111 1111, thanks", "my card [card ending 1111], thanks"),
        ("5500-0000-0000-0004.", "[card ending 0004]."),
        ("amex 3782 822463 10005", "amex [card ending 0005]"),
        ("4111\u00a01111\u20111111\u20101111", "[card ending 1111]"),
        ("4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1", "[card ending 1111]"),
        ("\uff14111111111111111", "[card ending 1111]"),
        ("order 17 4111 1111 1111 1111 5", "order 17 [card ending 1111] 5"),
        ("4111111111111111,5500000000000004", "[card ending 1111],[card ending 0004]"),
        ("card_4111111111111111", "card_[card ending 1111]"),
    ],
)
def test_a_card_number_keeps_its_last_four_digits(text: str, masked: str) -> None:
    assert mask(text) == masked


def test_a_key_of_the_host_and_a_phone_number_that_only_looks_like_a_card_stay() -> None:
    number = "5511987654325"
    assert mask(number) != number
    known = Customer(id=number, phone=number, email="ann@example.com")
    masked = redact(
        Conversation(id=number, messages=(Message(role="customer", text=number),), customer=known)
    )

    assert (masked.id, masked.customer) == (number, known)
    assert masked.messages[0].text != number


@pytest.mark.parametrize(
    "text",
    [
        "4111111111111112",  # wrong check digit
        "credit_card_4421486 and gift_card_7397992",
        "order 20261120-0001, 1182, 998877665544",
        "call +49 170 1234567 or (415) 555-2671",
        "+4111111111111111",  # a plus makes it a phone number
        "DE44 5001 0517 5407 3249 31",
        "550e8400-e29b-41d4-a716-446655440000",
        "0.4111111111111111",
        "1700000000000 2024-05-15 2024-05-16",
        "01JD4111111111111111ABCDEF",
        "my password is wrong, please help",
        "password reset does not work",
        "is the password correct?",
        "the bearer of bad news",
        "the token was lost; what is the secret of it?",
        "token: unavailable, secret: nothing-to-see",
        "task-force-of-twenty-seven-people99",
        "see https://example.com/a:b@c and mail me@example.com",
        "",
    ],
)
def test_what_only_looks_like_one_stays(text: str) -> None:
    assert mask(text) == text


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("key AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLE"),
        ("ghp_" + "a1B2" * 9, "a1B2"),
        ("github_pat_" + "a1B2" * 10, "a1B2"),
        ("glpat-" + "x1Y2-" * 5, "x1Y2"),
        ("xoxb-123456789012-abcdefABCDEF", "abcdefABCDEF"),
        ("sk_live_" + "9z" * 12, "9z9z"),
        ("sk-proj-" + "Ab3" * 12, "Ab3"),
        ("sk-ant-api03-" + "Ab3_" * 12, "Ab3"),
        ("AIza" + "Sy0" * 12, "Sy0"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.SflKxw-abc", "SflKxw"),
        ("Authorization: Bearer abc.def-ghi", "abc.def"),
        ("curl -H 'authorization: Basic dXNlcjpwYXNz'", "dXNlcjpwYXNz"),
        ("bearer 0123456789abcdef0123", "0123456789abcdef"),
        ("password: hunter2", "hunter2"),
        ("PASSWORD = 'two words'", "two words"),
        ("Passwort: Geheim!1", "Geheim"),
        ("mon mot de passe : azerty12", "azerty12"),
        ("my password is hunter2", "hunter2"),
        ("пароль: секрет", "секрет"),
        ('{"client_secret": "abcd1234efgh"}', "abcd1234"),
        (r"{\"password\": \"two words\"}", "two words"),
        ("https://x.example/?access_token=abc123456&y=2", "abc123456"),
        ("postgres://bob:p@ss@db.example/x", "p@ss"),
        ("cvv: 123", "123"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIabc\n-----END RSA PRIVATE KEY-----", "MIIabc"),
        ("-----BEGIN PRIVATE KEY-----\nMIIabc==", "MIIabc"),
    ],
)
def test_a_credential_goes(text: str, secret: str) -> None:
    masked = mask(text)

    assert secret not in masked
    assert REMOVED in masked


def test_what_stands_around_a_credential_stays() -> None:
    text = "Hi, password: hunter2 and -----BEGIN PRIVATE KEY-----\nMII\n-----END PRIVATE KEY-----. Bye"

    assert mask(text) == f"Hi, password: {REMOVED} and {REMOVED}. Bye"
    assert mask("https://x/?token=abc1234567&y=2") == f"https://x/?token={REMOVED}&y=2"


def test_every_place_of_a_conversation_is_masked() -> None:
    card, key = "4111 1111 1111 1111", "AKIAIOSFODNN7EXAMPLE"
    conversation = Conversation(
        id="c-1",
        subject=card,
        channel=f"chat {card}",
        language=key,
        sentiment=f"angry about {card}",
        url=f"https://x.example/?k={key}",
        messages=(Message(role="customer", text=card, name=key), Message(role="ai", text=key)),
        customer=Customer(
            id="u-1",
            name=card,
            email=f"{key}@x.example",
            phone=card,
            attributes={"note": [{"deep": card}], "n": 4111111111111111},
        ),
        fields={"password": "x", "boarding_pass": "AB12", "PIN": 1234, key: True, "amount": 250, "f": 1.5},
        attempts=(Attempt(action="pay", arguments={"card": card, "api_key": "k"}, detail=f"paid by {card}"),),
    )
    masked = redact(conversation)

    assert "1111 1111" not in masked.model_dump_json()
    assert key not in masked.model_dump_json()
    assert masked.customer.attributes == {"note": [{"deep": "[card ending 1111]"}], "n": "[card ending 1111]"}
    assert masked.fields["boarding_pass"] == "AB12"
    assert masked.fields["amount"] == 250
    assert (
        masked.fields["password"]
        == masked.fields["PIN"]
        == masked.attempts[0].arguments["api_key"]
        == REMOVED
    )
    assert masked.id == "c-1"
    assert Conversation.model_validate_json(masked.model_dump_json()) == masked


@settings(deadline=None)
@given(st.text(alphabet="0123456789", min_size=11, max_size=17), st.sampled_from(["", " ", "-"]))
def test_every_valid_number_of_a_card_scheme_is_masked(digits: str, separator: str) -> None:
    number = luhn(f"4{digits}")
    groups = separator.join(number[n : n + 4] for n in range(0, len(number), 4))

    assert mask(f"it is {groups} ok") == f"it is [card ending {number[-4:]}] ok"


@settings(deadline=None)
@given(st.text() | st.text(alphabet="password:= '\"[]credntilmov4111 -eyJ.@/", max_size=200))
def test_masking_twice_changes_nothing_more(text: str) -> None:
    assert mask(mask(text)) == mask(text)


@pytest.mark.parametrize(
    "piece",
    [
        "1",
        "1 ",
        "4111 ",
        "4111-",
        "password: ",
        "password:",
        "password is ",
        "://a:",
        "://a:b@",
        "eyJ",
        "sk-",
        "eyJaaaaaaaa.",
        "-----BEGIN PRIVATE KEY-----",
        "authorization: bearer ",
        "bearer ",
        'secret:"',
        "token=",
        "cvv ",
        "{{",
        "a",
        "\n",
        "mot de passe ",
    ],
)
def test_hostile_text_of_any_length_is_masked_alike(piece: str) -> None:
    """How long it takes is in ``tests/benchmarks``: squared, these would not end in a day."""
    short, long = (piece * (size // len(piece)) for size in (5_000, 1_000_000))

    assert mask(long)[:1000] == mask(short)[:1000]


@pytest.mark.parametrize("between", [" ", "-", "\t", "\u00a0"])
def test_a_card_is_found_in_a_whole_conversation_whatever_stands_between_its_groups(between: str) -> None:
    number = between.join(["4111", "1111", "1111", "1111"])
    talk = Conversation(
        messages=(Message(role=Role.CUSTOMER, text=f"It is {number}."),), fields={"card": [4111111111111111]}
    )
    masked = redact(talk)
    assert masked.messages[0].text == "It is [card ending 1111]."
    assert masked.fields == {"card": ["[card ending 1111]"]}


@pytest.mark.parametrize("between", ["", " ", "\t", "\u2011", " - "])
@pytest.mark.parametrize("number", ["4111111111111111", "\uff14" + "1" * 15, "4" + "\u0661" * 15])
def test_a_card_is_found_in_the_whole_of_a_conversation_however_it_is_written(
    number: str, between: str
) -> None:
    """One look at the conversation's JSON decides whether its parts are looked at."""
    written = between.join([number[:4], number[4:8], number[8:12], number[12:]])
    told = Conversation(messages=(Message(role=Role.CUSTOMER, text=f"It is {written}."),))

    assert redact(told).messages[0].text == "It is [card ending 1111]."


def test_an_ordinary_conversation_is_left_as_it_is() -> None:
    told = Conversation(messages=(Message(role=Role.CUSTOMER, text="Where is order 1182 of 2026-11-20?"),))

    assert redact(told) is told
