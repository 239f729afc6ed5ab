"""What every other folder stands on: errors, configs, commands, console, files, buckets, processes.

May import: nothing.
"""
