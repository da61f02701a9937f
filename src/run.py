"""Entry of convscope in the repository: `python src/run.py job=train model=zfnet`; `--help` lists what can be typed."""

from convscope.__main__ import main

if __name__ == "__main__":
    main("python src/run.py")
