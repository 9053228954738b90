"""The expert as a policy: it knows the task from the episode's seed, not from pictures; the upper bound."""

from operators.chunks.noise import noisy
from operators.messages import Episode
from operators.motion.rotation import to_relative
from operators.policy import Observation, Prediction
from operators.settings import Settings
from simulation.tasks import make_task, taught


class ExpertPolicy:
    """Chunks of the task's expert, with errors like a learned policy's (`operators.chunks.noise`)."""

    cameras = ()
    guides = ("vlash",)

    def __init__(self, config: Settings):
        taught(config.task)
        self._noise = config.noise

    def start(self, episode: Episode) -> None:
        self._episode = episode
        self._task = make_task(episode.task, episode.seed, episode.variant)

    def predict(self, observation: Observation) -> Prediction:
        proprio = observation.proprio
        chunk = self._task.expert_chunk(proprio.tick, proprio.tcp_pose, proprio.wrench)
        chunk = noisy(chunk, self._noise, self._episode.seed, self._episode.episode, observation.chunk_id)
        return Prediction(to_relative(chunk, proprio.tcp_pose).astype("float32"), seed=self._episode.seed)
