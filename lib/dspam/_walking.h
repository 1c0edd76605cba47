#ifndef DSPAM_WALKING_H
#define DSPAM_WALKING_H
#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* walk(source, lists, look, sets, callbacks, no_style, max_tags, remembered) -> (severed, images, comments, cut) */
PyObject *walk(PyObject *module, PyObject *arguments);

#endif
