"""From preference pairs to rows of token tries; knows no model."""
