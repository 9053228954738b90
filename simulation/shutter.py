"""Which scenes a simulated camera draws: the first that answers a request, and otherwise every second one."""

from operators.messages import Request, Scene

EVERY = 2  # scenes: 30 Hz, for those who watch and for features


class Shutter:
    """A picture that is asked for is drawn at once, so that the policy gets it as young as it can be.

    The state that a request of tick T is to be answered from is that of the row before it: the first that is measured
    after the scheduler asked.

    Args:
        every: scenes from one picture to the next that nobody asked for.
    """

    def __init__(self, every: int = EVERY) -> None:
        self._every = every
        self.restart()

    def restart(self) -> None:
        self._newest: Scene | None = None
        self._drawn = True  # the newest scene
        self._wanted: int | None = None  # tick
        self._since = self._every  # scenes that have come since the last that was drawn

    def receive(self, message: Scene | Request) -> Scene | None:
        """The scene to draw now, if there is one."""
        if isinstance(message, Request):
            self._wanted = message.tick - 1
        else:
            self._newest, self._drawn = message, False
            self._since += 1
        asked = self._wanted is not None and self._newest is not None and self._newest.tick >= self._wanted
        if asked:
            self._wanted = None
        if self._newest is None or self._drawn or not (asked or self._since >= self._every):
            return None
        self._drawn, self._since = True, 0
        return self._newest
