"""Language: tokenizers, n-gram models, word vectors, baselines for texts (§12.4)."""
