"""What the name of an attachment is to the system that opens it, and to the person who reads it."""

from __future__ import annotations

import re
import unicodedata

# Code points that show nothing: Default_Ignorable_Code_Point and White_Space of the Unicode character database, the controls,
# and the empty Braille pattern. Listed here because Python's unicodedata has neither property.
_INVISIBLE = re.compile(
    "[\x00-\x20\x7f-\xa0\xad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u2000-\u200f\u2028-\u202f\u205f-\u206f"
    "\u2800\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff]+"
)


def opened_as(name: str) -> list[str]:
    """The names under which a file of this name may be opened, itself first, each once; linear in the length of the name.

    They are: without what shows nothing and the dots at its end (Windows drops blanks and dots there), without such characters
    anywhere, in compatibility characters (a full-width letter is a letter), up to a NUL, and without an NTFS stream ("a.exe:b"
    opens a.exe).
    """
    forms = {name: None}
    for form in (name, unicodedata.normalize("NFKC", name)):
        for cut in (form, form.split("\0", 1)[0], _INVISIBLE.sub("", form), _INVISIBLE.sub("", form).partition(":")[0]):
            forms[_trimmed(cut)] = None
    return list(forms)


def _trimmed(name: str) -> str:
    """The name without what shows nothing, and without dots, at its end."""
    end = len(name)
    while end and (name[end - 1] == "." or _INVISIBLE.match(name[end - 1])):
        end -= 1
    return name[:end]
