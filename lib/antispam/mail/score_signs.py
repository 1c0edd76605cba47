"""The tests of the checks that look for signs of fraud (antispam.protocols.signs), a part of mail/score_table.py.

The points were chosen on one half of the SpamAssassin corpus and of a collection of phishing mail, and confirmed on the other
(`make evaluate-untrained`, docs/score.md).
"""

from __future__ import annotations

from antispam.mail.score import Test

SIGNS: tuple[Test, ...] = (
    # link_signs
    Test(
        "NUMERIC_HTTP_ADDR",
        2.8,
        "link_signs",
        "Web sites have names; pages on computers that were taken over have only an address.",
    ),
    Test("LINK_USERINFO", 1.5, "link_signs", "A name before the @ of a link is there to be taken for its host."),
    Test("LINK_PORT", 0.5, "link_signs", "Web sites are seldom at other ports, except within companies."),
    Test("LINK_PUNYCODE", 0.8, "link_signs", "International names are honest, and can look like any other name."),
    Test("LINK_MIXED_SCRIPTS", 2.5, "link_signs", "A host in mixed alphabets is meant to be taken for another one."),
    Test("LINK_SCRIPT", 2.0, "link_signs", "A link that is itself a program or a page hides what it does."),
    Test(
        "LINK_FRAGMENT_ADDRESS",
        2.0,
        "link_signs",
        "A page that is told the victim's address behind the # fills in a login with it.",
    ),
    Test(
        "LINK_TEXT_BRAND",
        2.5,
        "link_signs",
        "It says that it leads to a brand's site, leads elsewhere, and the mail is not the brand's.",
    ),
    Test(
        "LINK_TEXT_OTHER",
        0.6,
        "link_signs",
        "Links through a service that counts clicks do that in honest mail as well.",
    ),
    Test(
        "LINK_CHEAP_DOMAIN",
        0.8,
        "link_signs",
        "Many domains of this kind are bought for one wave of spam; some are honest.",
    ),
    Test(
        "LINK_GATEWAY",
        2.0,
        "link_signs",
        "Pages without an owner can't be taken down, which is why fraud stands there.",
    ),
    Test(
        "LINK_TENANT_PAGE",
        1.5,
        "link_signs",
        "Anybody can put a page there within minutes, under a domain with a good name.",
    ),
    Test("LINK_TENANT_FORM", 0.5, "link_signs", "Honest people share forms and documents there every day."),
    Test(
        "URL_SHORTENER",
        1.5,
        "link_signs",
        "It hides where a link leads; honest mail has room for the whole link.",
    ),
    Test("URL_REDIRECTOR", 1.5, "link_signs", "The link borrows the good name of a large site to lead to another one."),
    Test(
        "IMAGE_AT_PICTURE_HOST",
        1.5,
        "link_signs",
        "Companies have pictures on their own servers; campaigns put them where no name is asked.",
    ),
    Test("FORM_IN_MAIL", 0.6, "link_signs", "Web sites have forms; a few honest newsletters have a field to search."),
    # author_signs
    Test(
        "FROM_NAME_BRAND",
        2.8,
        "author_signs",
        "The name is a brand's, the address is not, and nothing proves that the brand sent it.",
    ),
    Test(
        "SUBJECT_BRAND",
        0.6,
        "author_signs",
        "People write about brands, so that a brand in the subject says little alone.",
    ),
    Test(
        "FROM_NAME_OTHER_ADDR",
        1.5,
        "author_signs",
        "Programs show the name, which looks like an address that it is not.",
    ),
    Test(
        "FROM_NAME_OTHER_DOMAIN", 0.6, "author_signs", "The name is a domain that the address has nothing to do with."
    ),
    Test("FROM_NO_DOMAIN", 1.5, "author_signs", "Nobody could answer to such an address."),
    Test(
        "FROM_TENANT",
        1.8,
        "author_signs",
        "Companies write from a domain of their own; a name below this one is had in a minute.",
    ),
    Test(
        "FROM_CHEAP_DOMAIN",
        1.0,
        "author_signs",
        "Many domains of this kind are bought for one wave of spam; some are honest.",
    ),
    Test(
        "FROM_MANY_LABELS",
        2.0,
        "author_signs",
        "Names of single letters are made by programs, to get past lists of domains.",
    ),
    Test("FROM_RANDOM", 1.2, "author_signs", "People choose names that can be read; programs draw letters."),
    Test(
        "FROM_RANDOM_HALF",
        0.6,
        "author_signs",
        "One part of the address looks drawn, as initials with numbers do, too.",
    ),
    Test(
        "REPLYTO_FREEMAIL",
        1.2,
        "author_signs",
        "Who has a domain gets answers there; web forms are an honest exception.",
    ),
    Test(
        "FREEMAIL_REPLYTO",
        1.5,
        "author_signs",
        "Mail of one free mailbox whose answers go to another one is how advance-fee fraud works.",
    ),
    Test(
        "REPLYTO_NOBODY",
        1.5,
        "author_signs",
        "Answers go to a domain that belongs to nobody: a kit was used as it came.",
    ),
    Test(
        "SUBJECT_HAS_RECIPIENT",
        1.2,
        "author_signs",
        "Programs for mass mailings put the address into the subject; few honest ones do.",
    ),
    # header_signs
    Test("MISSING_TO", 0.6, "header_signs", "People write to somebody; lists of blind copies may leave it out."),
    Test(
        "UNDISCLOSED_RECIPIENTS",
        1.2,
        "header_signs",
        "Mail that hides its other recipients is usually unwanted.",
    ),
    Test("TO_NO_ADDRESS", 0.6, "header_signs", "Mail programs write an address into To."),
    Test(
        "TO_IS_FROM", 0.8, "header_signs", "Spam is sent from the recipient to the recipient; so are notes to oneself."
    ),
    Test("SORTED_RECIPS", 1.5, "header_signs", "People do not write to their friends in alphabetical order."),
    Test("UNKNOWN_USERS", 2.0, "header_signs", "The sender guesses addresses, or has an old list."),
    Test("SUBJECT_EMPTY", 0.6, "header_signs", "Most people write a subject."),
    Test("MISSING_SUBJECT", 0.6, "header_signs", "Most mail programs write the field even if it is empty."),
    Test("SUBJ_ALL_CAPS", 1.3, "header_signs", "Honest subjects are seldom shouted; some machines and offices do it."),
    Test("SUBJECT_GAPPY", 2.0, "header_signs", "Words are written in pieces to get past filters."),
    Test("SUBJECT_MONEY", 0.5, "header_signs", "Invoices name a sum in the subject, and so does fraud."),
    Test("SUBJECT_FREE", 0.3, "header_signs", "Honest shops offer things for nothing as well."),
    Test(
        "SUBJECT_SHOUTS",
        0.6,
        "header_signs",
        "Several exclamation marks are rare in honest mail, and frequent in advertising.",
    ),
    Test(
        "SUBJECT_TAIL",
        1.0,
        "header_signs",
        "Programs end each subject in other letters, so that no two are alike; tickets have numbers.",
    ),
    Test("SUBJECT_PICTURES", 0.5, "header_signs", "Honest newsletters have pictures in the subject, too."),
    Test("SUBJECT_PLACEHOLDER", 1.5, "header_signs", "A program for mass mailings did not fill in what it should."),
    Test("INVALID_TZ", 3.5, "header_signs", "No clock on earth has that time zone: a program made the date up."),
    Test("FROM_MISSPACED", 1.5, "header_signs", "Mail programs do not write From that way."),
    Test("FROM_GLUED", 0.5, "header_signs", "Mail programs write a blank before the address; some scripts do not."),
    Test(
        "NEEDS_ENCODING",
        0.8,
        "header_signs",
        "Mail programs encode what is not ASCII; scripts of spammers often do not.",
    ),
    Test("HIGH_PRIORITY", 0.7, "header_signs", "Senders who call everything urgent want attention."),
    Test("MSGID_NO_DOMAIN", 0.3, "header_signs", "Mail programs on home computers have no domain to write there."),
    Test("MSGID_NUMERIC", 0.3, "header_signs", "Mail programs write a name there; a few write an address."),
    Test(
        "MSGID_OUTLOOK_INVALID",
        3.5,
        "header_signs",
        "The identifier has the form of Outlook's, with a time that has never been.",
    ),
    Test("MSGID_FROM_MTA", 1.0, "header_signs", "Mail programs write a Message-ID; here the first server had to."),
    Test("FORGED_MUA", 3.0, "header_signs", "The program that it names would have written another header."),
    Test(
        "FORGED_MUA_MSGID",
        1.2,
        "header_signs",
        "The program that it names writes other identifiers; lists replace some.",
    ),
    Test("BULK_PROGRAM", 1.2, "header_signs", "It was written by a program that is sold for mass mailings."),
    Test("MAILER_GIBBERISH", 1.5, "header_signs", "Programs have names; programs of spammers draw letters for them."),
    Test(
        "RECEIVED_FORGED_US",
        1.0,
        "header_signs",
        "It claims that we had it before, to be trusted; only lists and forwarders bring mail back.",
    ),
    Test(
        "RCVD_FAKE_FREEMAIL",
        1.8,
        "header_signs",
        "A host called itself by the name of a large provider whose host it was not.",
    ),
    Test(
        "FORGED_FREEMAIL_RCVD",
        1.8,
        "header_signs",
        "Users of this provider send through its hosts, and none of these stands on the way.",
    ),
    Test("ORIGIN_NAMELESS", 0.6, "header_signs", "Mail servers have a name; the host that sent it first has none."),
    # content_signs
    Test(
        "FRAUD_ADVANCE_FEE",
        5.0,
        "content_signs",
        "Phrases of advance-fee fraud: a fortune, a stranger, and a share of it.",
    ),
    Test("FRAUD_LOTTERY", 3.0, "content_signs", "Phrases of lotteries that nobody took part in."),
    Test(
        "FRAUD_EXTORTION",
        4.0,
        "content_signs",
        "Phrases of extortion: pictures by a webcam, a hacked computer, a bomb.",
    ),
    Test(
        "FRAUD_ACCOUNT",
        3.0,
        "content_signs",
        "Phrases that press for a login: a locked account, a full mailbox, a payment that failed.",
    ),
    Test("FRAUD_PARCEL", 3.0, "content_signs", "Phrases of parcels that wait for a fee or an address."),
    Test(
        "FRAUD_INVOICE",
        3.0,
        "content_signs",
        "Phrases of renewals that nobody ordered, with a number to call, and of a chief who needs gift cards.",
    ),
    Test(
        "FRAUD_PRIZE",
        3.0,
        "content_signs",
        "Phrases of prizes, bonuses and surveys; loyalty programmes of honest shops use one or two of them.",
    ),
    Test(
        "FRAUD_CRYPTO", 3.4, "content_signs", "Phrases about wallets that must be verified, and tokens to be claimed."
    ),
    Test("FRAUD_MIRACLE", 3.6, "content_signs", "Phrases of pills and cures."),
    Test("FRAUD_GAIN", 4.0, "content_signs", "Phrases of quick money, cheap loans, hot shares and sex."),
    Test("FRAUD_DATING", 3.5, "content_signs", "Phrases of strangers who want to meet tonight."),
    Test("FRAUD_OFFER", 2.0, "content_signs", "Phrases of firms that sell leads: warranties, roofs, insurances."),
    Test(
        "FRAUD_SELLING",
        3.5,
        "content_signs",
        "Phrases of spam about itself: no spam, one mailing only, how to be removed.",
    ),
    Test("FRAUD_RETAIL", 0.5, "content_signs", "Phrases of advertising, honest or not."),
    Test("FRAUD_URGENCY", 1.0, "content_signs", "Phrases that press for time, as some honest mail has to."),
    Test("BITCOIN_THREAT", 3.0, "content_signs", "A threat, and an address of bitcoin to pay to."),
    Test("STRANGER_URGENT", 0.8, "content_signs", "An unknown author presses for time."),
    Test(
        "STRANGER_INVITES",
        1.0,
        "content_signs",
        "Invitations get into calendars without being read; strangers rarely send them.",
    ),
    Test("GTUBE", 1000.0, "content_signs", "The text by which anybody can try whether a spam filter works."),
    Test(
        "HTML_IMAGE_ONLY",
        1.4,
        "content_signs",
        "Text in a picture is not read by filters; some newsletters are one picture, too.",
    ),
    Test("HTML_HIDDEN_TEXT", 1.0, "content_signs", "There is much more text out of sight than in sight."),
    Test(
        "HTML_SEVERED_WORDS",
        1.5,
        "content_signs",
        "Letters that nobody sees stand within words, so that filters read other words.",
    ),
    Test(
        "TEXT_NOT_AS_HTML",
        0.6,
        "content_signs",
        "The text beside the HTML is another one; careless honest senders do that, too.",
    ),
    Test(
        "MIME_HTML_ONLY", 0.7, "content_signs", "Mail programs write a text beside the HTML; many newsletters save it."
    ),
    Test(
        "FANCY_LETTERS",
        2.5,
        "content_signs",
        "Letters of mathematics in a subject or a name are there to get past filters.",
    ),
    Test(
        "LOOKALIKE_WORD",
        2.5,
        "content_signs",
        "A subject or a name mixes alphabets within a word to look like another one.",
    ),
    Test("BODY_LOOKALIKES", 2.0, "content_signs", "Several words of the text mix alphabets that look alike."),
    Test(
        "HIDDEN_IN_WORDS",
        2.5,
        "content_signs",
        "Words of a subject or a name have characters in them that show nothing.",
    ),
    Test("BODY_HIDDEN_IN_WORDS", 1.5, "content_signs", "Words of the text have characters in them that show nothing."),
    Test("BODY_SHOUTS", 0.6, "content_signs", "It has more exclamation marks than letters of people have."),
    Test("BODY_CAPITALS", 1.0, "content_signs", "Much of it is in capitals."),
    Test(
        "ARCHIVE_PASSWORD",
        2.5,
        "content_signs",
        "An archive is encrypted so that no scanner looks into it, and the text has the password.",
    ),
    Test(
        "PAGE_ATTACHED",
        1.2,
        "content_signs",
        "A page as a file is opened outside the mail program, and shows any login that it likes.",
    ),
)
