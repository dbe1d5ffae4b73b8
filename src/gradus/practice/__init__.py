"""Chapter 11: metrics with intervals, baselines, and what to do next."""
