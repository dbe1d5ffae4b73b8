"""Errors, randomness, devices, threads and safe storage: what every other room stands on."""
