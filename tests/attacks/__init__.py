"""Submissions that try to cheat, to pry or to do harm, and what they deserve."""
