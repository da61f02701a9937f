"""Do features change alike when the same part of several images is covered (section 4.3, Table 1, Fig. 8)?"""
