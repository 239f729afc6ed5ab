"""The instructions, a file for each group of families: check, propose, wordings, conflicts.

May import: constraints, constraints.text.
"""
