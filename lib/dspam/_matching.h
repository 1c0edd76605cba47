#ifndef DSPAM_MATCHING_H
#define DSPAM_MATCHING_H
#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* words(text, marks, dropped, limit) -> list of the words of an ASCII text */
PyObject *words(PyObject *module, PyObject *arguments);

/* match(words, starts, begin, stems, gap) -> list of (pattern, first word, word behind the last) */
PyObject *match(PyObject *module, PyObject *arguments);

#endif
