"""What every botocore session takes from the process's environment, and what it ignores."""

import os

from botocore.exceptions import ConfigParseError, ProfileNotFound
from botocore.session import Session


def forget_empty_variables() -> None:
    """Remove AWS's empty variables: they count as not set, as ours do, but to botocore they are values."""
    for name in [name for name in os.environ if name.startswith("AWS_") or name == "REQUESTS_CA_BUNDLE"]:
        if not os.environ[name].strip():
            del os.environ[name]


def do_without_identity(session: Session) -> None:
    """Let a session ignore an unusable credentials file or profile: stored keys need neither.

    The settings of the config file and of a usable profile, such as endpoints and certificates, still apply.
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
    """Let a session use the default profile, also if a variable names another."""
    # Session.set_config_variable takes None for "not set".
    session.get_component("config_store").set_config_variable("profile", None)
