"""Classifiers of quality: sampling, training, scoring, evaluation, and the card that says how good one is."""
