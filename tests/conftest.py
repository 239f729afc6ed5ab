"""Eight simulated devices for every test, so that sharding is seen on a machine with one CPU."""

import jax

jax.config.update("jax_num_cpu_devices", 8)
