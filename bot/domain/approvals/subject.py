"""What an approval is about: the bytes of a patch, or the document of a rollback. One is never taken for the other."""

from enum import StrEnum


class Subject(StrEnum):
    PATCH = "patch"
    ROLLBACK = "rollback"

    @property
    def suffix(self) -> str:
        """Return how the file of these bytes ends; it stands in the statement too."""
        return "diff" if self is Subject.PATCH else "rollback"

    @property
    def done(self) -> str:
        return "pushed" if self is Subject.PATCH else "carried out"

    @property
    def going(self) -> str:
        """Return what an approval sets going, as the answer to the press says it."""
        return "Pushing exactly the bytes" if self is Subject.PATCH else "Ordering exactly the rollback"
