#ifndef DSPAM_MERGING_H
#define DSPAM_MERGING_H
#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* merge(tokens, keys, counts, days) -> tokens: counts as int64, days as uint16, everything in ascending order of keys */
PyObject *merge(PyObject *module, PyObject *arguments);

#endif
