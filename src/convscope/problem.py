"""What a user can mend, told in one line."""


class Problem(Exception):
    """Raised with one line that says what was given, what is possible and what to type. Shown without a traceback."""
