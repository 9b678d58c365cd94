"""What may be a name, a label, an annotation: the syntax rules of Kubernetes with their texts.

Each function returns what is wrong, an empty list when nothing is. Rules and wording follow
apimachinery `pkg/util/validation`, so that messages read like the real API server's.
"""

from __future__ import annotations

import re

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_DNS_LABEL = re.compile(_LABEL)
_DNS_SUBDOMAIN = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_DNS_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_QUALIFIED = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_LABEL_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
_PORT_NAME = re.compile(r"[-a-z0-9]+")
_ENV_NAME = re.compile(r"[ -<>-~]+")

LABEL_MAX = 63
SUBDOMAIN_MAX = 253

_DNS_LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "
    "must start and end with an alphanumeric character (e.g. 'my-name', or '123-abc')"
)
_SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'example.com')"
)
_DNS_1035_TEXT = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an "
    "alphabetic character, and end with an alphanumeric character (e.g. 'my-name', or 'abc-123')"
)
_QUALIFIED_TEXT = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end "
    "with an alphanumeric character (e.g. 'MyName', or 'my.name', or '123-abc')"
)
_VALUE_TEXT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'MyValue', or 'my_value', "
    "or '12345')"
)


def _check(text: str, pattern: re.Pattern[str], longest: int, message: str) -> list[str]:
    errors = [] if len(text) <= longest else [f"must be no more than {longest} characters"]
    return errors if pattern.fullmatch(text) else [*errors, message]


def dns_label_errors(text: str) -> list[str]:
    """RFC 1123 label: namespaces, containers, port names of Services."""
    return _check(text, _DNS_LABEL, LABEL_MAX, _DNS_LABEL_TEXT)


def dns_subdomain_errors(text: str) -> list[str]:
    """RFC 1123 subdomain: most names."""
    return _check(text, _DNS_SUBDOMAIN, SUBDOMAIN_MAX, _SUBDOMAIN_TEXT)


def dns_1035_errors(text: str) -> list[str]:
    """RFC 1035 label: names of Services."""
    return _check(text, _DNS_1035, LABEL_MAX, _DNS_1035_TEXT)


def label_key_errors(text: str) -> list[str]:
    """A label's or annotation's key: an optional DNS prefix, a slash, a name."""
    prefix, slash, name = text.rpartition("/")
    errors: list[str] = []
    if slash and not prefix:
        errors.append("prefix part must be non-empty")
    elif slash:
        errors += [f"prefix part {error}" for error in dns_subdomain_errors(prefix)]
    if not name:
        return [*errors, "name part must be non-empty"]
    if len(name) > LABEL_MAX:
        errors.append(f"name part must be no more than {LABEL_MAX} characters")
    return errors if _QUALIFIED.fullmatch(name) else [*errors, _QUALIFIED_TEXT]


def label_value_errors(text: str) -> list[str]:
    """A label's value."""
    return _check(text, _LABEL_VALUE, LABEL_MAX, _VALUE_TEXT)


def port_name_errors(text: str) -> list[str]:
    """A container port's name (IANA_SVC_NAME): up to 15 characters with a letter among them."""
    errors = [] if len(text) <= 15 else ["must be no more than 15 characters"]
    if not _PORT_NAME.fullmatch(text):
        errors.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search("[a-z]", text):
        errors.append("must contain at least one letter (a-z)")
    if "--" in text:
        errors.append("must not contain consecutive hyphens")
    if text.startswith("-") or text.endswith("-"):
        errors.append("must not begin or end with a hyphen")
    return errors


def env_name_errors(text: str) -> list[str]:
    """An environment variable's name: printable ASCII without `=`."""
    if _ENV_NAME.fullmatch(text):
        return []
    return [
        "a valid environment variable name must consist only of printable ASCII characters "
        "other than '='"
    ]
