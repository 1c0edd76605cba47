"""[web]: the default language."""

from __future__ import annotations

from antispam.learning.languages import ENGLISH, check_language
from antispam.settings import option, section


@section("web")
class LanguageSettings:
    """[web]: the languages of people (docs/web.md, Languages)."""

    language: str = option(
        ENGLISH,
        "en or de: the language of mail to users who chose none (preference `language`), and of pages where the browser "
        "asks for none that there is",
        check=check_language,
    )
