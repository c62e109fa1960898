"""What every botocore session takes from the process's environment, and what it leaves alone."""

import os

from botocore.exceptions import ConfigParseError, ProfileNotFound
from botocore.session import Session


def forget_empty_variables() -> None:
    """Let an empty variable of AWS's count as not set, as ours do: to botocore it is a value."""
    for name in [name for name in os.environ if name.startswith("AWS_") or name == "REQUESTS_CA_BUNDLE"]:
        if not os.environ[name].strip():
            del os.environ[name]


def do_without_identity(session: Session) -> None:
    """Let a session ignore a credentials file or a profile that cannot be used: stored keys need neither.

    What a config file or a good profile says of endpoints, certificates and the like still counts.
    """
    try:
        _ = session.full_config
    except ConfigParseError:
        session.set_config_variable("credentials_file", os.devnull)
    try:
        session.get_scoped_config()
    except ProfileNotFound:
        use_no_profile(session)


def use_no_profile(session: Session) -> None:
    """Let a session take its settings from no other profile than the default one, whatever variables name."""
    # Session.set_config_variable takes None for "not set".
    session.get_component("config_store").set_config_variable("profile", None)
