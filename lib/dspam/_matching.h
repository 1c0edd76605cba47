#ifndef DSPAM_MATCHING_H
#define DSPAM_MATCHING_H
#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* words(text, marks, dropped, limit) -> list of the words of an ASCII text */
PyObject *words(PyObject *module, PyObject *arguments);

/* match(words, starts, begin, stems, gap) -> list of (pattern, first word, word behind the last) */
PyObject *match(PyObject *module, PyObject *arguments);

/* match_text(text, marks, dropped, limit, starts, begin, stems, filter, gap) -> list of (pattern, its words in the text): the same
 * for a text in ASCII, without a string for each of its words */
PyObject *match_text(PyObject *module, PyObject *arguments);

/* word_filter(words, pairs, stems) -> octets by which match_text() passes over most words that begin no pattern */
PyObject *word_filter(PyObject *module, PyObject *arguments);

#endif
