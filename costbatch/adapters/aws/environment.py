"""Checks the variables, files, proxies and certificates that AWS is called with, before a run starts.

They belong to the pod, so that a problem with them affects every account. Sends nothing. Of values, only
paths are shown: others may contain a secret.
"""

import os
import re
import ssl
from collections.abc import Callable, Iterator, Sequence
from configparser import Error as IniError
from configparser import RawConfigParser
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from stat import S_ISREG
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies_environment

from botocore import UNSIGNED
from botocore import exceptions as aws
from botocore.config import Config
from botocore.credentials import create_credential_resolver
from botocore.session import Session, get_session
from botocore.utils import ContainerMetadataFetcher

from costbatch.adapters.aws.clients import AwsClients
from costbatch.adapters.aws.operations import COST_SERVICES, SERVICES, STS
from costbatch.adapters.aws.sessions import do_without_identity, forget_empty_variables, use_no_profile
from costbatch.config.proxies import with_scheme
from costbatch.domain.accounts import AwsNeeds
from costbatch.errors import AccountError, ConfigError

_PROFILES = ("AWS_DEFAULT_PROFILE", "AWS_PROFILE")  # in the order in which botocore looks
_CONFIG, _CREDENTIALS = "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"
_TOKEN, _ROLE = "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN"
_KEY_ID, _KEY = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"
_FULL_URI, _RELATIVE_URI = "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"
_CONTAINER_TOKEN = "AWS_CONTAINER_AUTHORIZATION_TOKEN"  # noqa: S105 - the name of a variable
_ENDPOINT = "AWS_ENDPOINT_URL"

_is_role = re.compile(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]+", re.ASCII).fullmatch
_is_session_name = re.compile(r"[\w+=,.@-]{2,64}", re.ASCII).fullmatch
# The only hosts besides loopback addresses that botocore sends plain HTTP to.
_CONTAINER_HOSTS: Sequence[str] = ContainerMetadataFetcher._ALLOWED_HOSTS  # type: ignore[attr-defined] # noqa: SLF001 - botocore has no other name for them
_LONGEST_TOKEN, _LONGEST_PATH = 20_000, 200
# These fetch credentials over the network, which is done later and may fail transiently.
_REMOTE = ("container-role", "iam-role", "custom-process")
# What botocore raises for an invalid setting.
_REFUSALS = (aws.BotoCoreError, ValueError, TypeError, OSError, AccountError)
# The data of a service is missing.
_NO_DESCRIPTION = (aws.DataNotFoundError.__name__, aws.UnknownServiceError.__name__)
_TRANSIENT = (
    aws.CredentialRetrievalError,
    aws.MetadataRetrievalError,
    aws.ConnectionError,
    aws.HTTPClientError,
)


def check_environment(clients: AwsClients, needs: AwsNeeds, services: Sequence[str] = COST_SERVICES) -> None:
    """Check everything that the clients take from outside, and the pod's identity if it is needed.

    services: those that will be called.

    Raises:
        ConfigError: one sentence for each variable or file that cannot be used.

    """
    problems = _problems(needs, services)
    if not problems:
        # botocore makes what a run will use: it may refuse any other setting.
        for partition in sorted(needs.partitions):
            for service in services:
                find = partial(AwsClients.get, service=service, partition=partition)
                problems += _refused(find, clients, service)
        if needs.pod_identity:
            problems += _refused(_find_identity, clients, STS)
    if problems:
        raise ConfigError(*dict.fromkeys(problems))


def make_as_pod(service: str, make: Callable[[], Any], clients: AwsClients) -> Any:  # noqa: ANN401 - botocore makes clients at run time
    """Return a client of a service that signs as the pod, after checking what it takes from outside.

    Raises:
        ConfigError: as ``check_environment``.

    """
    problems = _problems(AwsNeeds(partitions=frozenset(), pod_identity=True), [service])
    problems = problems or [*_refused(lambda _: make(), clients, service)]
    if problems:
        raise ConfigError(*dict.fromkeys(problems))
    return make()


def _problems(needs: AwsNeeds, services: Sequence[str]) -> list[str]:
    """Return what is wrong with the variables, files, proxies and certificates: a sentence for each."""
    forget_empty_variables()
    problems = [*_file_problems(needs), *_network_problems(services)]
    if needs.pod_identity:
        problems += _identity_problems()
    return problems


def _file_problems(needs: AwsNeeds) -> Iterator[str]:
    """Check the config and the credentials file; the latter matters to the pod's identity only."""
    session = _bare_session()
    for variable, logical in ((_CONFIG, "config_file"), (_CREDENTIALS, "credentials_file")):
        # pathlib raises an error if the user has no home.
        path = Path(os.path.expanduser(os.path.expandvars(str(session.get_config_variable(logical)))))  # noqa: PTH111 - see above
        is_named = variable in os.environ and str(path) != os.devnull
        if problem := _file_problem(path):
            # botocore ignores it; but the missing file may be meant to hold the pod's identity.
            is_reported = is_named and needs.pod_identity and _KEY_ID not in os.environ
        else:
            problem = _ini_problem(path)
            is_reported = bool(problem) and (variable == _CONFIG or needs.pod_identity)
        if is_reported:
            yield (
                f"{variable} names {_shown(path)}, which {problem}"
                if is_named
                else f"The file {path} {problem}"
            )


def _ini_problem(path: Path) -> str:
    """Return the rest of a sentence about a file that botocore cannot parse; empty if it can."""
    parser = RawConfigParser()
    try:
        parser.read_string(path.read_text())
    except IniError as error:
        lines = [number for number, _ in getattr(error, "errors", ())] or [getattr(error, "lineno", None)]
        where = f" in line {lines[0]}" if lines[0] else ""
        return (
            f"cannot be parsed: there is an error{where}. "
            "It must consist of sections such as [default] with lines of the form name = value."
        )
    except UnicodeDecodeError:
        return "is not a text file; write it again."
    return ""


def _file_problem(path: Path) -> str:
    """Return the rest of a sentence about a file that cannot be opened; empty if it can."""
    try:
        if not S_ISREG(path.stat().st_mode):
            return "is not a file; correct the path."
        path.open("rb").close()
    except FileNotFoundError:
        return "does not exist; correct the path, or mount the file there."
    except (OSError, ValueError) as error:
        return f"cannot be read: {getattr(error, 'strerror', None) or 'it is not a path'}."
    return ""


def _bare_session() -> Session:
    """Return a session for reading settings: ten times as fast to make without event handlers."""
    return Session(include_builtin_handlers=False)


def _shown(path: object) -> str:
    """Return a path as a sentence may show it: other text may be a secret in the wrong variable."""
    text = str(path)
    return text if len(text) <= _LONGEST_PATH and text.isprintable() else "something that is not a path"


def _network_problems(services: Sequence[str]) -> Iterator[str]:
    """Check certificates, endpoints and proxies, which every account needs."""
    yield from _bundle_problems()
    if os.environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() != "true":
        for variable in (_ENDPOINT, *(f"{_ENDPOINT}_{SERVICES[each]}" for each in services)):
            if variable in os.environ and not _is_address(os.environ[variable]):
                yield f"{variable} is not an address; write it as https://HOST or http://HOST:PORT."
    for scheme, proxy in getproxies_environment().items():
        # botocore does not support SOCKS.
        if scheme in {"http", "https"} and not _is_address(with_scheme(proxy)):
            # Python takes the name in any case, and first of all in the lower one.
            names = [name for name in os.environ if name.lower() == f"{scheme}_proxy" and os.environ[name]]
            yield f"{max(names)} is not the address of an HTTP proxy; write it as http://HOST:PORT."


def _bundle_problems() -> Iterator[str]:
    """Check the trusted certificates, from any place where botocore looks for them."""
    session = _bare_session()
    try:
        do_without_identity(session)
        path = session.get_config_variable("ca_bundle")
    except aws.ConfigParseError:
        return  # reported with the file already
    name = "AWS_CA_BUNDLE" if "AWS_CA_BUNDLE" in os.environ else f"ca_bundle in {_file_of(_CONFIG)}"
    if path is None:
        name, path = "REQUESTS_CA_BUNDLE", os.environ.get("REQUESTS_CA_BUNDLE")
    if path is None:
        return
    if problem := _file_problem(Path(path)):
        yield f"{name} names {_shown(path)}, which {problem}"
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except (OSError, ValueError):
        yield f"{name} names {_shown(path)}, which contains no certificate in PEM form that can be read."


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        is_address = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return is_address and not re.search(r"[\s\x00-\x1f\x7f]", text)


def _identity_problems() -> Iterator[str]:
    """Check the pod's own identity, in the order in which boto3 looks for one."""
    environ = os.environ
    profile = next((name for name in _PROFILES if name in environ), None)
    if profile and environ[profile] not in _profiles():
        yield (
            f"{profile} names a profile that is in neither {_file_of(_CONFIG)} nor {_file_of(_CREDENTIALS)}; "
            "correct it, or remove the variable if the pod has another identity."
        )
    elif (_KEY_ID in environ) != (_KEY in environ):
        given, missing = (_KEY_ID, _KEY) if _KEY_ID in environ else (_KEY, _KEY_ID)
        yield f"{given} is set and {missing} is not; set both, or neither."
    elif _KEY_ID not in environ:
        yield from _web_identity_problems()
        if _TOKEN not in environ:
            yield from _container_problems()


def _profiles() -> dict[str, object]:
    session = _bare_session()
    use_no_profile(session)
    try:
        profiles: dict[str, object] = session.full_config["profiles"]
    except aws.ConfigParseError:
        profiles = {name: None for variable in _PROFILES if (name := os.environ.get(variable))}
    return profiles


def _file_of(variable: str) -> str:
    default = {_CONFIG: "~/.aws/config", _CREDENTIALS: "~/.aws/credentials"}
    return os.environ.get(variable) or default[variable]


def _web_identity_problems() -> Iterator[str]:
    """Check IRSA's variables, which EKS sets."""
    token, role, name = (os.environ.get(each) for each in (_TOKEN, _ROLE, "AWS_ROLE_SESSION_NAME"))
    if token and not role:
        yield f"{_TOKEN} is set and {_ROLE} is not; set both, or annotate the pod's service account again."
    if role and not token and not any(each in os.environ for each in (_FULL_URI, _RELATIVE_URI, *_PROFILES)):
        yield f"{_ROLE} is set and {_TOKEN} is not; set both, or annotate the pod's service account again."
    if role and token and not _is_role(role):
        yield f"{_ROLE} is not the ARN of an IAM role; it must look like arn:aws:iam::123456789012:role/NAME."
    if token and (problem := _token_problem(token)):
        yield f"{_TOKEN} {problem}"
    if token and name and not _is_session_name(name):
        yield "AWS_ROLE_SESSION_NAME must have 2 to 64 letters, digits or any of + = , . @ - _."


def _container_problems() -> Iterator[str]:
    """Check the variables of EKS Pod Identity and of ECS."""
    environ = os.environ
    if _RELATIVE_URI in environ:
        if not environ[_RELATIVE_URI].startswith("/"):
            yield f"{_RELATIVE_URI} must be a path that begins with /."
    elif _FULL_URI in environ:
        if not _is_address(environ[_FULL_URI]):
            yield f"{_FULL_URI} is not an address; EKS Pod Identity sets http://169.254.170.23/v1/credentials."
        elif not _is_trusted_place(environ[_FULL_URI]):
            allowed = ", ".join(_CONTAINER_HOSTS)
            yield f"{_FULL_URI} must begin with https://, or name a loopback address or one of {allowed}."
    else:
        return
    if token := environ.get(f"{_CONTAINER_TOKEN}_FILE"):
        if problem := _token_problem(token, is_header=True):
            yield f"{_CONTAINER_TOKEN}_FILE {problem}"
    elif re.search(r"[\r\n]", environ.get(_CONTAINER_TOKEN, "")):
        yield f"{_CONTAINER_TOKEN} contains a line break; write the token without one."


def _token_problem(path: str, *, is_header: bool = False) -> str:
    """Return the rest of a sentence about a token file that cannot be used; empty if it can."""
    if problem := _file_problem(Path(path)):
        return f"names {_shown(path)}, which {problem}"
    with Path(path).open("rb") as file:
        token = file.read(_LONGEST_TOKEN + 1)
    if not token.strip():
        return f"names {_shown(path)}, which is empty; check that the pod's token is mounted there."
    if len(token) > _LONGEST_TOKEN or not token.isascii():
        return f"names {_shown(path)}, which contains no token; check the path."
    if is_header and re.search(rb"[\r\n]", token):
        return f"names {_shown(path)}, which contains a line break; write the token without one."
    return ""


def _is_trusted_place(url: str) -> bool:
    """Whether botocore requests a container's credentials from an address."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "https" or host in _CONTAINER_HOSTS:
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _find_identity(_: AwsClients) -> Any:  # noqa: ANN401 - botocore makes clients at run time
    """Look for the pod's identity as boto3 does, except over the network."""
    session: Session = get_session()
    region = session.get_config_variable("region")
    resolver = create_credential_resolver(session, region_name=region)
    for name in _REMOTE:
        resolver.remove(name)
    resolver.load_credentials()
    # The client that exchanges a token for credentials, with the same settings.
    return session.create_client(STS, region_name=region, config=Config(signature_version=UNSIGNED))


def _refused(make: Callable[[AwsClients], Any], clients: AwsClients, service: str) -> Iterator[str]:
    """Report which variables prevent botocore from making a client of the service, by elimination."""
    problem = _problem_of(make, clients)
    if not problem:
        return
    if problem in _NO_DESCRIPTION:
        # No variable is at fault: docker/prune.py left it out of the image, or the package is not whole.
        yield (
            f"AWS's library (botocore) has no description of the service {service} ({problem}); "
            "install costbatch, or its image, again."
        )
        return
    names = {name for name in os.environ if name.startswith("AWS_")}

    def problem_without(absent: set[str]) -> str:
        # Only for a moment, and no thread calls AWS yet.
        values = {name: os.environ.pop(name) for name in absent}
        try:
            return _problem_of(make, AwsClients(clients.settings))
        finally:
            os.environ.update(values)

    # The variables of which removing one is enough; or else those that fail alone.
    found = {name: problem for name in sorted(names) if not problem_without({name})}
    found = found or {name: why for name in sorted(names) if (why := problem_without(names - {name}))}
    for name, why in found.items():
        what = "names a file with a setting" if name in {_CONFIG, _CREDENTIALS} else "has a value"
        what = "names a profile with a setting" if name in _PROFILES else what
        yield f"{name} {what} that AWS's library refuses ({why}); correct it or remove it."
    if not found:
        yield (
            f"AWS's library refuses a setting ({problem}) of the profile in use, in {_file_of(_CONFIG)} or "
            f"{_file_of(_CREDENTIALS)}; correct it."
        )


def _problem_of(make: Callable[[AwsClients], Any], clients: AwsClients) -> str:
    """Return the name of botocore's error when it makes a client; empty if there is none."""
    try:
        endpoint = make(clients).meta.endpoint_url
    except _TRANSIENT:
        return ""
    except AccountError as error:
        return error.detail.rstrip(".").rpartition(": ")[2]
    except _REFUSALS as error:
        return type(error).__name__
    # botocore invents such a name for a service without an endpoint of the requested kind.
    return "AWS has no such endpoint" if "aws-global" in endpoint else ""
