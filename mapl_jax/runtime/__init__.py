"""What every other folder stands on: errors, configs, commands, console, files, buckets, processes.

May import: nothing.
"""

VERSION = "0.1.0"  # of the package, as setup.cfg has it too
