"""What one exchange may cost: seconds for the whole of it, and bytes that may come in."""

import time
from dataclasses import dataclass

MAX_RESPONSE_BYTES = 8 * 1024 * 1024
"""The largest response that is read, unless the configuration says otherwise."""


class TooLate(Exception):  # noqa: N818 (never leaves this room)
    """The deadline has passed."""


class TooLarge(Exception):  # noqa: N818
    """More bytes came than are read."""


@dataclass
class Bounds:
    """The limits of one exchange, and what it has used of them.

    Every wait on the socket asks `left()` for its timeout, so no state of the exchange can outlast
    the deadline, however little arrives however often.
    """

    deadline: float
    """In seconds of `time.monotonic()`."""
    max_bytes: int
    """Of the body, as it is after the framing is taken off."""
    body: int = 0
    raw: int = 0

    def left(self) -> float:
        """Seconds until the deadline.

        Raises:
            TooLate: there are none.
        """
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TooLate
        return left

    def count_raw(self, size: int) -> None:
        """Note bytes off the wire: chunks of a byte each are mostly framing, and are let pass.

        Raises:
            TooLarge: framing and headers are many times what the body may be.
        """
        self.raw += size
        if self.raw > 8 * self.max_bytes + 2**20:
            raise TooLarge

    def count_body(self, size: int) -> None:
        """Note bytes of the body.

        Raises:
            TooLarge: they are more than `max_bytes`.
        """
        self.body += size
        if self.body > self.max_bytes:
            raise TooLarge
