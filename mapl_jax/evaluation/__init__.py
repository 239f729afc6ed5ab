"""What a set of margins says: accuracies, intervals, baselines and the report."""
