"""An encryption key that can be guessed deserves a warning, in `config`, in `doctor` and in a run's log."""

import base64
import secrets
import string

import pytest

from costbatch.domain.key_strength import key_weakness
from tests.support.harness import KEY, Harness

WEAK = {
    "zeros": "00" * 32,
    "one character": "x" * 32,
    "one digit of hex": "a" * 64,
    "a pair": "5b" * 32,
    "two characters": "ab" * 16,
    "counting": bytes(range(32)).hex(),
    "counting down": bytes(range(64, 32, -1)).hex(),
    "the alphabet": string.ascii_letters[:32],
    "words": "correct horse battery staple 32!",
    "words without spaces": "CorrectHorseBatteryStaple2024abc",
    "words as base64": base64.b64encode(b"my-company-production-key-secret").decode(),
    "a short word again": "changeme" * 4,
    "a date again": "2024-01-01" * 3 + "20",
}


@pytest.mark.parametrize("key", WEAK.values(), ids=WEAK.keys())
def test_a_key_that_was_thought_up_earns_a_warning(harness: Harness, key: str) -> None:
    """It is still taken: credentials may be encrypted with it. The key itself is not shown."""
    shown = harness.run("config", ENCRYPTION_KEY=key)
    assert shown.status == 0
    (warning,) = (line for line in shown.stderr.splitlines() if line.startswith("Warning: "))
    assert warning.startswith("Warning: ENCRYPTION_KEY ")
    assert warning.endswith("so it can be guessed. Make one with `costbatch keys generate`.")
    assert key not in shown.stdout + shown.stderr


def test_doctor_and_the_log_say_it_too(harness: Harness) -> None:
    """A warning, and no failure."""
    run = harness.collect(ENCRYPTION_KEY=WEAK["zeros"])
    (line,) = run.logs("encryption_key_is_weak")
    assert line["reason"].startswith("ENCRYPTION_KEY repeats one character")
    checks = harness.run("doctor", "--output", "json", ENCRYPTION_KEY=WEAK["zeros"]).summary["checks"]
    (check,) = (check for check in checks if check["name"] == "encryption key")
    assert check["status"] == "warning"
    assert "repeats one character" in check["found"]
    assert "costbatch keys generate" in check["advice"]


def test_a_random_key_earns_none(harness: Harness) -> None:
    """Nowhere."""
    assert "Warning" not in harness.run("config", ENCRYPTION_KEY=KEY).stderr
    assert not harness.collect().logs("encryption_key_is_weak")
    assert not any(key_weakness(secrets.token_bytes(32)) for _ in range(10_000))


def test_random_letters_and_digits_are_hardly_ever_taken_for_words() -> None:
    """32 characters of a password generator are a good key."""
    letters = string.ascii_letters + string.digits
    keys = ("".join(secrets.choice(letters) for _ in range(32)) for _ in range(2_000))
    assert sum(bool(key_weakness(key.encode())) for key in keys) < 2_000 * 0.05
