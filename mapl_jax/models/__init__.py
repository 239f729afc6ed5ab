"""One decoder, described by a config; knows no data."""
