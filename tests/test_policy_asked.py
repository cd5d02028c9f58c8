"""The signal ``asked_for_human``: who asks for a person, in each language, and who does not."""

from __future__ import annotations

import pytest
from tests.policies import fires, policy, said

from handrail.policy.human import AskedForHuman, languages

ASKS = {
    "en": """
        I want to talk to a person
        I've had enough, real person please
        Can I speak to a human please?
        human
        agent please
        REPRESENTATIVE!!!
        Get me your manager
        I'd like to speak with a supervisor about this.
        No I want a real person
        Why can't I talk to a human?
        I don't want a bot, I want a human
        I don’t want to chat with a bot but a human
        can a human look at this?
        Is there a real person I can talk to?
        connect me to an agent
        please transfer me to a live agent
        Don't you have a real person I can talk to?
        I need to speak to someone
        I am not getting help here. Escalate this to a supervisor
        I want to talk to a "real" person
        "I want to speak to a human"
    """,
    "de": """
        Ich möchte mit einem Menschen sprechen
        Verbinden Sie mich bitte mit einem Mitarbeiter
        Mensch bitte
        Ich will keinen Bot, sondern einen Menschen
        Kann ich mit jemandem telefonieren?
    """,
    "fr": """
        Je voudrais parler à un conseiller
        Je veux parler a un humain
        passez-moi quelqu'un
        Mettez-moi en relation avec une vraie personne
    """,
    "es": """
        Quiero hablar con una persona
        Necesito un agente humano
        Páseme con un operador
        quiero hablar con alguien de atencion al cliente
    """,
    "it": """
        Vorrei parlare con un operatore
        Voglio una persona reale
        Mi passi un responsabile
    """,
    "pt": """
        Quero falar com um atendente
        Preciso de falar com alguém
        Gostaria de falar com uma pessoa
    """,
    "nl": """
        Ik wil een medewerker spreken
        Kunt u mij doorverbinden met een mens?
        Geef me een manager
    """,
    "sv": """
        Jag vill prata med en människa
        Kan jag få tala med någon?
        Koppla mig till kundtjänst
    """,
    "pl": """
        Chcę rozmawiać z człowiekiem
        Proszę połączyć mnie z konsultantem
        Czy mogę porozmawiać z kimś?
    """,
    "tr": """
        Gerçek bir insanla konuşmak istiyorum
        Müşteri temsilcisine bağla
        Yetkili biriyle görüşmek istiyorum
    """,
    "ru": """
        Хочу поговорить с человеком
        Соедините с оператором
        Позовите менеджера
    """,
    "uk": """
        Хочу поговорити з людиною
        З'єднайте з оператором
        Покличте менеджера
    """,
    "ja": """
        人間と話したいです
        担当者につないでください
        オペレーターお願いします
    """,
    "zh": """
        转人工
        我要找真人客服
        我想跟真人说话
    """,
    "ko": """
        상담원 연결해 주세요
        사람과 이야기하고 싶어요
        담당자 바꿔 주세요
    """,
    "ar": """
        أريد التحدث مع شخص حقيقي
        حولني إلى موظف
        أريد أن أتكلم مع المدير
    """,
    "hi": """
        मुझे इंसान से बात करनी है
        किसी प्रतिनिधि से बात करवाइए
        मुझे एजेंट से बात करना है
    """,
}
DOES_NOT = {
    "en": """
        I don't want to be transferred to an agent
        I'd rather not be connected with a person
        I was transferred to an agent yesterday
        I remember speaking to an agent last week
        I don't want a human
        no human please
        Are you a human?
        Am I talking to a real person?
        I talked to an agent yesterday and he was rude
        My travel agent booked it
        the user agent string is wrong
        I work as a real estate agent
        please do not transfer me to an agent
        I'd rather not speak to anyone
        it was a human error
        I want to add a person to my booking
        I need to talk to my manager first
        You sound like a human
        You are the nicest customer service agent I have ever talked to
        No need to connect me with a representative.
        My mother said "I want to talk to a person" and you hung up
        > I want to talk to a person
    """,
    "de": """
        Ich will keinen Menschen
        nicht mit einem Menschen
        Sind Sie ein Mensch?
        Spreche ich mit einem Menschen?
        Ich brauche keinen Mitarbeiter
        Mein Kollege schrieb „Ich will mit einem Menschen sprechen“
    """,
    "fr": """
        pas besoin d'un humain
        Je ne veux pas parler à un humain
        Êtes-vous un humain ?
        Elle a écrit « je veux parler à un conseiller »
    """,
    "es": """
        no quiero hablar con una persona
        ¿Eres humano?
        no necesito un agente humano
    """,
    "it": """
        Non voglio parlare con un operatore
        Sei un umano?
        Sto parlando con una persona reale?
    """,
    "pt": """
        não quero falar com um atendente
        Você é humano?
        Não preciso de um atendente
    """,
    "nl": """
        Ik wil geen mens spreken
        Ben je een mens?
        Ik hoef geen medewerker
    """,
    "sv": """
        Jag vill inte prata med en människa
        Är du en människa?
        Jag behöver ingen handläggare
    """,
    "pl": """
        Nie chcę rozmawiać z człowiekiem
        Czy jesteś człowiekiem?
        Nie potrzebuję konsultanta
    """,
    "tr": """
        İnsanla konuşmak istemiyorum
        Sen insan mısın?
        Temsilciye gerek yok
    """,
    "ru": """
        Не хочу говорить с человеком
        Вы человек?
        Оператор не нужен
    """,
    "uk": """
        Не хочу говорити з людиною
        Ви людина?
        Не потрібен оператор
    """,
    "ja": """
        人間と話したくない
        あなたは人間ですか
        オペレーターは必要ありません
    """,
    "zh": """
        不要转人工
        你是真人吗
        我想了解人工智能
    """,
    "ko": """
        상담원 연결은 필요 없어요
        사람이세요?
        상담원과 통화하고 싶지 않아요
    """,
    "ar": """
        لا أريد التحدث مع موظف
        هل أنت إنسان؟
        لا أحتاج إلى موظف
    """,
    "hi": """
        मुझे इंसान से बात नहीं करनी
        क्या आप इंसान हैं?
        मुझे एजेंट नहीं चाहिए
    """,
}


def lines(table: dict[str, str]) -> list[tuple[str, str]]:
    return [
        (language, line.strip()) for language, text in table.items() for line in text.strip().splitlines()
    ]


@pytest.fixture(scope="module")
def asked() -> AskedForHuman:
    return AskedForHuman()


@pytest.mark.parametrize(("language", "text"), lines(ASKS))
def test_a_customer_asks_for_a_person(asked: AskedForHuman, language: str, text: str) -> None:
    assert asked.asks(text)


@pytest.mark.parametrize(("language", "text"), lines(DOES_NOT))
def test_a_customer_does_not_ask_for_a_person(asked: AskedForHuman, language: str, text: str) -> None:
    assert not asked.asks(text)


def test_every_language_of_the_lists_is_tried() -> None:
    assert set(languages()) == set(ASKS) == set(DOES_NOT)
    assert min(len(text.strip().splitlines()) for table in (ASKS, DOES_NOT) for text in table.values()) >= 3


def test_it_does_not_matter_in_which_message_it_was_said() -> None:
    assert fires("asked_for_human", said("Hello", "I want a human", "please"))
    assert not fires("asked_for_human", said("Hello", "Where is my order?"))


def test_what_a_human_has_answered_is_not_asked_any_more() -> None:
    assert not fires("asked_for_human", said("I want a human", "HUMAN Here I am", "Thank you"))


def test_the_lists_can_be_replaced_and_extended() -> None:
    trigger = '[[triggers]]\nname = "a"\nwhen = "asked_for_human"\n[signals.asked_for_human]\n'
    replaced, extended = (
        policy(trigger + 'phrases = ["beam me up"]'),
        policy(trigger + 'extra = ["beam me up"]'),
    )
    asks = [AskedForHuman(["beam me up"]), AskedForHuman(extra=["beam me up"])]

    assert [one.asks("Beam me up, please") for one in asks] == [True, True]
    assert [one.asks("do not beam me up") for one in asks] == [False, False]
    assert [one.asks("I want a human") for one in asks] == [False, True]
    assert replaced.digest != extended.digest
