"""Lockstep: each sample is sent after everything that came of the one before."""

from collections import deque
from copy import copy

from nodes._pictures import Pictures
from nodes._relay import Sender
from nodes._waiting import Flight, Waiting
from operators.messages import ChunkDone, Episode, Fault, Plan, Proprio, Request, pack
from operators.schedule import Scheduling
from operators.settings import Settings
from recordings.timeline import Shown, Timeline

PATIENCE = 240  # cycles the recording stands for a plan that does not move on


class Lockstep(Waiting):
    """One episode: the cycles its executor made then; every process hears each message where it heard it then."""

    def __init__(self, sender: Sender, config: Settings, timeline: Timeline, start: Episode):
        super().__init__(sender, config.speed or 1.0)
        self.config, self.start, self.recorded = config, start, timeline.episode(start.episode)
        self._sync = "chunk_done" in sender.wire.inputs
        self.mirror = Scheduling(config, self._sync)  # whether the scheduler will ask, it alone could not say in time
        self.newest: Proprio | None = None  # of the recording, at the cycle that is next
        self.played, self.cycle = 0, 0  # cycles of the recording; and with those in which it stands
        self.flights: list[Flight] = []
        self.patience = PATIENCE
        self._unseen = deque[tuple[int, Plan]]()  # plans, by cycle, that the decoder has not got yet

    def cycles(self, following: Proprio | None, pictures: Pictures, offset_ns: float) -> None:
        """The cycles the recording's executor made until the next sample, or its end.

        Args:
            pictures: sent as far as they had been recorded at a time, and the policy had them then.
            offset_ns: that time.
        """
        until = self.recorded.cycles_before(following.t_ns if following else None)
        until = self.played + 1 if until is None else until  # where it tells of no cycles: one a sample
        while self.wire.open and self.newest and self.played < until:
            self._stand(self.newest)
            shown = self._next_shown()
            now = shown is not None and shown.cycle == self.played
            pictures.until(offset_ns, shown.frames if shown else {}, now)
            self._step(self._sample(self.newest, shown if now else None))
            self.played += 1
        self.newest = following

    def _next_shown(self) -> Shown | None:
        """What the policy looks at next, where that shall be as recorded."""
        coming = self.recorded.shown if self.config.delay_cycles < 0 else []
        return next((shown for shown in coming if shown.cycle >= self.played), None)

    def _sample(self, newest: Proprio, shown: Shown | None) -> Proprio:
        """The newest one; but the executor holds the very first, and the policy answers to what it answered to then."""
        if (first := self.recorded.first) and not self.played and len(self.recorded.times):
            return first
        return newest if shown is None or shown.proprio is None else shown.proprio._replace(t_ns=newest.t_ns)

    def _stand(self, sample: Proprio) -> None:
        """While the plan is behind the recording, cycles go on and the recording stands."""
        while self.wire.open and self.last and sample.tick > self.reached and self.patience:
            self._step(self.last, standing=True)
            self.patience = self.patience - 1 if sample.tick > self.reached else PATIENCE

    def _step(self, sample: Proprio, standing: bool = False) -> None:
        """One cycle: what the executor takes in, a sample, its plan, and who hears of that."""
        for flight in list(self.flights):
            self._take_in(flight)
        sent, plan = self.number(sample), None
        while plan is None or plan.cycle != sent.cycle:
            plan = self.wait(Plan)
            if plan is None:
                return
        self.sender.answered("executor", self.sender.count)
        self.reached = plan.tick
        done = self.wait(ChunkDone) if self._sync and plan.stood and not len(plan.planned) else None
        self._pass("plan", plan, ())
        self._unseen.append((self.cycle, plan))
        self._schedule("plan", plan, standing)
        if done:
            self._pass("chunk_done", done, ())
            self._schedule("chunk_done", done, standing)
        self._show_plans()
        for flight in list(self.flights):
            self._answer(flight)
            self._show_plans()
        self.cycle += 1

    def _take_in(self, flight: Flight) -> None:
        """Hand the executor a request and the rows of its chunk, if it took them in before this cycle."""
        if self.cycle >= flight.course.taken and flight.shown and not flight.taken:
            self.sender.turn("request", pack(flight.request), None, ("executor",))
            flight.taken = True
        if self.cycle >= flight.course.joined and flight.rows:
            self._pass("action_chunk", flight.rows)
            flight.rows, flight.joined = None, True  # its request may come after it
        if flight.joined:
            self.flights = [f for f in self.flights if f.newer(flight) or (f is flight and not f.taken)]

    def _schedule(self, topic: str, message: Plan | ChunkDone, standing: bool) -> None:
        """The scheduler's turn, unless it did not hear this one then; and what it asks for."""
        ask = copy(self.mirror).receive(message)
        as_then = ask and not standing and (self.config.delay_cycles < 0 or not ask.chunk_id)
        if ask and as_then and self.recorded.unheard(ask.chunk_id, self.played):
            return
        self.sender.turn(topic, pack(message), None, ("scheduler",))
        if self.mirror.receive(message) and (request := self.wait(Request)):
            self.sender.answered("scheduler", self.sender.count)
            course = self.recorded.course(request.chunk_id, self.played, self.config.delay_cycles)
            self.flights.append(Flight(request, course.later(self.cycle - self.played)))

    def _show_plans(self) -> None:
        """The decoder's turn to take plans, up to the one it had when the next chunk came."""
        newest, soon = self.flights[-1].request.chunk_id if self.flights else -1, []
        if self.config.delay_cycles < 0:
            soon = [course.later(self.cycle - self.played) for course in self.recorded.coming(newest, self.played)]
        ends = [*(flight.course.decoded for flight in self.flights if not flight.decoded), *(c.decoded for c in soon)]
        while self._unseen and self._unseen[0][0] <= min(ends, default=self.cycle):
            self.sender.turn("plan", pack(self._unseen.popleft()[1]), None, ("decoder",))

    def _answer(self, flight: Flight) -> None:
        """Ask the policy, and hand its chunk on to the decoder, after the plans after which they heard it then."""
        if self.cycle >= flight.course.shown and not flight.shown:
            self.forget(Fault)  # of an earlier one
            self._pass("request", flight.request, ("policy",))
            flight.shown = self.sender.count
        if self.cycle < flight.course.decoded or not flight.shown or flight.decoded:
            return
        flight.decoded = True
        if chunk := self.chunk(flight.request.chunk_id):
            self.sender.answered("policy", flight.shown)
            self._pass("chunk", chunk)
            flight.rows = self.rows(chunk.chunk_id)
        if flight.rows:
            self.sender.answered("decoder", self.sender.count)
        else:
            self.flights.remove(flight)

    def number(self, proprio: Proprio) -> Proprio:
        """Send a measurement, numbered in a row; cycles have their recorded numbers, as long as none was added."""
        (seq, newest), known = self.sender.numbers, self.recorded.cycles
        cycle = 0 if newest is None else newest + 1
        if len(known):
            then = int(known[min(self.played, len(known) - 1)]) + self.cycle - self.played
            cycle = then if newest is None else max(cycle, then)
        self.sender.numbers, self.last = (seq + 1, cycle), proprio
        sent = proprio._replace(seq=seq, cycle=cycle)
        self.sender.send("proprio", pack(sent))
        return sent
