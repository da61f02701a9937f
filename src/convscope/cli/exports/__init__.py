"""job=export: films, posters, the page in one file, and the figures of a run, to show and to send."""
