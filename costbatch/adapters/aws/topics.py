"""Publishes messages to SNS topics, as the pod's own identity."""

from collections.abc import Mapping
from threading import Lock
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
from botocore.session import get_session

from costbatch.adapters.aws.clients import AwsClients, AwsSettings
from costbatch.adapters.aws.environment import make_as_pod
from costbatch.adapters.aws.errors import PARSER_ERRORS, clock_problem
from costbatch.adapters.aws.operations import SNS
from costbatch.adapters.aws.timeouts import limit_client
from costbatch.errors import ConfigError, DeliveryError

_CONNECT_SECONDS, _READ_SECONDS = 5, 10
# The outbox tries again; here is only what passes within seconds.
_MOST_ATTEMPTS = 3
_MAY_NOT_PUBLISH = "the pod's identity may not publish to the topic: grant it sns:Publish"
# What would refuse the next message as well: the topic, or the sender.
_REASONS = {
    "AuthorizationError": _MAY_NOT_PUBLISH,
    "AuthorizationErrorException": _MAY_NOT_PUBLISH,
    "AccessDenied": _MAY_NOT_PUBLISH,
    "NotFound": "the topic does not exist",
    "NotFoundException": "the topic does not exist",
    "KMSAccessDenied": "the pod's identity may not use the key of the topic",
}
_OF_THE_MESSAGE = frozenset({"InvalidParameter", "ParameterValueInvalid", "ValidationError"})


class Topics:
    """One client per region, made when it is first used; safe to share between threads."""

    def __init__(self, version: str) -> None:
        self._version = version
        self._clients: dict[str, Any] = {}
        self._lock = Lock()

    def publish(self, region: str, request: Mapping[str, Any]) -> str:
        """Publish a message, given as botocore's request; return its id.

        Raises:
            DeliveryError: SNS does not accept it, cannot be reached, or cannot be called from this pod.

        """
        try:
            answer: dict[str, str] = self._client(region).publish(**request)
        except ConfigError as error:
            raise DeliveryError(f"SNS in {region} cannot be called: {error}") from None
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            raise DeliveryError(
                f"SNS did not accept the message for {request['TopicArn']}: {_reason(error, code)}.",
                is_refused=code in _OF_THE_MESSAGE,
            ) from None
        except NoCredentialsError:
            raise DeliveryError(f"SNS in {region} cannot be called: the pod has no AWS identity.") from None
        except PARSER_ERRORS:
            raise DeliveryError(
                f"SNS in {region} answered with something that is not from SNS; check the proxy."
            ) from None
        except (BotoCoreError, OSError) as error:
            raise DeliveryError(f"SNS in {region} cannot be used ({type(error).__name__}).") from None
        return answer["MessageId"]

    def _client(self, region: str) -> Any:  # noqa: ANN401 - botocore makes the methods at run time
        with self._lock:
            if region not in self._clients:
                config = Config(
                    connect_timeout=_CONNECT_SECONDS,
                    read_timeout=_READ_SECONDS,
                    retries={"mode": "standard", "total_max_attempts": _MOST_ATTEMPTS},
                    user_agent_extra=f"costbatch/{self._version}",
                )
                client = make_as_pod(
                    SNS,
                    lambda: get_session().create_client(SNS, region_name=region, config=config),
                    AwsClients(AwsSettings(version=self._version)),
                )
                limit_client(client)
                self._clients[region] = client
            return self._clients[region]


def _reason(error: ClientError, code: str) -> str:
    """Return the end of a sentence; AWS's own text may name keys and identities."""
    if code in _REASONS:
        return _REASONS[code]
    headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    clock = clock_problem(str(error.response.get("Error", {}).get("Message", "")), headers.get("date", ""))
    if clock is not None:
        return (clock or "This machine's clock is wrong.").rstrip(".")
    return f"it answered {code if code.isalnum() else 'an error'}"
