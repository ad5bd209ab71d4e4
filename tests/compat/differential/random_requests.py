def run(pair, seed, count, keys, say):
    pass
