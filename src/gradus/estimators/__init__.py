"""The contract between a module and fit, predict, sample and score; and how a fitted estimator is kept."""
