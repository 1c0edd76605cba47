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
        while (piece < end) {
            if (is_space(*piece)) {
                gap = written > 0;
                piece++;
                continue;
            }
            if (gap)
                into[written++] = ' ';
            gap = 0;
            do
                into[written++] = *piece++;
            while (piece < end && !is_space(*piece));
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

enum { MAX_TARGET = 400, MAX_SEEN_TARGET = 1000, MAX_READ_TARGET = 200, MAX_SCHEME = 10, MAX_PATH = 60 };

/* The octets of a link without the spaces around it. */
static const char *trimmed(PyObject *target, Py_ssize_t *size)
{
    const char *start = PyBytes_AS_STRING(target), *end = start + PyBytes_GET_SIZE(target);
    while (start < end && is_space(*start))
        start++;
    while (end > start && is_space(end[-1]))
        end--;
    *size = end - start;
    return start;
}

/* The target if it is nothing but these octets, or else a new object; a new reference. */
static PyObject *cut_target(PyObject *target, const char *start, Py_ssize_t size, Py_ssize_t most)
{
    size = size < most ? size : most;
    return size == PyBytes_GET_SIZE(target) ? Py_NewRef(target) : PyBytes_FromStringAndSize(start, size);
}

static int append_new(PyObject *list, PyObject *one)
{
    int failed = one == NULL ? -1 : PyList_Append(list, one);
    Py_XDECREF(one);
    return failed;
}

/* Append a link as people see it: itself, if it is neither too long nor between spaces. */
static int append_link(PyObject *list, PyObject *link, const char *start, Py_ssize_t size)
{
    PyObject *target = PyTuple_GET_ITEM(link, 1), *shown = cut_target(target, start, size, MAX_SEEN_TARGET);
    if (shown == NULL)
        return -1;
    PyObject *one = shown == target ? Py_NewRef(link) : PyTuple_Pack(2, PyTuple_GET_ITEM(link, 0), shown);
    Py_DECREF(shown);
    return append_new(list, one);
}

PyObject *take_links(PyObject *module, PyObject *arguments)
{
    (void)module;
    PyObject *links, *targets, *seen;
    Py_ssize_t most;
    if (!PyArg_ParseTuple(
            arguments, "O!nO!O!", &PyList_Type, &links, &most, &PyList_Type, &targets, &PyList_Type, &seen))
        return NULL;
    if (links == targets || links == seen || targets == seen) {
        PyErr_SetString(PyExc_ValueError, "three lists are wanted");
        return NULL;
    }
    for (Py_ssize_t at = 0; at < most && at < PyList_GET_SIZE(links); at++) {
        PyObject *link = PyList_GET_ITEM(links, at);
        if (!PyTuple_Check(link) || PyTuple_GET_SIZE(link) != 2 || !PyBytes_Check(PyTuple_GET_ITEM(link, 1))) {
            PyErr_SetString(PyExc_TypeError, "a link is an element and a target");
            return NULL;
        }
        PyObject *target = PyTuple_GET_ITEM(link, 1);
        Py_ssize_t size;
        const char *start = trimmed(target, &size);
        if (PyList_GET_SIZE(targets) < most && append_new(targets, cut_target(target, start, size, MAX_TARGET)) < 0)
            return NULL;
        if (PyList_GET_SIZE(seen) < most && append_link(seen, link, start, size) < 0)
            return NULL;
    }
    Py_RETURN_NONE;
}

PyObject *link_parts(PyObject *module, PyObject *target)
{
    (void)module;
    char scheme[MAX_SCHEME];
    if (!PyBytes_Check(target)) {
        PyErr_SetString(PyExc_TypeError, "a target is bytes");
        return NULL;
    }
    Py_ssize_t size = PyBytes_GET_SIZE(target) < MAX_READ_TARGET ? PyBytes_GET_SIZE(target) : MAX_READ_TARGET, named = 0;
    const char *rest = PyBytes_AS_STRING(target), *end = rest + size;
    while (rest < end && is_space(*rest))
        rest++;
    while (end > rest && is_space(end[-1]))
        end--;
    const char *colon = memchr(rest, ':', (size_t)(end - rest));
    if (colon != NULL && colon - rest <= MAX_SCHEME) {
        for (named = 0; named < colon - rest; named++)
            scheme[named] = (char)(rest[named] >= 'A' && rest[named] <= 'Z' ? rest[named] + 32 : rest[named]);
        rest = colon + 1;
    }
    const char *path = end, *last = end;
    if (named != 6 || memcmp(scheme, "mailto", 6) != 0) {
        while (rest < end && *rest == '/')
            rest++;
        const char *slash = memchr(rest, '/', (size_t)(end - rest));
        path = slash == NULL ? end : slash + 1;
        end = slash == NULL ? end : slash;
    }
    Py_ssize_t length = last - path;
    return Py_BuildValue("y#y#y#", scheme, named, rest, (Py_ssize_t)(end - rest), path, length < MAX_PATH ? length : MAX_PATH);
}
