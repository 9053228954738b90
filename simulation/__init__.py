"""The MuJoCo world: physics and cameras around a UR5e, and the tasks it has."""
