"""Who an account is: its twelve digits and its role's ARN."""

import pytest

from costbatch.domain.accounts import (
    AccessMethod,
    Account,
    AccountStatus,
    Partition,
    RoleArn,
    parse_account_id,
)


@pytest.mark.parametrize("text", ["012345678901", "0123-4567-8901", " 012345678901\n"])
def test_an_account_id_is_its_twelve_digits(text: str) -> None:
    """Leading zeros stay; the console's dashes and stray blanks go."""
    assert parse_account_id(text) == "012345678901"


@pytest.mark.parametrize(
    "text", ["", "12345678901", "1234567890123", "12345678901a", "1234 5678 9012", "١٢٣٤٥٦٧٨٩٠١٢", "-" * 12]
)
def test_anything_else_is_no_account_id(text: str) -> None:
    """The sentence says what was given and what it must be."""
    with pytest.raises(ValueError, match="is not an AWS account id: it must have 12 digits") as caught:
        parse_account_id(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    ("partition", "name"),
    [
        (Partition.AWS, "costbatch"),
        (Partition.CHINA, "path/to/reader"),
        (Partition.GOVCLOUD, "a+b=c,d.e@f-g_h"),
        (Partition.AWS, "p" * 510 + "/" + "n" * 64),
        (Partition.AWS, "any/of!#$%(these)/n"),
    ],
)
def test_a_role_arn_tells_its_partition_and_account(partition: Partition, name: str) -> None:
    """A role may lie in any of AWS's clouds and under a path."""
    text = f"arn:{partition}:iam::012345678901:role/{name}"
    assert RoleArn.parse(f" {text} ") == RoleArn(text, "012345678901", partition)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "costbatch",
        "arn:aws:iam::012345678901:user/costbatch",
        "arn:aws:iam::12345678901:role/costbatch",
        "arn:aws:iam:eu-west-1:012345678901:role/costbatch",
        "arn:aws:sts::012345678901:assumed-role/costbatch/session",
        "arn:aws-moon:iam::012345678901:role/costbatch",
        "arn:aws:iam::012345678901:role/",
        "arn:aws:iam::012345678901:role/two words",
        "arn:aws:iam::012345678901:role/costbatch\nx",
        "arn:aws:iam::012345678901:role/" + "n" * 65,
        "arn:aws:iam::012345678901:role/" + "p" * 511 + "/n",
        "arn:aws:iam::012345678901:role/größe",
        "arn:aws:iam::012345678901:role/two words/n",
        "arn:aws:iam::012345678901:role//",
    ],
)
def test_anything_else_is_no_role_arn(text: str) -> None:
    """The sentence shows what an ARN looks like."""
    with pytest.raises(ValueError, match="must look like arn:aws:iam::123456789012:role/NAME"):
        RoleArn.parse(text)


def test_an_account_reads_as_its_id_and_name() -> None:
    """Both appear in every message about an account."""
    account = Account(
        id=1,
        aws_account_id="012345678901",
        name="production",
        status=AccountStatus.ACTIVE,
        access=AccessMethod.POD_IDENTITY,
    )
    assert str(account) == "012345678901 (production)"
