"""The MuJoCo world: a UR5e that writes on a board. Scene, expert and score of a task, physics, cameras."""
