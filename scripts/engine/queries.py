"""Plug-in of ``yadage-run`` that parses each query of a specification once.

Yadage asks several times a second which stages are ready. The library of its queries builds their
grammar anew each time, which took nine tenths of the time that Yadage's own process used.
"""

import functools

import jsonpath_rw

# Yadage and Packtivity look it up whenever they ask.
jsonpath_rw.parse = functools.cache(jsonpath_rw.parse)
