"""A picture of what a command prints on a terminal, as an SVG that needs nothing from elsewhere."""

import re
from html import unescape
from io import StringIO

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

_ID = "summary"
_FONT_FACE = re.compile(r"@font-face \{\{.*?\}\}\s*", re.DOTALL)
# Without the web fonts of rich's own form: what shows a README's pictures loads no fonts.
_FORMAT = re.sub(r"<!-- .* -->\s*", "", _FONT_FACE.sub("", CONSOLE_SVG_FORMAT))
FORMAT = _FORMAT.replace("Fira Code, monospace", "ui-monospace, Menlo, Consolas, DejaVu Sans Mono, monospace")


def picture(shown: str, *, title: str, columns: int = 80) -> str:
    """Return the SVG of a terminal that shows this text, whose colours are ANSI's."""
    console = Console(record=True, file=StringIO(), width=columns, force_terminal=True)
    console.print(Text.from_ansi(shown.rstrip("\n")), soft_wrap=True)
    svg = console.export_svg(title=title, code_format=FORMAT, unique_id=_ID)
    return "".join(f"{line.rstrip()}\n" for line in svg.splitlines())


def text_and_styles(svg: str) -> str:
    """Return what a picture says and the styles that it uses, without the places of its parts."""
    words = re.findall(r"<text [^>]*>([^<]*)</text>", svg)
    styles = re.findall(rf"\.{_ID}-r\d+ \{{.*?\}}", svg)
    return unescape("\n".join([*words, *styles])).replace("\N{NO-BREAK SPACE}", " ")
