"""What a person reads of an event, or of many of one run: a notice as plain text, as Markdown and as HTML.

Each format shows what comes from outside as text: no name can format, mention, link or run anything.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from html import escape

from costbatch.domain.links import CloudEvent, LinkTemplate
from costbatch.domain.notice import Chart, Importance, Notice, Outside, Words
from costbatch.domain.wording import digest_of, notice_of

__all__ = ["Importance", "Message", "message_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """An event, or a digest of several, in words.

    title: one line; the other formats do not repeat it, but for ``html``, which is a whole document.
    markdown_title: the same line for a channel that may read a title as Markdown; it looks the same.
    text: plain. markdown: CommonMark, for chat channels; texts from outside are code spans in it.
    link: the address of a page about it, if the template has one for it.
    """

    title: str
    markdown_title: str
    text: str
    markdown: str
    html: str
    importance: Importance
    link: str | None = None


def message_of(events: Sequence[CloudEvent], link: LinkTemplate | None = None) -> Message:
    """Return the message about one event, or the digest of several, given as CloudEvents documents."""
    notice = notice_of(events[0], link) if len(events) == 1 else digest_of(events, link)
    return Message(
        title=_plain(notice.title),
        markdown_title=_literal(notice.title),
        text="\n".join(_text(notice)),
        markdown="\n".join(_markdown(notice)),
        html=_html(notice),
        importance=notice.importance,
        link=notice.link,
    )


def _plain(words: Words) -> str:
    return "".join(words)


def _text(notice: Notice) -> list[str]:
    lines = []
    for line in notice.lines:
        first, *others = map(_plain, line.shown)
        lines += [f"{line.label}: {first}", *(f"  {other}" for other in others)]
    if notice.chart:
        lines.append(f"Trend: {_plain(notice.chart.words)}")
    if notice.link:
        lines.append(f"Details: {notice.link}")
    for part in notice.parts:
        lines += [_plain(part.title), *(f"  {line}" for line in _text(part)), ""]
    lines += _rest(notice)
    if notice.commands:
        lines += ["", *(f"{command.meaning}: {command.text}" for command in notice.commands)]
    return lines


def _rest(notice: Notice) -> list[str]:
    return [f"{notice.rest:,} more are not shown here."] if notice.rest else []


def _markdown(notice: Notice) -> list[str]:
    lines = []
    for line in notice.lines:
        first, *others = map(_marked, line.shown)
        lines += [f"- **{line.label}:** {first}", *(f"  - {other}" for other in others)]
    if notice.chart:
        lines.append(f"- **Trend:** {_plain(notice.chart.words)}")
    if notice.link:
        lines.append(f"- [Details](<{notice.link}>)")
    for part in notice.parts:
        lines += [f"**{_marked(part.title)}**", "", *_markdown(part), ""]
    lines += _rest(notice)
    for command in notice.commands:
        lines += ["", f"{command.meaning}:", "```", command.text, "```"]
    return lines


def _marked(words: Words) -> str:
    """Return words in Markdown; what comes from outside is code, in which nothing has a meaning."""
    return "".join(
        f"`{word.translate(_NO_END_OF_CODE)}`" if isinstance(word, Outside) else word for word in words
    )


# What ends a code span, or may hide its end from a service, and what looks like it.
_NO_END_OF_CODE = str.maketrans({"`": "\N{MODIFIER LETTER GRAVE ACCENT}", "\\": "\N{SET MINUS}"})
# What formats a title in Markdown, and what looks like it. An underscore within a word formats nothing.
_LOOKS_LIKE = _NO_END_OF_CODE | str.maketrans(
    {
        "*": "\N{ASTERISK OPERATOR}",
        "~": "\N{TILDE OPERATOR}",
        "|": "\N{LATIN LETTER DENTAL CLICK}",
        "[": "\N{FULLWIDTH LEFT SQUARE BRACKET}",
        "]": "\N{FULLWIDTH RIGHT SQUARE BRACKET}",
    }
)
_OUTER_UNDERSCORE = re.compile(r"(?<![^\W_])_|_(?![^\W_])")


def _literal(words: Words) -> str:
    """Return a title in Markdown without code spans, which many services show as backticks in a title."""
    return "".join(
        _OUTER_UNDERSCORE.sub("\N{FULLWIDTH LOW LINE}", word.translate(_LOOKS_LIKE))
        if isinstance(word, Outside)
        else word
        for word in words
    )


_COLOURS = {
    Importance.SUCCESS: "#1a7f37",
    Importance.INFO: "#0b62c4",
    Importance.WARNING: "#9a6700",
    Importance.FAILURE: "#cf222e",
}
_ORDINARY = "#afb8c1"
_CHART_HEIGHT = 48
_FONT = "font-family:-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif"
_CODE = "font-family:Consolas,Menlo,monospace;font-size:13px"


def _html(notice: Notice) -> str:
    """Return a whole document: tables and inline styles only, as mail programs need it, and no image."""
    parts = "".join(
        f'<h2 style="margin:20px 0 6px;padding:0 0 0 10px;border-left:4px solid {_COLOURS[part.importance]};'
        f'font-size:16px;line-height:1.3">{escape(_plain(part.title))}</h2>\n{_html_facts(part)}'
        for part in notice.parts
    )
    rest = "".join(f'<p style="margin:8px 0">{line}</p>' for line in _rest(notice))
    commands = "".join(
        f'<p style="margin:14px 0 4px">{escape(command.meaning)}:</p>\n'
        f'<pre style="margin:0;padding:8px 10px;background:#f6f8fa;{_CODE};white-space:pre-wrap;'
        f'overflow-wrap:anywhere">{escape(command.text)}</pre>\n'
        for command in notice.commands
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(_plain(notice.title))}</title></head>\n"
        f'<body style="margin:0;padding:16px;background:#ffffff;color:#1f2328;{_FONT};font-size:15px;'
        'line-height:1.45">\n<div style="max-width:680px;margin:0 auto">\n'
        f'<h1 style="margin:0 0 12px;padding:0 0 0 12px;border-left:5px solid {_COLOURS[notice.importance]};'
        f'font-size:19px;line-height:1.3">{escape(_plain(notice.title))}</h1>\n'
        f"{_html_facts(notice)}{parts}{rest}{commands}"
        '<p style="margin:20px 0 0;color:#59636e;font-size:12px">Sent by costbatch.</p>\n'
        "</div></body></html>\n"
    )


def _html_facts(notice: Notice) -> str:
    rows = [(line.label, "<br>".join(escape(_plain(row)) for row in line.shown)) for line in notice.lines]
    if notice.chart:
        rows.append(("Trend", _html_chart(notice.chart, _COLOURS[notice.importance])))
    if notice.link:
        address = escape(notice.link)
        rows.append(("Details", f'<a href="{address}" style="color:#0b62c4">{address}</a>'))
    cells = "".join(
        f'<tr><td style="padding:3px 16px 3px 0;color:#59636e;vertical-align:top;white-space:nowrap">{label}'
        f'</td><td style="padding:3px 0;vertical-align:top;overflow-wrap:anywhere">{value}</td></tr>\n'
        for label, value in rows
    )
    return f'<table role="presentation" cellspacing="0" cellpadding="0" border="0">\n{cells}</table>\n'


def _html_chart(chart: Chart, colour: str) -> str:
    low, high = min(Decimal(0), *chart.amounts), max(Decimal(0), *chart.amounts)
    scale = _CHART_HEIGHT / (high - low) if high > low else Decimal(0)
    bars = "".join(
        '<td style="padding:0 1px 0 0;vertical-align:bottom"><div style="width:9px;font-size:0;line-height:0;'
        f"height:{max(round((value - low) * scale), 1)}px;"
        f'background:{colour if is_anomalous else _ORDINARY}"></div></td>'
        for value, is_anomalous in zip(chart.amounts, chart.is_anomalous, strict=True)
    )
    return (
        '<table role="presentation" cellspacing="0" cellpadding="0" border="0">'
        f'<tr style="height:{_CHART_HEIGHT}px">{bars}</tr></table>'
        f"{chart.first} to {chart.last}, highest {chart.highest}"
    )
