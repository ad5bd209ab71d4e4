def run(suite, clients): pass
