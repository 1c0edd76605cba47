"""The command `errors-page`: static pages that explain refusals, for any web server.

They are only files: no program runs when somebody opens one, so nothing in a link can be echoed, and there is nothing
to attack.
"""

from __future__ import annotations

import html
import re
from pathlib import Path

import click

from antispam.mail.explanations import LAST_RESORT, PAGES, Page
from antispam.service.application import Program

_MARK = '<meta name="generator" content="bms errors-page">'
_MAIL_ADDRESS = re.compile(r"[A-Za-z0-9._+-]+@[A-Za-z0-9.-]+")
_STYLE = (
    "body{max-width:42em;margin:2em auto;padding:0 1em;font:1.05em/1.5 sans-serif;color:#222;background:#fff}"
    "h1{font-size:1.5em;line-height:1.2}h2{font-size:1.1em;margin-bottom:.2em}p{margin-top:.2em}"
    "footer{margin-top:2em;border-top:1px solid #ccc;padding-top:.5em;color:#555}"
    "@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}a{color:#8bf}footer{color:#999}}"
)


def document(title: str, body: str, site: str, contact: str) -> str:
    """A whole HTML page. `title`, `site` and `contact` are text, `body` is HTML."""
    where = html.escape(site)
    reach = _contact(contact)
    footer = " &middot; ".join(part for part in (where, reach) if part)
    return (
        "<!DOCTYPE html>\n"
        '<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        # Forbids scripts and foreign content, whatever may get into a page.
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="robots" content="noindex">\n'
        f"{_MARK}\n<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n<h1>{html.escape(title)}</h1>\n{body}" + (f"<footer>{footer}</footer>\n" if footer else "")
    ) + "</body>\n</html>\n"


def _contact(contact: str) -> str:
    if _MAIL_ADDRESS.fullmatch(contact):
        return f'<a href="mailto:{contact}">{contact}</a>'
    return html.escape(contact)


def explanation(page: Page) -> str:
    """The content of a page as HTML."""
    parts = (
        ("What happened", page.happened),
        ("What you can do", f"{page.you} {LAST_RESORT}"),
        ("What the administrator of your mail server can do", page.administrator),
    )
    sections = "".join(f"<h2>{html.escape(heading)}</h2>\n<p>{html.escape(text)}</p>\n" for heading, text in parts)
    return f'{sections}<p><a href="../">Other reasons</a></p>\n'


def overview() -> str:
    items = "".join(f'<li><a href="{name}/">{html.escape(page.title)}</a></li>\n' for name, page in PAGES.items())
    return f"<p>The reply that you received links to one of these:</p>\n<ul>\n{items}</ul>\n"


def pages(site: str, contact: str) -> dict[str, str]:
    """The HTML of every file, by relative path."""
    found = {"index.html": document("Why was my message refused?", overview(), site, contact)}
    for name, page in PAGES.items():
        found[f"{name}/index.html"] = document(page.title, explanation(page), site, contact)
    return found


def errors_page_command(program: Program) -> click.Command:
    """`errors-page`, for the commands of a program."""

    @click.command("errors-page")
    @click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
    @click.option("--site", default="", help="the name of your site, at the foot of each page")
    @click.option("--contact", default="", help="how people can reach you: a mail address, a telephone number")
    def command(folder: Path, site: str, contact: str) -> None:
        """Write the pages that explain refusals into FOLDER, for a web server; [milter] errors_url is their URL.

        Pages from an earlier run are replaced; any other file in their place is an error, and left alone."""
        files = {folder / name: text for name, text in pages(site, contact).items()}
        try:
            foreign = [path for path in files if path.exists() and _MARK not in path.read_text("utf-8", "replace")]
            if foreign:
                raise click.ClickException(f"{foreign[0]} is not one of these pages; please choose another folder")
            for path, text in files.items():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, "utf-8")
        except OSError as error:
            raise click.ClickException(f"{error.filename}: {error.strerror}") from error
        click.echo(f"{len(files)} pages are in {folder}. Set [milter] errors_url to their public URL.")

    return command
