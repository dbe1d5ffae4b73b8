"""Reading files and named data sets, splitting without leakage, fingerprints, and batches for the loop."""
