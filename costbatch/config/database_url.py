"""Parses DATABASE_URL by libpq's own rules, and refuses early what libpq would refuse when it connects.

Messages never show a part of the value that may contain the password.
"""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from urllib.parse import quote

from psycopg2 import ProgrammingError
from psycopg2.extensions import parse_dsn

from costbatch.config.files import why_not_opened
from costbatch.domain.credentials import Secret
from costbatch.domain.excerpt import excerpt, may_be_secret

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_SCHEMES = {"postgresql", "postgres", "postgresql+psycopg2"}
_ADVICE = (
    "write it as postgresql://USER:PASSWORD@HOST:5432/DATABASE, with %40 for @, %2F for /, %23 for #, "
    "%3F for ? and %25 for % in the password."
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,39}")
_INTEGER = re.compile(r"\s*[+-]?[0-9]{1,9}\s*")
_HIGHEST_PORT = 65_535

_INTEGERS = (
    "connect_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
)
_TLS_VERSIONS = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
_WORDS = {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "sslnegotiation": ("postgres", "direct"),
    "sslcertmode": ("disable", "allow", "require"),
    "gssencmode": ("disable", "prefer", "require"),
    "channel_binding": ("disable", "prefer", "require"),
    "target_session_attrs": ("any", "read-write", "read-only", "primary", "standby", "prefer-standby"),
    "load_balance_hosts": ("disable", "random"),
    "ssl_min_protocol_version": _TLS_VERSIONS,
    "ssl_max_protocol_version": _TLS_VERSIONS,
}
# Case does not matter for these; the others are case-sensitive.
_ANY_CASE = {"ssl_min_protocol_version", "ssl_max_protocol_version"}
_FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl", "sslcrldir", "passfile")
_PASSWORDS = ("password", "sslpassword", "oauth_client_secret")
_OTHERS = """
    service host hostaddr port dbname user password sslpassword client_encoding options application_name
    fallback_application_name sslcompression sslsni requirepeer require_auth krbsrvname gsslib gssdelegation
    replication
"""
OPTIONS = (*_INTEGERS, *_WORDS, *_FILES, *_OTHERS.split())

_OF_THE_SESSION = "write options=-c{name}%3D… instead"
_OF_A_POOL = "it belongs to another driver or pool; leave it out"
_OTHER_DRIVERS = """
    pgbouncer connection_limit pool_timeout pool_size max_overflow pool_recycle pool_pre_ping
    preparethreshold statement_cache_size prepared_statements max_connections sockettimeout
    socket_timeout targetservertype charset serverversion
"""
_MEANT = {
    **dict.fromkeys(
        ("schema", "currentschema", "search_path", "searchpath"),
        "for the schema, write options=-csearch_path%3DNAME",
    ),
    **{
        name: _OF_THE_SESSION.format(name=name)
        for name in ("statement_timeout", "lock_timeout", "timezone", "datestyle", "role", "work_mem")
    },
    **dict.fromkeys(_OTHER_DRIVERS.split(), _OF_A_POOL),
    **dict.fromkeys(("ssl", "tls", "sslaccept", "usessl"), "did you mean sslmode=require?"),
    **dict.fromkeys(("ca", "sslca", "cafile"), "did you mean sslrootcert?"),
    **dict.fromkeys(("username", "usr"), "did you mean user?"),
    **dict.fromkeys(("pass", "pwd", "passwd"), "did you mean password?"),
    **dict.fromkeys(("hostname", "server"), "did you mean host?"),
    **dict.fromkeys(("database", "db", "databasename"), "did you mean dbname?"),
    **dict.fromkeys(
        ("timeout", "connecttimeout", "connection_timeout", "logintimeout"), "did you mean connect_timeout?"
    ),
    **dict.fromkeys(("applicationname", "appname"), "did you mean application_name?"),
    **dict.fromkeys(("encoding", "client_encoding"), "leave it out: costbatch always uses UTF-8"),
}


def database_url(text: str) -> Secret:
    """Return a PostgreSQL URL, or libpq's NAME=VALUE form, as libpq accepts it.

    Raises:
        ValueError: libpq would refuse it; the end of a sentence that begins with the variable.

    """
    scheme = _SCHEME.match(text)
    is_understood = scheme[1] in _SCHEMES if scheme else "=" in text
    if not is_understood:
        raise ValueError("must begin with postgresql://; costbatch stores costs in PostgreSQL only.")
    if scheme is not None:
        url = text[scheme.end() :]
        text = f"postgresql://{url}"
        authority, _, rest = url.partition("/")
        # libpq would misread these.
        if authority.count("@") > 1 or "@" in rest.partition("?")[0] or "#" in url or re.search(r"\s", url):
            raise ValueError(f"is not a URL; {_ADVICE}")
    found = _parsed(text)
    if not found.get("dbname") and not found.get("service"):
        raise ValueError(f"names no database; {_ADVICE}")
    for problem in _problems(found):
        raise ValueError(problem)
    return Secret(text)


def database_passwords(url: Secret | None) -> Iterable[str]:
    """Yield every password in the value, percent-encoded and decoded."""
    if url is None:
        return
    text = url.reveal()
    found = _parsed(text)
    for password in (found[name] for name in _PASSWORDS if found.get(name)):
        yield from (password, quote(password, safe=""))
    if written := re.match(r"postgresql://[^:@/]*:([^@/]*)@", text):
        yield written[1]


def _parsed(text: str) -> Mapping[str, str]:
    """Return the options that libpq reads from the text, by name."""
    try:
        found: Mapping[str, str] = parse_dsn(text)
    except (ProgrammingError, ValueError) as error:
        reason = str(error)
    else:
        return found
    # Outside of the handler: libpq's own message quotes what may be the password.
    if option := re.search(r'invalid (?:URI query parameter:|connection option) "([^"]*)"', reason):
        raise ValueError(_unknown(option[1], text))
    if "percent-encoded" in reason:
        raise ValueError(f"has a % that is not followed by two hexadecimal digits, or %00; {_ADVICE}")
    if "key/value separator" in reason:
        raise ValueError("has an option after the ? that is not written as NAME=VALUE.")
    if not text.startswith("postgresql://"):
        raise ValueError(
            "is neither a URL nor a list of NAME=VALUE, as in host=db dbname=costs user=costbatch."
        )
    raise ValueError(f"is not a URL; {_ADVICE}")


def _unknown(name: str, text: str) -> str:
    """Return the end of the sentence for an option that libpq does not know."""
    # An unescaped ? in a password makes the rest of it look like options.
    is_url = text.startswith("postgresql://")
    if not _NAME.fullmatch(name) or may_be_secret(name) or (is_url and "@" in text.partition("?")[2]):
        return f"has an option that PostgreSQL's client does not know; {_ADVICE}"
    if name.lower() in _MEANT:
        advice = _MEANT[name.lower()]
    else:
        close = get_close_matches(name.lower(), OPTIONS, n=1)
        advice = f"did you mean {close[0]}?" if close else "leave it out."
    if not is_url:
        advice = advice.replace("%3D", "=")
    end = "" if advice[-1] in ".?" else "."
    return f"has the option {name}, which PostgreSQL's client does not know; {advice}{end}"


def _problems(found: Mapping[str, str]) -> Iterable[str]:
    """Yield a problem for every value that libpq would refuse when it connects."""
    yield from _port_problems(found)
    for name in _INTEGERS:
        if name in found and not _INTEGER.fullmatch(found[name]):
            yield f"has {name}={excerpt(found[name])}; it must be a whole number."
    for name, words in _WORDS.items():
        value = found.get(name, words[0])
        known = [word.lower() for word in words] if name in _ANY_CASE else words
        if (value.lower() if name in _ANY_CASE else value) not in known:
            close = get_close_matches(value.lower().replace("_", "-"), words, n=1)
            advice = f"did you mean {close[0]}?" if close else f"it must be one of {', '.join(words)}."
            yield f"has {name}={excerpt(value)}; {advice}"
    for name in _FILES:
        path = found.get(name, "")
        # Not files: the system's certificates, and a key in an OpenSSL engine.
        if not path or (name == "sslrootcert" and path == "system") or (name == "sslkey" and ":" in path):
            continue
        place = Path(path)
        try:
            if not place.is_dir():
                place.open("rb").close()
        except (OSError, ValueError) as error:
            yield f"names a file as {name} that cannot be read: {path}: {why_not_opened(error)}."


def _port_problems(found: Mapping[str, str]) -> Iterable[str]:
    ports = found.get("port", "").split(",")
    hosts = (found.get("hostaddr") or found.get("host", "")).split(",")
    # Not shown: if the @ is missing or a / is not escaped, the password is parsed as the port.
    for port in filter(None, (port.strip() for port in ports)):
        if not (port.isascii() and port.isdecimal() and 1 <= int(port[:6]) <= _HIGHEST_PORT):
            yield f"has a port that is not a number from 1 to {_HIGHEST_PORT}; {_ADVICE}"
    if len(ports) not in (1, len(hosts)):
        yield f"has {len(ports)} ports for {len(hosts)} hosts; give one port, or one for each host."
