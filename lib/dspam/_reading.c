/* Small works on texts, as dspam/reading.py and html.py do them: those are the references, and a test compares both. */
#include "_reading.h"
#include <string.h>

enum { MAX_URL = 200 }; /* octets behind its beginning */

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

static int is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

PyObject *joined_words(PyObject *module, PyObject *pieces)
{
    (void)module;
    Py_ssize_t size = 0, written = 0;
    if (!PyList_Check(pieces)) {
        PyErr_SetString(PyExc_TypeError, "pieces are a list");
        return NULL;
    }
    for (Py_ssize_t at = 0; at < PyList_GET_SIZE(pieces); at++) {
        PyObject *piece = PyList_GET_ITEM(pieces, at);
        if (!PyBytes_Check(piece) || PyBytes_GET_SIZE(piece) > PY_SSIZE_T_MAX - size) {
            PyErr_SetString(PyExc_TypeError, "a piece is bytes");
            return NULL;
        }
        size += PyBytes_GET_SIZE(piece);
    }
    PyObject *result = PyBytes_FromStringAndSize(NULL, size);
    if (result == NULL)
        return NULL;
    char *into = PyBytes_AS_STRING(result);
    int gap = 0; /* whether there is space between what is written and what comes */
    for (Py_ssize_t at = 0; at < PyList_GET_SIZE(pieces); at++) {
        const char *piece = PyBytes_AS_STRING(PyList_GET_ITEM(pieces, at));
        const char *end = piece + PyBytes_GET_SIZE(PyList_GET_ITEM(pieces, at));
        for (; piece < end; piece++) {
            if (is_space(*piece)) {
                gap = written > 0;
                continue;
            }
            if (gap)
                into[written++] = ' ';
            gap = 0;
            into[written++] = *piece;
        }
    }
    return _PyBytes_Resize(&result, written) < 0 ? NULL : result;
}

static int is_same_letter(char c, char small) { return c == small || c == small - 32; }

/* Where what is in a link begins behind its "http://" or "www.", 0 if none begins at this place. */
static Py_ssize_t link_start(const char *text, Py_ssize_t at, Py_ssize_t size)
{
    if (is_same_letter(text[at], 'w'))
        return size - at > 4 && is_same_letter(text[at + 1], 'w') && is_same_letter(text[at + 2], 'w') && text[at + 3] == '.'
            ? at + 4
            : 0;
    if (size - at <= 7 || !is_same_letter(text[at + 1], 't') || !is_same_letter(text[at + 2], 't')
        || !is_same_letter(text[at + 3], 'p'))
        return 0;
    at += 4;
    at += is_same_letter(text[at], 's');
    return size - at > 3 && memcmp(text + at, "://", 3) == 0 ? at + 3 : 0;
}

static int is_of_link(char c) { return !is_space(c) && memchr("<>\"')]", c, 6) == NULL; }

PyObject *urls(PyObject *module, PyObject *arguments)
{
    (void)module;
    PyObject *found, *all = PyList_New(0);
    Py_ssize_t most;
    if (all == NULL || !PyArg_ParseTuple(arguments, "Sn", &found, &most)) {
        Py_XDECREF(all);
        return NULL;
    }
    const char *text = PyBytes_AS_STRING(found);
    Py_ssize_t size = PyBytes_GET_SIZE(found);
    for (Py_ssize_t at = 0; at < size && PyList_GET_SIZE(all) < most; at++) {
        char c = (char)(text[at] | 32);
        if (c != 'h' && c != 'w')
            continue;
        Py_ssize_t start = link_start(text, at, size), end = start;
        while (start > 0 && end < size && end - start < MAX_URL && is_of_link(text[end]))
            end++;
        if (end == start)
            continue;
        PyObject *one = PyBytes_FromStringAndSize(text + at, end - at);
        if (one == NULL || PyList_Append(all, one) < 0) {
            Py_XDECREF(one);
            Py_DECREF(all);
            return NULL;
        }
        Py_DECREF(one);
        at = end - 1;
    }
    return all;
}
