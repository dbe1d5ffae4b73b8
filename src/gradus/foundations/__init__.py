"""Mathematics that the rest stands on (Part I): linear algebra, probability, numerical computation."""
