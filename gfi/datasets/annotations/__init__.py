"""What files say of an image: boxes, in the formats in which people keep them."""
