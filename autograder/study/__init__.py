"""Studying alone: a learner's own checks, hints, solutions and progress."""
