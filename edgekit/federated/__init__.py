"""Learning together: rounds, judging of updates, aggregation and the objects that travel."""
