#ifndef DSPAM_READING_H
#define DSPAM_READING_H
#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* squeezed(text) -> text with two spaces for each gap, if there is a gap of three or more. */
PyObject *squeezed(PyObject *module, PyObject *text);

/* joined(pieces) -> the pieces together, one space for all space between words and none at the ends. */
PyObject *joined_words(PyObject *module, PyObject *pieces);

/* urls(text, most) -> the first links of a plain text. */
PyObject *urls(PyObject *module, PyObject *arguments);

/* take_links(links, most, targets, seen): append the first targets to both lists, as far as there is room. */
PyObject *take_links(PyObject *module, PyObject *arguments);

/* link_parts(target) -> scheme, host, path */
PyObject *link_parts(PyObject *module, PyObject *target);

#endif
