"""The checks of these tests find what they are for."""

from typing import Any

import pytest

from tests.chart.fields import is_cron, wrong_enums
from tests.chart.pod_security import violations
from tests.chart.pods import Pod

_CONTAINER = {
    "name": "one",
    "securityContext": {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    },
}
_SPEC = {
    "automountServiceAccountToken": False,
    "securityContext": {
        "runAsNonRoot": True,
        "runAsUser": 1000,
        "seccompProfile": {"type": "RuntimeDefault"},
    },
}


def pod(spec: dict[str, Any], container: dict[str, Any]) -> Pod:
    """Return a hardened pod with these changes; a security context is merged."""
    context = {**_CONTAINER["securityContext"], **container.pop("securityContext", {})}  # type: ignore[dict-item] # a dict
    return Pod(
        "Pod/one",
        {},
        {**_SPEC, **spec, "containers": [{**_CONTAINER, **container, "securityContext": context}]},
    )


def test_a_hardened_pod_has_no_violation() -> None:
    """The pod that the following ones are made of."""
    assert violations(pod({}, {})) == []


@pytest.mark.parametrize(
    ("spec", "container"),
    [
        ({"hostNetwork": True}, {}),
        ({"volumes": [{"name": "host", "hostPath": {"path": "/"}}]}, {}),
        ({"automountServiceAccountToken": True}, {}),
        ({"securityContext": {"runAsNonRoot": True, "runAsUser": 1000}}, {}),
        ({}, {"securityContext": {"privileged": True}}),
        ({}, {"securityContext": {"allowPrivilegeEscalation": None}}),
        ({}, {"securityContext": {"runAsUser": 0}}),
        ({}, {"securityContext": {"runAsNonRoot": False}}),
        ({}, {"securityContext": {"capabilities": {}}}),
        ({}, {"securityContext": {"capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]}}}),
        ({}, {"securityContext": {"procMount": "Unmasked"}}),
        ({}, {"securityContext": {"readOnlyRootFilesystem": False}}),
        ({}, {"ports": [{"containerPort": 80, "hostPort": 80}]}),
    ],
)
def test_what_the_restricted_standard_refuses_is_found(
    spec: dict[str, Any], container: dict[str, Any]
) -> None:
    """One weakness, one sentence."""
    assert len(violations(pod(spec, container))) == 1


@pytest.mark.parametrize(
    "schedule", ["0 2 * * *", "*/15 0-6/2 1,15 JAN-MAR mon-fri", "@daily", "5/10 ? * * 0"]
)
def test_schedules_are_accepted(schedule: str) -> None:
    """Five fields of numbers, ranges, lists, steps and names, or a name for all."""
    assert is_cron(schedule)


@pytest.mark.parametrize(
    "schedule",
    [
        "",
        "0 2 * *",
        "0 2 * * * *",
        "60 2 * * *",
        "0 24 * * *",
        "0 2 0 * *",
        "0 2 * 13 *",
        "0 2 * * 7",
        "0 2 5-1 * *",
        "@nightly",
        "*/0 * * * *",
        "0 2 * * *-5",
    ],
)
def test_wrong_schedules_are_refused(schedule: str) -> None:
    """Each of these would be refused by Kubernetes."""
    assert not is_cron(schedule)


def test_unknown_words_are_found_wherever_they_are() -> None:
    """With the path to them."""
    wrong = {"spec": {"containers": [{"imagePullPolicy": "Sometimes"}], "policyTypes": ["Egres"]}}
    assert [*wrong_enums(wrong)] == [
        ".spec.containers[0].imagePullPolicy is Sometimes.",
        ".spec.policyTypes is ['Egres'].",
    ]
