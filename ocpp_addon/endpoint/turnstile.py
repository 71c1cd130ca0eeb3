"""A line that moves by a few in each turn of the event loop: a crowd keeps nobody waiting."""

import asyncio
from collections import deque
from collections.abc import Callable

AT_ONCE = 2  # a newcomer costs about 2 ms of work, spread over ten turns; a farewell a fifth


class Turnstile:
    """Let `at_once` pass in each turn of the loop, in the order in which they came.

    The loop does everything that is ready before it looks at the network again: thousands of
    newcomers in one turn would keep those who are in waiting for seconds.
    """

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._at_once = at_once
        self._line: deque[Callable[[], None]] = deque()

    def __len__(self) -> int:
        return len(self._line)

    def enter(self, go: Callable[[], None]) -> None:
        """Call `go` when it is its turn; whoever enters has to bound how many do."""
        if not self._line:
            asyncio.get_running_loop().call_soon(self._turn)
        self._line.append(go)

    async def wait(self) -> None:
        """Return when it is the caller's turn."""
        turn = asyncio.get_running_loop().create_future()
        self.enter(lambda: None if turn.done() else turn.set_result(None))
        await turn

    def _turn(self) -> None:
        try:
            for _ in range(min(self._at_once, len(self._line))):
                self._line.popleft()()
        finally:  # whoever stumbles holds up nobody else
            if self._line:
                asyncio.get_running_loop().call_soon(self._turn)
