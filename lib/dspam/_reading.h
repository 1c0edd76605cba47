#ifndef DSPAM_READING_H
#define DSPAM_READING_H
#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* squeezed(text) -> text with two spaces for each gap, if there is a gap of three or more. */
PyObject *squeezed(PyObject *module, PyObject *text);

#endif
