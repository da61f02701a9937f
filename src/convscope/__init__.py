"""convscope shows what a convnet learns, while it learns it.

Shape letters used everywhere: N images, C maps, H W pixels, h w positions of a map, K classes, P picks (a pick is one
unit of one image). Pixels are grey levels minus their mean, about -128..128.

From Zeiler & Fergus (2013) to the code:

    section 2.1   deconvnet, switches, projections        look/deconvnet.py, look/cropped.py
    section 3     the nets, as rows                       nets/layers.py, nets/build.py, conf/model/
                  preprocessing, crops and flips          data/transforms.py, data/cache.py
                  the recipe; filter renormalization      learn/recipe.py, conf/optim/; nets/renorm.py
    section 4     Fig. 2: top-9 grids                     look/top9.py, gallery.py        job=visualize
    section 4.1   Fig. 4: feature evolution               learn/evolution.py              job=train
                  Fig. 6: first-layer filters             learn/callbacks.py              job=train

app.py turns a command line into objects and runs a job; record.py writes the run folder; report/ draws its page.
"""
