#ifndef DSPAM_COUNTING_H
#define DSPAM_COUNTING_H
#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* counts(keys, table_keys, table_counts, factor, shift, found) writes the counts of the keys into `found`. */
PyObject *counts(PyObject *module, PyObject *arguments);

/* slots(keys, table_keys, factor, shift, found) writes where the keys are into `found`, -1 for one that isn't there. */
PyObject *slots(PyObject *module, PyObject *arguments);

/* add(keys, table_keys, table_counts, factor, shift, deltas, sign, at, room) -> where it ended, and how many keys were new */
PyObject *add_counts(PyObject *module, PyObject *arguments);

/* opinions(keys, counts, all_spam, all_ham, unseen, shy, telling, length, words, facts) -> five numbers */
PyObject *opinions(PyObject *module, PyObject *arguments);

#endif
