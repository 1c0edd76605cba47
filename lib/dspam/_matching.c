/* Finds phrases in the words of a text, as antispam/protocols/signs/words.py and phrases.py do it: these are the reference, and
 * a test compares both on drawn phrases and texts. Which patterns a word begins is asked of Python, which remembers it.
 */
#include "_matching.h"
#include <stdint.h>
#include <string.h>

enum { STEM = 3 }; /* letters of a word by which it is looked for among the beginnings */

/* A word of a text: where its letters are, their hash, that of its beginning (STEM letters), and, once it is asked for, the
 * string. */
typedef struct {
    Py_ssize_t start, size;
    uint32_t hash, stem;
    int digits; /* whether it has nothing else */
    PyObject *string;
} word_t;

/* The words of a text in ASCII. Their letters stand one after the other, which needs no more room than the text does. */
typedef struct {
    char *letters;
    word_t *words;
    Py_ssize_t count, room;
} cut_t;

static void drop(cut_t *cut)
{
    for (Py_ssize_t at = 0; at < cut->count; at++)
        Py_XDECREF(cut->words[at].string);
    PyMem_Free(cut->words);
    PyMem_Free(cut->letters);
}

static const uint32_t NO_LETTER = 2166136261u; /* FNV-1a */

static uint32_t with_letter(uint32_t hash, char c) { return (hash ^ (unsigned char)c) * 16777619u; }

/* Add the word whose letters were written from `start` on. */
static int add_word(cut_t *cut, Py_ssize_t start, Py_ssize_t size)
{
    if (cut->count == cut->room) {
        Py_ssize_t room = cut->room ? 2 * cut->room : 256;
        word_t *larger = PyMem_Realloc(cut->words, (size_t)room * sizeof *larger);
        if (larger == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        cut->words = larger;
        cut->room = room;
    }
    word_t *word = &cut->words[cut->count++];
    *word = (word_t){.start = start, .size = size, .hash = NO_LETTER, .digits = 1};
    for (Py_ssize_t at = 0; at < size; at++) {
        char c = cut->letters[start + at];
        word->digits &= c >= '0' && c <= '9';
        word->hash = with_letter(word->hash, c);
        if (at < STEM)
            word->stem = word->hash;
    }
    return 0;
}

/* What becomes of a character: a letter of a word, as a small one; a mark, which is a word; dropped; or nothing of a word. */
enum { PARTS, MARK, DROPPED };

static void classify(unsigned char kinds[128], const char *marks, const char *dropped)
{
    memset(kinds, PARTS, 128);
    for (const unsigned char *c = (const unsigned char *)marks; *c; c++)
        kinds[*c & 127] = MARK;
    for (const unsigned char *c = (const unsigned char *)dropped; *c; c++)
        kinds[*c & 127] = DROPPED;
    for (unsigned char c = 'a'; c <= 'z'; c++) {
        kinds[c] = c;
        kinds[c - 'a' + 'A'] = c;
    }
    for (unsigned char c = '0'; c <= '9'; c++)
        kinds[c] = c;
}

/* Cuts the first `limit` words of a text in ASCII. */
static int cut_words(cut_t *cut, PyObject *text, const char *marks, const char *dropped, Py_ssize_t limit)
{
    if (PyUnicode_READY(text) < 0)
        return -1;
    if (!PyUnicode_IS_ASCII(text)) {
        PyErr_SetString(PyExc_ValueError, "a text in ASCII is wanted");
        return -1;
    }
    const unsigned char *octets = PyUnicode_1BYTE_DATA(text);
    Py_ssize_t size = PyUnicode_GET_LENGTH(text), start = 0, end = 0;
    unsigned char kinds[128];
    classify(kinds, marks, dropped);
    cut->letters = PyMem_Malloc((size_t)size + 1);
    if (cut->letters == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t at = 0; at <= size && cut->count < limit; at++) {
        unsigned char kind = at < size ? kinds[octets[at]] : PARTS;
        if (kind > DROPPED) {
            cut->letters[end++] = (char)kind;
            continue;
        }
        if (kind == DROPPED)
            continue;
        if (end > start && add_word(cut, start, end - start) < 0)
            return -1;
        start = end;
        if (kind == MARK && cut->count < limit) {
            cut->letters[end++] = (char)octets[at];
            if (add_word(cut, start, 1) < 0)
                return -1;
            start = end;
        }
    }
    return 0;
}

static PyObject *as_string(const char *letters, Py_ssize_t size)
{
    PyObject *string = PyUnicode_New(size, 127);
    if (string != NULL)
        memcpy(PyUnicode_1BYTE_DATA(string), letters, (size_t)size);
    return string;
}

PyObject *words(PyObject *module, PyObject *arguments)
{
    (void)module;
    PyObject *text, *list = NULL;
    const char *marks, *dropped;
    Py_ssize_t limit;
    cut_t cut = {0};
    if (!PyArg_ParseTuple(arguments, "Ussn", &text, &marks, &dropped, &limit))
        return NULL;
    if (cut_words(&cut, text, marks, dropped, limit) == 0)
        list = PyList_New(cut.count);
    for (Py_ssize_t at = 0; list != NULL && at < cut.count; at++) {
        PyObject *word = as_string(cut.letters + cut.words[at].start, cut.words[at].size);
        if (word == NULL)
            Py_CLEAR(list);
        else
            PyList_SET_ITEM(list, at, word);
    }
    drop(&cut);
    return list;
}

/* A filter of words: bits for the hashes of words that may begin a pattern, of those that may do so whatever follows, of beginnings
 * of words, and two for each pair of a word and one that must follow, perhaps after a gap; "#" stands for every number. A word that
 * has none of its bits begins no pattern; one that has may begin none, too. The four stand one behind the other. */
enum { SOME = 1 << 14, OF_OPEN = SOME, OF_STEM = 2 * SOME, OF_PAIR = 4 * SOME, PAIRS = 1 << 16, FILTER_BITS = OF_PAIR + PAIRS };

static uint32_t bit_of(uint32_t hash) { return (hash ^ hash >> 16) & (SOME - 1); }

static uint32_t pair_of(uint32_t hash, uint32_t other) { return (hash ^ (other << 7 | other >> 25)) * 2654435761u; }

static int has_bit(const unsigned char *filter, uint32_t bit) { return filter[bit >> 3] >> (bit & 7) & 1; }

static int has_pair(const unsigned char *filter, uint32_t pair)
{
    return has_bit(filter, OF_PAIR + (pair & (PAIRS - 1))) && has_bit(filter, OF_PAIR + (pair >> 16));
}

static void set_bit(unsigned char *filter, uint32_t bit) { filter[bit >> 3] |= (unsigned char)(1 << (bit & 7)); }

static int hash_of(PyObject *word, uint32_t *hash)
{
    Py_ssize_t size;
    const char *letters = PyUnicode_Check(word) ? PyUnicode_AsUTF8AndSize(word, &size) : NULL;
    if (letters == NULL) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_TypeError, "words are strings");
        return -1;
    }
    *hash = NO_LETTER;
    for (Py_ssize_t at = 0; at < size; at++)
        *hash = with_letter(*hash, letters[at]);
    return 0;
}

static int add_to_filter(unsigned char *filter, PyObject *words, PyObject *pairs, PyObject *stems)
{
    uint32_t hash, other;
    for (Py_ssize_t at = 0; at < PyList_GET_SIZE(words); at++) {
        if (hash_of(PyList_GET_ITEM(words, at), &hash) < 0)
            return -1;
        set_bit(filter, bit_of(hash));
        set_bit(filter, OF_OPEN + bit_of(hash));
    }
    for (Py_ssize_t at = 0; at < PyList_GET_SIZE(stems); at++) {
        if (hash_of(PyList_GET_ITEM(stems, at), &hash) < 0)
            return -1;
        set_bit(filter, OF_STEM + bit_of(hash));
    }
    for (Py_ssize_t at = 0; at < PyList_GET_SIZE(pairs); at++) {
        PyObject *pair = PyList_GET_ITEM(pairs, at);
        if (!PyTuple_Check(pair) || PyTuple_GET_SIZE(pair) != 2) {
            PyErr_SetString(PyExc_TypeError, "a pair is two words");
            return -1;
        }
        if (hash_of(PyTuple_GET_ITEM(pair, 0), &hash) < 0 || hash_of(PyTuple_GET_ITEM(pair, 1), &other) < 0)
            return -1;
        set_bit(filter, bit_of(hash));
        uint32_t both = pair_of(hash, other);
        set_bit(filter, OF_PAIR + (both & (PAIRS - 1)));
        set_bit(filter, OF_PAIR + (both >> 16));
    }
    return 0;
}

PyObject *word_filter(PyObject *module, PyObject *arguments)
{
    (void)module;
    PyObject *words, *pairs, *stems;
    if (!PyArg_ParseTuple(arguments, "O!O!O!", &PyList_Type, &words, &PyList_Type, &pairs, &PyList_Type, &stems))
        return NULL;
    PyObject *filter = PyBytes_FromStringAndSize(NULL, FILTER_BITS / 8);
    if (filter == NULL)
        return NULL;
    unsigned char *bits = (unsigned char *)PyBytes_AS_STRING(filter);
    memset(bits, 0, FILTER_BITS / 8);
    if (add_to_filter(bits, words, pairs, stems) < 0)
        Py_CLEAR(filter);
    return filter;
}

/* The words of a text, and with what they are compared: what words are known to begin, who says it of others, the first letters
 * of beginnings, and how many words a gap may have. */
typedef struct {
    PyObject *list; /* of the words, or NULL */
    cut_t cut; /* or they themselves */
    const unsigned char *filter; /* with these */
    PyObject *starts, *begin, *stems;
    Py_ssize_t size, gap;
} text_t;

/* A word as a string; a borrowed reference. */
static PyObject *word_at(const text_t *text, Py_ssize_t at)
{
    if (text->list != NULL)
        return PyList_GET_ITEM(text->list, at);
    word_t *word = &text->cut.words[at];
    if (word->string == NULL)
        word->string = as_string(text->cut.letters + word->start, word->size);
    return word->string;
}

/* Whether the filter has a word: whatever follows, or with one of the words up to `last`. */
static int is_filtered(const unsigned char *filter, uint32_t hash, const word_t *word, const word_t *last)
{
    if (!has_bit(filter, bit_of(hash)))
        return 0;
    int found = has_bit(filter, OF_OPEN + bit_of(hash));
    while (!found && ++word <= last)
        found = has_pair(filter, pair_of(hash, word->hash));
    return found;
}

/* Whether a word may begin a pattern: if not, nobody need ask. */
static int may_matter(const text_t *text, Py_ssize_t at)
{
    if (text->list != NULL)
        return 1;
    Py_ssize_t left = text->size - 1 - at;
    const word_t *word = &text->cut.words[at], *last = word + (left < text->gap + 1 ? left : text->gap + 1);
    return is_filtered(text->filter, word->hash, word, last) || has_bit(text->filter, OF_STEM + bit_of(word->stem))
        || (word->digits && is_filtered(text->filter, with_letter(NO_LETTER, '#'), word, last));
}

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
        for (; at < last && !found; at++) {
            PyObject *word = word_at(text, at);
            if (word == NULL || (found = fits(place, word)) < 0)
                return -1;
        }
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

/* What was found: with the numbers of the words, or the words with a space between two. */
static PyObject *found_at(PyObject *pattern, const text_t *text, Py_ssize_t at, Py_ssize_t end)
{
    if (text->list != NULL)
        return Py_BuildValue("(Onn)", pattern, at, end);
    const word_t *first = &text->cut.words[at], *last = &text->cut.words[end - 1];
    PyObject *said = PyUnicode_New(last->start + last->size - first->start + (end - 1 - at), 127);
    if (said == NULL)
        return NULL;
    char *into = (char *)PyUnicode_1BYTE_DATA(said);
    for (const word_t *word = first; word <= last; word++) {
        if (word > first)
            *into++ = ' ';
        memcpy(into, text->cut.letters + word->start, (size_t)word->size);
        into += word->size;
    }
    return Py_BuildValue("(ON)", pattern, said);
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
        PyObject *one = found_at(pattern, text, at, end);
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
        if (!may_matter(text, at))
            continue;
        PyObject *word = word_at(text, at), *start = word == NULL ? NULL : start_of(word, text);
        if (start == NULL)
            return -1;
        if (start == Py_None)
            continue;
        PyObject *patterns = NULL;
        if (at + 1 < text->size) {
            if ((word = word_at(text, at + 1)) == NULL)
                return -1;
            patterns = PyDict_GetItemWithError(PyTuple_GET_ITEM(start, 0), word);
        }
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

/* What match_all() finds; NULL with an exception. */
static PyObject *all_found(const text_t *text)
{
    if (text->gap < 0 || text->gap > 100) {
        PyErr_SetString(PyExc_ValueError, "a gap has 0 to 100 words");
        return NULL;
    }
    PyObject *found = PyList_New(0), *met = PySet_New(NULL);
    if (found == NULL || met == NULL || match_all(found, met, text) < 0)
        Py_CLEAR(found);
    Py_XDECREF(met);
    return found;
}

PyObject *match(PyObject *module, PyObject *arguments)
{
    (void)module;
    PyObject *given, *found = NULL;
    text_t text = {0};
    if (!PyArg_ParseTuple(arguments, "OO!OO!n", &given, &PyDict_Type, &text.starts, &text.begin, &PyDict_Type, &text.stems,
            &text.gap))
        return NULL;
    text.list = PySequence_List(given); /* of our own: Python is called on the way */
    if (text.list == NULL)
        return NULL;
    text.size = PyList_GET_SIZE(text.list);
    int failed = 0;
    for (Py_ssize_t at = 0; at < text.size && !failed; at++)
        if (!PyUnicode_Check(PyList_GET_ITEM(text.list, at)) || PyUnicode_READY(PyList_GET_ITEM(text.list, at)) < 0)
            failed = wrong("words are strings") == NULL;
    if (!failed)
        found = all_found(&text);
    Py_DECREF(text.list);
    return found;
}

PyObject *match_text(PyObject *module, PyObject *arguments)
{
    (void)module;
    PyObject *given, *filter, *found = NULL;
    const char *marks, *dropped;
    Py_ssize_t limit;
    text_t text = {0};
    if (!PyArg_ParseTuple(arguments, "UssnO!OO!Sn", &given, &marks, &dropped, &limit, &PyDict_Type, &text.starts, &text.begin,
            &PyDict_Type, &text.stems, &filter, &text.gap))
        return NULL;
    if (PyBytes_GET_SIZE(filter) != FILTER_BITS / 8) {
        PyErr_SetString(PyExc_ValueError, "a filter is what word_filter() makes");
        return NULL;
    }
    text.filter = (const unsigned char *)PyBytes_AS_STRING(filter);
    if (cut_words(&text.cut, given, marks, dropped, limit) == 0) {
        text.size = text.cut.count;
        found = all_found(&text);
    }
    drop(&text.cut);
    return found;
}
