"""From preference pairs to samples with provably kept and broken instructions."""
