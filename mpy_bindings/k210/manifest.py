# The modules that are written in Python.
freeze("modules")
