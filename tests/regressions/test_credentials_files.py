"""Credentials files as AWS's own tools write them: what is not needed is ignored, what is missing named."""

import pytest

from costbatch.cli.secrets import read_profile
from costbatch.errors import ConfigError
from tests.support.harness import Harness

KEY_ID, SECRET, TOKEN = (
    "AKIAIOSFODNN7EXAMPLE",
    "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "IQoJb3JpZ2luX2VjE",
)
KEYS = {"access_key_id": KEY_ID, "secret_access_key": SECRET}
PAIR = f"aws_access_key_id = {KEY_ID}\naws_secret_access_key = {SECRET}\n"

FINE = {
    "the console's profile": f"[default]\n{PAIR}",
    "no profile's name": PAIR,
    "no spaces, capitals": f"[default]\nAWS_ACCESS_KEY_ID={KEY_ID}\nAWS_SECRET_ACCESS_KEY={SECRET}\n",
    "region and output": f"[prod]\nregion = eu-west-1\noutput = json\n{PAIR}cli_pager =\n",
    "comments": f"# by hand\n; and more\n\n[prod]  # the payer\n{PAIR.replace(KEY_ID, KEY_ID + ' # of May')}",
    "CRLF": f"[default]\n{PAIR}".replace("\n", "\r\n"),
    "old Mac": f"[default]\n{PAIR}".replace("\n", "\r"),
    "indented": f"[default]\n  aws_access_key_id = {KEY_ID}\n  aws_secret_access_key = {SECRET}\n",
    "nested settings": f"[default]\ns3 =\n  max_queue_size = 20\n  aws_access_key_id = nested\n{PAIR}",
    "the default one of several": f"[a]\naws_access_key_id = A\naws_secret_access_key = B\n[default]\n{PAIR}",
    "the only one with a key": f"[default]\nregion = eu-west-1\n[profile prod]\n{PAIR}[sso]\nsso_session = x",
    "a role beside it": f"[default]\n{PAIR}role_arn = arn:aws:iam::123456789012:role/r\nexternal_id = x7\n",
    "a colon": PAIR.replace(" =", ":"),
}


@pytest.mark.parametrize("text", FINE.values(), ids=FINE.keys())
def test_a_key_is_found_in_whatever_aws_tools_write(text: str) -> None:
    """Other settings, other profiles, comments and line ends do not matter."""
    assert read_profile(text, "It") == KEYS


@pytest.mark.parametrize(
    "lines",
    [
        f"aws_session_token = {TOKEN}\n",
        f"aws_security_token = {TOKEN}\n",
        f"aws_session_token = {TOKEN}\naws_security_token = {TOKEN}\n",
        f"aws_security_token = old\naws_session_token = {TOKEN}\n",
    ],
)
def test_a_session_token_has_two_names(lines: str) -> None:
    """The older one counts only if the newer one is not there."""
    assert read_profile(f"[default]\n{PAIR}{lines}", "It") == {**KEYS, "session_token": TOKEN}


ID_LINE, SECRET_LINE = PAIR.splitlines(keepends=True)
REFUSED = {
    "no secret key": (
        f"[default]\n{ID_LINE}region = x\n",
        "(line 1) has aws_access_key_id (line 2) and no aws_secret_access_key; an access key",
    ),
    "no id": (
        f"\n\n[prod]\n{SECRET_LINE}",
        "the profile 'prod' (line 3) has aws_secret_access_key (line 4) and no aws_access_key_id",
    ),
    "an empty value": (
        f"[default]\n{ID_LINE}aws_secret_access_key =\n",
        "has aws_access_key_id (line 2) and no value for aws_secret_access_key (line 3)",
    ),
    "neither": (
        "[default]\nregion = eu-west-1\n",
        "the profile 'default' (line 1) has no aws_access_key_id and no aws_secret_access_key",
    ),
    "a role only": (
        "[default]\nrole_arn = arn:aws:iam::123456789012:role/r\nsource_profile = base\n",
        "its credentials come from role_arn (line 2), source_profile (line 3), which cannot be stored.",
    ),
    "several": (
        f"[a]\n{PAIR}[b]\n{PAIR}",
        "holds 2 profiles; keep one, or name one of them default: 'a' (line 1), 'b' (line 4).",
    ),
    "twice": (f"[default]\n{PAIR}{SECRET_LINE}", "line 4 gives aws_secret_access_key again, after line 3"),
    "a profile twice": (
        f"[default]\n{PAIR}[default]\n{PAIR}",
        "line 4 repeats the profile 'default' (line 1)",
    ),
    "no setting": (f"[default]\n{KEY_ID}\n{SECRET}\n", "line 2 is neither [PROFILE] nor NAME = VALUE"),
    "half a heading": (f"[default\n{PAIR}", "line 1 is neither [PROFILE] nor NAME = VALUE"),
}


@pytest.mark.parametrize(("text", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_missing_or_doubtful_is_named_with_its_line(text: str, words: str) -> None:
    """And no value is shown."""
    with pytest.raises(ConfigError) as caught:
        read_profile(text, "It")
    assert words in str(caught.value)
    assert KEY_ID not in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_file_of_aws_registers_an_account(harness: Harness) -> None:
    """Through the command: the key that is stored is that of the file."""
    text = f"# written by a tool\r\n[default]\r\nregion=eu-west-1\r\noutput=json\r\n{PAIR}".replace(
        "\n", "\r\n"
    )
    command = ("accounts", "add", "123456789012", "--name", "x", "--no-verify", "--secrets-file", "-")
    assert harness.run(*command, stdin=text).status == 0
    refused = harness.run(*command[:2], "210987654321", *command[3:], stdin=f"[x]\n{ID_LINE}")
    assert refused.status == 2
    assert "and no aws_secret_access_key" in refused.sentences[0]


@pytest.mark.parametrize("name", ["aws_session_token", "aws_security_token", "AWS_SESSION_TOKEN"])
def test_a_profile_with_temporary_credentials_is_refused(harness: Harness, name: str) -> None:
    """As in AWS's other formats: they would be stored, and fail within hours."""
    text = f"[default]\n{PAIR}{name} = {TOKEN}\n"
    run = harness.run("accounts", "add", "123456789012", "--name", "x", "--secrets-file", "-", stdin=text)
    assert run.status == 2
    assert "holds temporary credentials" in run.sentences[0]
    assert harness.value("SELECT count(*) FROM accounts") == 0
