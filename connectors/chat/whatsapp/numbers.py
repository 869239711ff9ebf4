"""Who has which number: looked at anew each time, because people link accounts while Nightshift runs. Pure."""

from collections.abc import Callable, Iterator, Mapping


class _View(Mapping[str, str]):
    def __init__(self, read: Callable[[], Mapping[str, str]]) -> None:
        self._read = read

    def __getitem__(self, key: str) -> str:
        return self._read()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())


def numbers_of(accounts: Mapping[str, str]) -> Mapping[str, str]:
    """Return each person's number as WhatsApp writes it."""
    return _View(lambda: {person: _digits(account) for person, account in accounts.items() if _digits(account)})


def accounts_of(accounts: Mapping[str, str]) -> Mapping[str, str]:
    """Return the account, as it is written down, of each number; where two are one number, the first: what people link
    comes after what is configured."""
    return _View(lambda: {_digits(one): one for one in reversed([*accounts.values()]) if _digits(one)})


def _digits(account: str) -> str:
    """Return a number with its country, without signs."""
    return "".join(character for character in account if character in "0123456789")
