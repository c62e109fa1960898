"""What each check of the network, and the paid request, says: when all is well and when it is not."""

from dataclasses import replace

import pytest

from costbatch.application.doctor.findings import Mark, PaidRequest
from costbatch.application.doctor.ports import Endpoint
from costbatch.domain.accounts import AccessMethod, AccountStatus, Partition
from costbatch.domain.periods import DateRange
from costbatch.errors import AccountError, ErrorKind
from tests.support.fake_doctor import (
    DAY,
    POD_ACCOUNT,
    TODAY,
    FakeAws,
    FakeGateway,
    FakeSource,
    Ward,
    make_account,
)

POD, ROLE = AccessMethod.POD_IDENTITY, AccessMethod.ASSUMED_ROLE


def test_no_pushgateway_is_a_warning() -> None:
    """It is allowed, yet nothing would notice a missing run."""
    assert Ward(gateway=None).find("Pushgateway").mark is Mark.WARNING


def test_a_pushgateway_that_is_not_ready_is_a_failure() -> None:
    """With its reason and what to do."""
    finding = Ward(gateway=FakeGateway("It answered 401. Check the password.")).find("Pushgateway")
    assert finding.mark is Mark.FAILURE
    assert (finding.found, finding.advice) == ("It answered 401.", "Check the password.")


def test_the_endpoints_of_the_active_accounts_partitions_are_asked() -> None:
    """Not those of paused accounts; without any account, the ordinary ones."""
    china = make_account(3, partition=Partition.CHINA)
    paused = make_account(4, partition=Partition.GOVCLOUD, status=AccountStatus.PAUSED)
    ward = Ward(accounts=[make_account(1), china, paused])
    assert ward.find("AWS endpoints").found.count("responds over trusted TLS") == 4
    assert ward.aws.asked == [Partition.AWS, Partition.CHINA]
    empty = Ward(accounts=[])
    empty.examine()
    assert empty.aws.asked == [Partition.AWS]


def test_a_plain_endpoint_is_fine_and_said_to_be_plain() -> None:
    """As the stand-in for AWS has; the two services share it."""
    plain = Endpoint(address="http://127.0.0.1:4566", is_encrypted=False, http_status=400)
    finding = Ward(aws=FakeAws({Partition.AWS: plain})).find("AWS endpoints")
    assert finding.mark is Mark.OK
    assert finding.found == "http://127.0.0.1:4566 responds over plain HTTP, as a simulated AWS may."


def test_an_endpoint_that_does_not_answer_is_a_failure() -> None:
    """And what needs AWS is skipped."""
    mute = Endpoint(
        address="https://ce",
        is_encrypted=True,
        proxy="proxy:3128",
        problem="is not let through",
        advice="Ask.",
    )
    results = Ward(aws=FakeAws({Partition.AWS: mute})).examine()
    finding = results["AWS endpoints"].finding
    assert (finding.mark, finding.advice) == (Mark.FAILURE, "Ask.")
    assert finding.found == "https://ce through the proxy proxy:3128 is not let through."
    assert results["pod identity"].finding.mark is Mark.SKIPPED


def test_an_endpoint_with_a_problem_of_its_own_is_a_warning() -> None:
    """It was reached; that it is down will pass."""
    down = Endpoint(address="https://ce", is_encrypted=True, http_status=503)
    assert Ward(aws=FakeAws({Partition.AWS: down})).find("AWS endpoints").mark is Mark.WARNING


def test_without_an_account_that_needs_it_the_pod_s_identity_is_not_asked_for() -> None:
    """A pod needs none if every account has keys."""
    finding = Ward(aws=FakeAws(pod_error=AccountError(ErrorKind.INTERNAL, "No."))).find("pod identity")
    assert finding.mark is Mark.OK


def test_the_pod_is_asked_for_where_the_chain_of_roles_begins_with_it() -> None:
    """Directly or through other accounts, but not if a key begins the chain or the account is paused."""
    direct = make_account(3, access=ROLE)
    through = make_account(4, access=ROLE, base_account_id=3)
    by_key = make_account(5, access=ROLE, base_account_id=1)
    paused = make_account(6, access=ROLE, status=AccountStatus.PAUSED)
    circle = make_account(7, access=ROLE, base_account_id=7)
    finding = Ward(accounts=[make_account(1), direct, through, by_key, paused, circle]).find("pod identity")
    assert finding.mark is Mark.OK
    assert f"{POD_ACCOUNT}:assumed-role/pod/x; it reaches 2 accounts in partition aws." in finding.found


def test_a_pod_without_an_identity_is_a_failure() -> None:
    """With the advice of the kind of failure."""
    aws = FakeAws(pod_error=AccountError(ErrorKind.CREDENTIALS_REJECTED, "The pod has no AWS identity."))
    finding = Ward(accounts=[make_account(3, access=POD)], aws=aws).find("pod identity")
    assert (finding.mark, finding.found) == (Mark.FAILURE, "The pod has no AWS identity.")


def test_a_pod_of_another_account_is_a_failure() -> None:
    """An account said to be the pod's own must be."""
    finding = Ward(accounts=[make_account(3, access=POD)]).find("pod identity")
    assert finding.mark is Mark.FAILURE
    assert "000000000003 (account-3)" in finding.found
    own = replace(make_account(3, access=POD), aws_account_id=POD_ACCOUNT)
    assert Ward(accounts=[own]).find("pod identity").mark is Mark.OK


def test_without_the_wish_nothing_is_paid() -> None:
    """The check of Cost Explorer is not even there."""
    ward = Ward()
    assert "Cost Explorer" not in ward.examine()
    assert ward.source.fetched == []


def test_the_paid_request_is_one_day_of_the_first_active_account() -> None:
    """Yesterday, once, and its price is shown."""
    ward = Ward(paid=PaidRequest())
    finding = ward.find("Cost Explorer")
    assert finding.mark is Mark.OK
    assert finding.found == (
        "000000000001 (account-1): Cost Explorer returned 0 cost rows for 2025-03-11. "
        "This request cost $0.01."
    )
    assert ward.source.fetched == [("000000000001", DateRange(TODAY - DAY, TODAY))]


def test_the_paid_request_is_one_even_where_the_answer_has_more_pages() -> None:
    """The second page is not paid for."""
    finding = Ward(paid=PaidRequest(aws_account_id="000000000002"), source=FakeSource(pages=3)).find(
        "Cost Explorer"
    )
    assert finding.mark is Mark.OK
    assert "000000000002 (account-2): Cost Explorer returned the first page" in finding.found


@pytest.mark.parametrize(
    ("pages", "is_refused", "words"),
    [
        (0, None, "Nothing was paid."),
        (1, True, "Nothing was paid."),
        (1, None, "The request cost at most $0.01."),
        (1, False, "The request cost $0.01."),
    ],
)
def test_a_paid_request_that_fails_says_why_and_what_it_cost(
    pages: int,
    is_refused: bool | None,  # noqa: FBT001 - a parameter of the test
    words: str,
) -> None:
    """With the advice of the kind of failure."""
    source = FakeSource(
        pages=pages, is_refused=is_refused, error=AccountError(ErrorKind.ACCESS_DENIED, "AWS refused.")
    )
    finding = Ward(paid=PaidRequest(), source=source).find("Cost Explorer")
    assert (finding.mark, finding.advice) == (Mark.FAILURE, ErrorKind.ACCESS_DENIED.advice)
    assert finding.found.startswith("000000000001 (account-1): AWS refused. ")
    assert finding.found.endswith(words)


def test_the_paid_request_for_an_account_that_is_none_is_refused() -> None:
    """Before anything is paid."""
    ward = Ward(paid=PaidRequest(aws_account_id="000000000404"))
    finding = ward.find("Cost Explorer")
    assert (finding.mark, finding.is_configuration) == (Mark.FAILURE, True)
    assert "000000000404 is not registered" in finding.found
    assert ward.source.fetched == []


def test_without_an_active_account_no_request_is_made_or_paid() -> None:
    """The warning about it is another check's."""
    ward = Ward(accounts=[], paid=PaidRequest())
    assert ward.find("Cost Explorer").mark is Mark.SKIPPED
    assert ward.source.fetched == []


def test_without_a_key_there_is_no_paid_request() -> None:
    """It could not be made."""
    ward = Ward(problems=["ENCRYPTION_KEY is not set."], vault=None, paid=PaidRequest())
    assert ward.find("Cost Explorer").mark is Mark.SKIPPED
