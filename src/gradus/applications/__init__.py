"""Chapter 12: one module a kind of data, each from raw input to the estimators that suit it."""
