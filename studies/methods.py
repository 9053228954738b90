"""The ways to join chunks that are compared: a mode of wiring and the values that differ from the defaults."""

from dataclasses import dataclass, field, replace
from typing import Any

from operators.settings import Settings


@dataclass(frozen=True)
class Method:
    """One point of a comparison."""

    mode: str
    values: dict[str, str | int | float] = field(default_factory=dict)

    def config(self, base: Settings) -> Settings:
        return replace(base, **self._whole)

    @property
    def variables(self) -> dict[str, str]:
        """Of the environment, for a run of the graph `mode`.yml."""
        return {name.upper(): str(value) for name, value in self._whole.items()}

    @property
    def _whole(self) -> dict[str, Any]:
        return {"join": "newest", "align": "tick", **self.values}  # whatever a graph's default is


def _rtr(**values: str | int | float) -> Method:
    return Method("async_rtr", {"refine_codec": "dct", **values})


def _rtc(guide: str, **values: str | int | float) -> Method:
    return Method("async_rtc", {"guide": guide, **values})


def _by_phase(methods: dict[str, Method]) -> dict[str, Method]:
    """The same with chunks aligned by phase."""
    return {f"{name}_phase": Method(each.mode, {**each.values, "align": "phase"}) for name, each in methods.items()}


_BY_TICK = {
    "sync": Method("sync"),
    "naive": Method("async_naive"),
    "ensemble": Method("async_naive", {"join": "ensemble"}),
    "blend": Method("async_naive", {"join": "blend"}),
    "fade": Method("async_naive", {"join": "fade"}),
    "rtr": _rtr(),
    "rtr_paper": _rtr(refine="rtr_paper", refine_codec="vae"),  # as published: through the codec of the latents
    "rtr_released": _rtr(refine="rtr_released", refine_codec="vae"),
    "rtr_m8": _rtr(margin=8),
    "rtr_pca": _rtr(refine_codec="pca"),
    "rtr_vae": _rtr(refine_codec="vae"),
    "rtr_fade": _rtr(join="fade"),
    "rtr_vae_fade": _rtr(refine_codec="vae", join="fade"),
    "rtr_vae_blend": _rtr(refine_codec="vae", join="blend"),
    "rtr_m0_fade": _rtr(margin=0, join="fade"),
    "rtr_vae_m0_fade": _rtr(refine_codec="vae", margin=0, join="fade"),
    "rtc": _rtc("rtc"),
    "rtc_fade": _rtc("rtc", join="fade"),
    "rtc_trained": _rtc("rtc_trained"),
    "bid": _rtc("bid"),
    "paint": _rtc("paint"),
    "vlash": _rtc("vlash"),
    "vlash_fade": _rtc("vlash", join="fade"),
    "a2c2": Method("async_a2c2"),
    "naive_ruckig": Method("async_naive", {"smooth": "ruckig"}),
    "rtr_ruckig": _rtr(smooth="ruckig"),
}
# Of those that are no published method: naive, rtr_paper and rtr_released lay chunks on the plan by tick.
ALIGNED = "fade", "blend", "rtr", "rtr_fade", "rtr_vae_fade", "rtr_vae_blend", "rtc", "rtc_fade", "a2c2"
METHODS = {**_BY_TICK, **_by_phase({name: _BY_TICK[name] for name in ALIGNED})}
DELAYS = ("4", "8", "12", "16", "20", "lognormal:8", "spikes:8", "outage:8", "24", "32")
MANY = ("8", "16")  # delays with more episodes: where the front is decided


def chosen(names: str) -> dict[str, Method]:
    """Methods by their names, separated by commas; all of them for none.

    Raises:
        ValueError: a name that is none.
    """
    wanted = [name for name in names.split(",") if name] or list(METHODS)
    unknown = [name for name in wanted if name not in METHODS]
    if unknown:
        raise ValueError(f"--methods: expected some of {', '.join(METHODS)}, got {', '.join(unknown)}")
    return {name: METHODS[name] for name in wanted}
