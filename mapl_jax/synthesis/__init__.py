"""From preference pairs to samples whose instructions are provably kept and broken.

May import: runtime, constraints, data.
"""
