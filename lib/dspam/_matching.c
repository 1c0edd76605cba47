/* Finds phrases in the words of a text, as antispam/protocols/signs/words.py and phrases.py do it: these are the reference, and
 * a test compares both on drawn phrases and texts. Which patterns a word begins is asked of Python, which remembers it.
 */
#include "_matching.h"
#include <string.h>

static int is_alphanumeric(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static int append_word(PyObject *list, const char *letters, Py_ssize_t size)
{
    PyObject *word = PyUnicode_New(size, 127);
    if (word == NULL)
        return -1;
    memcpy(PyUnicode_1BYTE_DATA(word), letters, (size_t)size);
    int failed = PyList_Append(list, word);
    Py_DECREF(word);
    return failed;
}

/* Cuts the words; `letters` has room for the text. */
static int cut(PyObject *list, const unsigned char *text, Py_ssize_t size, const char *marks, const char *dropped,
    Py_ssize_t limit, char *letters)
{
    Py_ssize_t length = 0;
    for (Py_ssize_t at = 0; at <= size; at++) {
        unsigned char c = at < size ? text[at] : ' ';
        if (is_alphanumeric(c)) {
            letters[length++] = (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
            continue;
        }
        if (c && strchr(dropped, c))
            continue;
        if (length && PyList_GET_SIZE(list) < limit && append_word(list, letters, length) < 0)
            return -1;
        length = 0;
        if (PyList_GET_SIZE(list) >= limit)
            return 0;
        if (c && strchr(marks, c)) {
            char mark = (char)c;
            if (append_word(list, &mark, 1) < 0)
                return -1;
        }
    }
    return 0;
}

PyObject *words(PyObject *module, PyObject *arguments)
{
    (void)module;
    PyObject *text;
    const char *marks, *dropped;
    Py_ssize_t limit;
    if (!PyArg_ParseTuple(arguments, "Ussn", &text, &marks, &dropped, &limit))
        return NULL;
    if (PyUnicode_READY(text) < 0)
        return NULL;
    if (!PyUnicode_IS_ASCII(text)) {
        PyErr_SetString(PyExc_ValueError, "a text in ASCII is wanted");
        return NULL;
    }
    Py_ssize_t size = PyUnicode_GET_LENGTH(text);
    char *letters = PyMem_Malloc((size_t)size + 1);
    if (letters == NULL)
        return PyErr_NoMemory();
    PyObject *list = PyList_New(0);
    if (list != NULL && cut(list, PyUnicode_1BYTE_DATA(text), size, marks, dropped, limit, letters) < 0)
        Py_CLEAR(list);
    PyMem_Free(letters);
    return list;
}

enum { STEM = 3 }; /* letters of a word by which it is looked for among the beginnings */

/* The words of a text, and with what they are compared: what words are known to begin, who says it of others, the first letters
 * of beginnings, and how many words a gap may have. */
typedef struct {
    PyObject *list, *starts, *begin, *stems;
    Py_ssize_t size, gap;
} text_t;

static PyObject *wrong(const char *what)
{
    PyErr_SetString(PyExc_TypeError, what);
    return NULL;
}

static int is_decimal(PyObject *word)
{
    for (Py_ssize_t at = 0; at < PyUnicode_GET_LENGTH(word); at++)
        if (!Py_UNICODE_ISDECIMAL(PyUnicode_READ_CHAR(word, at)))
            return 0;
    return PyUnicode_GET_LENGTH(word) > 0;
}

/* Whether a word may stand at a place of a pattern; -1 with an exception. */
static int fits(PyObject *place, PyObject *word)
{
    int is_one = PySet_Contains(PyTuple_GET_ITEM(place, 0), word);
    if (is_one)
        return is_one;
    if (PyTuple_GET_ITEM(place, 2) == Py_True && is_decimal(word))
        return 1;
    PyObject *beginnings = PyTuple_GET_ITEM(place, 1);
    for (Py_ssize_t at = 0; at < PyTuple_GET_SIZE(beginnings); at++) {
        Py_ssize_t found = PyUnicode_Tailmatch(word, PyTuple_GET_ITEM(beginnings, at), 0, PY_SSIZE_T_MAX, -1);
        if (found)
            return (int)found;
    }
    return 0;
}

/* Whether a place is one: (words, beginnings, number, gap). */
static int is_place(PyObject *place)
{
    if (!PyTuple_Check(place) || PyTuple_GET_SIZE(place) != 4 || !PyFrozenSet_Check(PyTuple_GET_ITEM(place, 0)))
        return 0;
    PyObject *beginnings = PyTuple_GET_ITEM(place, 1);
    if (!PyTuple_Check(beginnings))
        return 0;
    for (Py_ssize_t at = 0; at < PyTuple_GET_SIZE(beginnings); at++)
        if (!PyUnicode_Check(PyTuple_GET_ITEM(beginnings, at)))
            return 0;
    return 1;
}

/* Where a pattern ends of which the places in `rest` follow, 0 where they do not, -1 with an exception. */
static Py_ssize_t end_of(PyObject *rest, const text_t *text, Py_ssize_t at)
{
    for (Py_ssize_t number = 0; number < PyTuple_GET_SIZE(rest); number++) {
        PyObject *place = PyTuple_GET_ITEM(rest, number);
        if (!is_place(place)) {
            wrong("a place is (words, beginnings, number, gap)");
            return -1;
        }
        Py_ssize_t last = at + 1 + (PyTuple_GET_ITEM(place, 3) == Py_True ? text->gap : 0);
        if (last > text->size)
            last = text->size;
        int found = 0;
        for (; at < last && !found; at++)
            if ((found = fits(place, PyList_GET_ITEM(text->list, at))) < 0)
                return -1;
        if (!found)
            return 0;
    }
    return at;
}

/* Whether a word that is not among the starts may begin a pattern all the same: as a number, or with the same letters as a
 * beginning of words; -1 with an exception. */
static int may_begin(PyObject *word, const text_t *text)
{
    if (is_decimal(word))
        return 1;
    PyObject *stem = PyUnicode_Substring(word, 0, STEM);
    if (stem == NULL)
        return -1;
    int found = PyDict_Contains(text->stems, stem);
    Py_DECREF(stem);
    return found;
}

/* What a word begins: (patterns by the word that follows, patterns otherwise), or None; a borrowed reference. */
static PyObject *start_of(PyObject *word, const text_t *text)
{
    PyObject *start = PyDict_GetItemWithError(text->starts, word);
    if (start == NULL) {
        int wanted = PyErr_Occurred() ? -1 : may_begin(word, text);
        if (wanted <= 0)
            return wanted ? NULL : Py_None;
        if ((start = PyObject_CallOneArg(text->begin, word)) == NULL)
            return NULL;
        int failed = PyDict_SetItem(text->starts, word, start);
        Py_DECREF(start);
        if (failed)
            return NULL;
    }
    if (start != Py_None
        && (!PyTuple_Check(start) || PyTuple_GET_SIZE(start) != 2 || !PyDict_Check(PyTuple_GET_ITEM(start, 0))
            || !PyTuple_Check(PyTuple_GET_ITEM(start, 1))))
        return wrong("a start is a dictionary and a tuple");
    return start;
}

/* Notes those of the patterns that the text says from its word `at` on, each line once. */
static int note(PyObject *found, PyObject *met, PyObject *patterns, const text_t *text, Py_ssize_t at)
{
    for (Py_ssize_t number = 0; number < PyTuple_GET_SIZE(patterns); number++) {
        PyObject *pattern = PyTuple_GET_ITEM(patterns, number);
        if (!PyTuple_Check(pattern) || PyTuple_GET_SIZE(pattern) < 3 || !PyTuple_Check(PyTuple_GET_ITEM(pattern, 2))) {
            wrong("a pattern has a family, a line and the rest of its places");
            return -1;
        }
        PyObject *line = PyTuple_GET_ITEM(pattern, 1);
        int known = PySet_Contains(met, line);
        Py_ssize_t end = known ? 0 : end_of(PyTuple_GET_ITEM(pattern, 2), text, at + 1);
        if (known < 0 || end < 0)
            return -1;
        if (!end)
            continue;
        PyObject *one = Py_BuildValue("(Onn)", pattern, at, end);
        int failed = one == NULL || PyList_Append(found, one) < 0 || PySet_Add(met, line) < 0;
        Py_XDECREF(one);
        if (failed)
            return -1;
    }
    return 0;
}

static int match_all(PyObject *found, PyObject *met, const text_t *text)
{
    for (Py_ssize_t at = 0; at < text->size; at++) {
        PyObject *start = start_of(PyList_GET_ITEM(text->list, at), text);
        if (start == NULL)
            return -1;
        if (start == Py_None)
            continue;
        PyObject *patterns = NULL;
        if (at + 1 < text->size)
            patterns = PyDict_GetItemWithError(PyTuple_GET_ITEM(start, 0), PyList_GET_ITEM(text->list, at + 1));
        if (patterns == NULL) {
            if (PyErr_Occurred())
                return -1;
            patterns = PyTuple_GET_ITEM(start, 1);
        }
        if (!PyTuple_Check(patterns)) {
            wrong("patterns are a tuple");
            return -1;
        }
        Py_INCREF(start); /* which holds the patterns */
        int failed = note(found, met, patterns, text, at);
        Py_DECREF(start);
        if (failed)
            return -1;
    }
    return 0;
}

PyObject *match(PyObject *module, PyObject *arguments)
{
    (void)module;
    PyObject *given;
    text_t text;
    if (!PyArg_ParseTuple(arguments, "OO!OO!n", &given, &PyDict_Type, &text.starts, &text.begin, &PyDict_Type, &text.stems,
            &text.gap))
        return NULL;
    if (text.gap < 0 || text.gap > 100) {
        PyErr_SetString(PyExc_ValueError, "a gap has 0 to 100 words");
        return NULL;
    }
    text.list = PySequence_List(given); /* of our own: Python is called on the way */
    if (text.list == NULL)
        return NULL;
    text.size = PyList_GET_SIZE(text.list);
    PyObject *found = PyList_New(0), *met = PySet_New(NULL);
    int failed = found == NULL || met == NULL;
    for (Py_ssize_t at = 0; at < text.size && !failed; at++)
        if (!PyUnicode_Check(PyList_GET_ITEM(text.list, at)) || PyUnicode_READY(PyList_GET_ITEM(text.list, at)) < 0)
            failed = wrong("words are strings") == NULL;
    if (failed || match_all(found, met, &text) < 0)
        Py_CLEAR(found);
    Py_XDECREF(met);
    Py_DECREF(text.list);
    return found;
}
