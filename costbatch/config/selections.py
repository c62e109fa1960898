"""The keys that several YAML documents share: which accounts, and from which amount on."""

from decimal import Decimal

from costbatch.config import parsers
from costbatch.config.yaml_reader import Section
from costbatch.domain.accounts import parse_account_id
from costbatch.domain.excerpt import excerpt
from costbatch.domain.labels import Labels, check_label, sorted_labels
from costbatch.domain.money import is_currency

# In place of a currency: all that are not named.
OTHER = "other"


def read_accounts(section: Section) -> frozenset[str]:
    """Return the 12-digit ids of the key ``accounts``."""
    return frozenset(section.texts("accounts", _account))


def read_labels(section: Section) -> Labels:
    """Return the labels of the key ``labels``."""
    labels = section.pairs("labels")
    for key, value in labels.items():
        try:
            check_label(key, value)
        except ValueError as error:
            section.refuse(f"is wrong: {error}", "labels")
    return sorted_labels(labels)


def read_minimum(section: Section) -> dict[str, Decimal]:
    """Return the amounts of the key ``minimum`` by currency, or ``other``."""
    found: dict[str, Decimal] = {}
    for currency, text in section.pairs("minimum").items():
        if currency != OTHER and not is_currency(currency):
            section.refuse(
                f"has {excerpt(currency)}, which is neither a currency such as USD nor {OTHER}.", "minimum"
            )
            continue
        try:
            found[currency] = parsers.decimal("0")(text)
        except ValueError as error:
            section.refuse(f"of {currency} {error}", "minimum")
    return found


def read_percent(section: Section) -> Decimal | None:
    """Return the key ``minimum_percent``."""
    return section.value("minimum_percent", parsers.decimal("0", "100000"), None)


def _account(text: str) -> str:
    try:
        return parse_account_id(text)
    except ValueError as error:
        raise ValueError(f"is wrong: {error} Put it in quotes.") from None
