/* Small works on texts, as dspam/reading.py does them: that is the reference, and a test compares both. */
#include "_reading.h"
#include <string.h>

static int is_gap(char c) { return c == ' ' || (c >= '\t' && c <= '\f'); }

/* Where the spaces end that stand at this place. */
static Py_ssize_t gap_end(const char *text, Py_ssize_t at, Py_ssize_t size)
{
    while (at < size && is_gap(text[at]))
        at++;
    return at;
}

static int has_wide_gap(const char *text, Py_ssize_t size)
{
    /* Of three spaces in a row one stands in every third place. */
    for (Py_ssize_t at = 2; at < size; at += 3) {
        if (!is_gap(text[at]))
            continue;
        Py_ssize_t first = at;
        while (first > 0 && first > at - 2 && is_gap(text[first - 1]))
            first--;
        if (gap_end(text, at, size < first + 3 ? size : first + 3) - first >= 3)
            return 1;
    }
    return 0;
}

PyObject *squeezed(PyObject *module, PyObject *found)
{
    (void)module;
    if (!PyBytes_Check(found)) {
        PyErr_SetString(PyExc_TypeError, "a text is bytes");
        return NULL;
    }
    const char *text = PyBytes_AS_STRING(found);
    Py_ssize_t size = PyBytes_GET_SIZE(found), written = 0;
    if (!has_wide_gap(text, size))
        return Py_NewRef(found);
    PyObject *result = PyBytes_FromStringAndSize(NULL, size);
    if (result == NULL)
        return NULL;
    char *into = PyBytes_AS_STRING(result);
    for (Py_ssize_t at = 0; at < size;) {
        if (!is_gap(text[at])) {
            into[written++] = text[at++];
            continue;
        }
        Py_ssize_t end = gap_end(text, at, size);
        if (end - at == 1)
            into[written++] = text[at];
        else {
            memset(into + written, ' ', 2);
            written += 2;
        }
        at = end;
    }
    return _PyBytes_Resize(&result, written) < 0 ? NULL : result;
}
