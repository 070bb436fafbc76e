"""Files of pictures to upright 8-bit pictures, and what a picture itself tells: chest, polarity, writing, borders, copies."""
