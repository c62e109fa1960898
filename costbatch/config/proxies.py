"""The address of a proxy, as botocore completes it: for AWS and for the receivers of events alike."""


def with_scheme(address: str) -> str:
    """Return a proxy's address with its scheme, http if it names none."""
    if "://" in address:
        return address
    return f"http:{address}" if address.startswith("//") else f"http://{address}"
