"""Words by which mail programs introduce what they quote, in lower case and many languages."""

STARTS = ("on ", "am ", "le ", "el ", "il ", "em ", "op ", "den ", "dnia ", "w dniu ", "в ", "va ")
ENDS = (
    *("wrote:", "wrote :", "writes:", "schrieb", "geschrieben:", "a écrit", "escribió:", "ha scritto:"),
    *("escreveu:", "schreef", "skrev", "napisał", "пишет:", "написал", "kirjoitti:"),
)
HEADERS = frozenset(
    (
        *("from", "sent", "to", "subject", "date", "cc", "von", "gesendet", "an", "betreff", "datum"),
        *("de", "envoyé", "à", "objet", "enviado", "para", "asunto", "fecha", "assunto", "da", "inviato"),
        *("a", "oggetto", "data", "van", "verzonden", "aan", "onderwerp", "från", "skickat", "till"),
        *("ämne", "fra", "sendt", "til", "emne", "od", "wysłano", "do", "temat", "от", "кому", "тема"),
        *("дата", "差出人", "送信日時", "宛先", "件名", "发件人", "发送时间", "收件人", "主题"),
    )
)
"""Names of the headers that some programs put above a quoted mail."""

EVERYBODYS = frozenset(
    (
        *("gmail.com", "googlemail.com", "outlook.com", "hotmail.com", "live.com", "yahoo.com", "icloud.com"),
        *("gmx.de", "gmx.net", "web.de", "aol.com", "proton.me", "protonmail.com"),
    )
)
"""Domains where anybody gets an address: a mailbox there does not make its neighbours our staff."""
