"""What a user's own package holds: a task, a policy, a robot and a camera, none of them known to the project."""
