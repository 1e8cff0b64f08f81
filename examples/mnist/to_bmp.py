"""Makes /flash/0.bmp to /flash/9.bmp of the pictures in /sd, for firmware that reads no PNG."""

import image

for digit in range(10):
    image.Image("/sd/%d_0.png" % digit).save("/flash/%d.bmp" % digit)
