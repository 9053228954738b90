"""The robot of the tests."""

from robots import read_robot

UR5E = read_robot("ur5e")
ENVELOPE = UR5E.envelope
