"""Do features change alike when the same part of several images is covered (section 4.3, Table 1, Fig. 8)?

compute.py covers parts and compares the changes of features; figure.py draws Fig. 8. Where the parts of an image are is
read in data/.
"""
