"""A Jupyter course that grades itself: builder, grader and the API of its test cells."""

__version__ = "0.1.0"
