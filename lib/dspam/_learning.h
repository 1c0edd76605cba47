#ifndef DSPAM_LEARNING_H
#define DSPAM_LEARNING_H
#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* learn(keys, counts, added, is_spam, count_all, believed, at_least, novel, heard, header, text) writes what a lesson adds into
 * `added`; header and text are the regressions: rate, margin, steps, slowing. */
PyObject *learn(PyObject *module, PyObject *arguments);

#endif
