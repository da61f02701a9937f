"""The page of a run or of a sweep, made of the run folder alone; assets/ has its html, css and js.

No torch and no net enters here.
"""
