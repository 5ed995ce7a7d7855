"""Networks: families of generators, the layers they are made of, discriminators."""
