"""State, step, loop, checkpoints, sharding and metrics of a training run."""
