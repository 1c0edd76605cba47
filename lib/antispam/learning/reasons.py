"""The features of a message in words for people; `dspam.features.names` has them in the program's terms."""

from __future__ import annotations

import re

# Patterns of feature names and their sentences; the first match counts. Other names are quoted unchanged.
_SENTENCES = tuple(
    (re.compile(pattern, re.DOTALL), sentence)
    for pattern, sentence in (
        (r"text: (\S+) (\S+)", "the words '{} {}'"),
        (r"text: (\S+)", "the word '{}'"),
        (r"unseen: (.+)", "'{}' in text that nobody can see"),
        (r"unread: (.+)", "'{}' in plain text beside HTML that says something else"),
        (r"aside: (.+)", "'{}' in an attribute"),
        (r"from: (.+)", "'{}' in the author's name"),
        (r"structure: link says another host", "a link leads to another host than its text says"),
        (r"structure: link says (.+)", "a link says that it leads to {}, and does not"),
        (r"structure: alternatives differ 0", "the plain text and the HTML say the same"),
        (r"structure: alternatives differ \d", "the plain text and the HTML say different things"),
        (r"structure: invisible in a word", "characters within words that nobody can see"),
        (r"structure: invisible (.+)", "the invisible character U+{}"),
        (r"structure: sign (.+)", "the sign U+{}"),
        (r"link: (.+)", "'{}' in the path of a link"),
        (r"structure: links to author 0", "no link leads to the author's domain"),
        (r"structure: links to author 1", "a link leads to the author's domain"),
        (r"structure: link with user", "a link hides where it leads behind a user name"),
        (r"structure: link to number", "a link leads to an IP address"),
        (r"structure: link of (\S+) (\S+)", "a link by {1} in {0}"),
        (r"structure: link (\S+\.\S+)", "a link leads to {}"),
        (r"structure: linked owners (\d+)", "links lead to {} owners (4: or more)"),
        (r"structure: attached (.+)", "an attachment of type {}"),
        (r"structure: extension (.+)", "an attachment whose name ends in {}"),
        (r"structure: charset (.+)", "text in {}"),
        (r"structure: charset ", "text without a charset"),
        (r"structure: parts (.+)", "its parts are {}"),
        (r"structure: defect (.+)", "broken MIME: {}"),
        (r"structure: unseen \d+", "text that nobody can see"),
        (r"header: test (\S+)", "it meets the test {}"),
        (r"header: tested", "it was tested"),
        (r"header: has (.+)", "there is a field {}"),
        (r"header: no (.+)", "there is no field {}"),
        (r"header: then (\S+) (\S+)", "the field {} is followed by {}"),
        (r"header: from name .+", "the form of the author's name"),
        (r"header: from named (.+)", "the author is called {}"),
        (r"header: (\S+) @(\S+)", "an address at {1} in {0}"),
        (r"header: (\S+) (\S+@\S+\.\S+)", "the address {1} in {0}"),
        (r"header: via (.+)", "it came by {}"),
        (r"header: net (.+)", "it came from the network {}"),
        (r"header: from and (\S+) 0", "From and {} are of different domains"),
        (r"header: from and (\S+) 1", "From and {} are of the same domain"),
        (r"header: (\S+) on the way 0", "no hop is of the domain in {}"),
        (r"header: (\S+) on the way 1", "a hop is of the domain in {}"),
        (r"header: (\S+): (.*)", "{}: {}"),
        (r"header: subject capitals", "a subject in capitals"),
        (r"header: hops (\d+)", "{} hops on the way"),
        (r"header: recipient in subject", "the subject names the recipient"),
        (r"header: from is to", "the author is the recipient"),
        (r"header: (?:origin |hop )may be forged", "a host whose name may be forged"),
    )
)


def in_words(feature: str) -> str:
    """The description of a feature, given its name from `dspam.features.names`."""
    for pattern, sentence in _SENTENCES:
        if found := pattern.fullmatch(feature):
            return sentence.format(*found.groups())
    return feature
