"""The markers that mail clients write, in many languages, for a message forwarded in the text of another. Data, no
code.
"""

from __future__ import annotations

import re

FROM, DATE, TO, CC, SUBJECT, REPLY = "From", "Date", "To", "Cc", "Subject", "Reply-To"
# The labels of clients, one row per language, in lower case; "_" stands for a blank.
_LANGUAGES = (
    # From, Date, To, Cc, Subject, Reply-To
    ("from", "sent date sent_on", "to", "cc", "subject", "reply-to"),
    ("von absender", "gesendet gesendet_am datum", "an empfänger", "cc kopie", "betreff", "antwort_an"),
    ("de expéditeur", "envoyé envoyé_le date", "à a destinataire", "cc copie copie_à", "objet sujet", "répondre_à"),
    ("de remitente", "enviado enviado_el fecha", "para destinatario", "cc copia", "asunto", "responder_a"),
    ("da mittente", "inviato data_invio data", "a per destinatario", "cc copia", "oggetto", "rispondi_a"),
    ("van afzender", "verzonden verzonden_op datum", "aan ontvanger", "cc kopie", "onderwerp", "antwoord_aan"),
    ("de remetente", "enviada enviado enviada_em enviado_em data", "para", "cc", "assunto", "responder_para"),
    ("od nadawca", "wysłano wysłane data", "do adresat", "dw kopia", "temat", "odpowiedź_do"),
    ("från avsändare", "skickat datum", "till mottagare", "kopia", "ämne", "svara_till"),
    ("fra afsender", "sendt dato", "til modtager", "cc kopi", "emne", "svar_til"),
    ("fra avsender", "sendt dato", "til mottaker", "kopi", "emne", "svar_til"),
    ("lähettäjä", "lähetetty päivämäärä päiväys pvm", "vastaanottaja", "kopio", "aihe", "vastausosoite"),
    ("от от_кого отправитель", "отправлено дата дата_отправки", "кому", "копия", "тема", "ответить"),
    ("від", "надіслано дата", "кому", "копія", "тема", "відповісти"),
    ("od", "odesláno datum", "komu", "kopie", "předmět", "odpověď_komu"),
    ("feladó", "elküldve dátum", "címzett", "másolatot_kap", "tárgy", "válaszcím"),
    ("kimden gönderen", "gönderildi tarih", "kime", "bilgi", "konu", "yanıt"),
    ("差出人 送信者 送信元", "送信日時 送信日 日時 日付", "宛先", "cc", "件名 題名", "返信先"),
    ("发件人 发信人", "发送时间 发送日期 发件时间 时间 日期", "收件人", "抄送", "主题", "回复"),
    ("寄件者 寄件人", "寄件日期 傳送時間 傳送日期 日期", "收件者 收件人", "副本", "主旨 主題", "回覆"),
    ("보낸_사람 보낸사람", "보낸_날짜 보낸날짜 날짜", "받는_사람 받는사람", "참조", "제목", "회신"),
)
LABELS = {
    label.replace("_", " "): name
    for row in _LANGUAGES
    for name, labels in zip((FROM, DATE, TO, CC, SUBJECT, REPLY), row, strict=True)
    for label in labels.split()
}
FORWARD_WORDS = re.compile(
    r"forward|weitergeleitet|transfér|réexpédi|reenvia|inoltrat|doorgestuurd|encaminhad|reencaminhad|przekaz"
    r"|przesłan|vidarebefordra|videresend|välitet|edelleen|пересл|пересыл|переадрес|перенаправ|転送|转发|轉寄|轉發|přeposlan"
    r"|iletilen|전달",
    re.IGNORECASE,
)
MESSAGE_WORDS = re.compile(
    r"message|nachricht|mensaje|messaggio|bericht|mensagem|wiadomo|meddel|melding|besked|viesti|сообщени|письм|メッセージ|邮件|郵件|mail",
    re.IGNORECASE,
)
END_WORDS = re.compile(r"(?:end|ende|fin|fine|final|einde|fim|koniec|slut|slutt|loppu|конец)\b", re.IGNORECASE)
NAMES_AUTHOR = re.compile(r"@|\b(?:from|von|de|da|van|od|från|fra|от)\b", re.IGNORECASE)
FORWARD_PREFIX = re.compile(r"\s*(?:fwd?|wg|tr|rv|enc|i|vb|pd|vl|転送|转发|轉寄)\s*[:：]", re.IGNORECASE)
REPLY_PREFIX = re.compile(
    r"\s*(?:re|aw|antw?|sv|odp|rif|res|ynt|回复|答复|返信)\s*(?:\[\d{1,3}\])?\s*[:：]", re.IGNORECASE
)
