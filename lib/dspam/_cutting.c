/* Cuts the texts of a message into words and hashes them, as dspam/features.py does it: that is the reference, and a test
 * compares both on mutated messages. What a word is read as is asked of Python, which remembers it.
 *
 * All input is hostile. Every offset stays below `size` of the buffer that it points into, every array has room for one word
 * an octet, and new words stop at MAX_NEW octets, as the caller says.
 */
#include "_counting.h"
#include "_facts.h"
#include "_learning.h"
#include "_matching.h"
#include "_merging.h"
#include "_reading.h"
#include "_walking.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { SPACE, LETTER, OTHER };
enum { HEADER, WORD, PAIR, STRUCTURE };

#define MAX_TOKEN 40
#define MAX_LENGTH 24
#define MAX_READ_ANEW 2000
#define MAX_PIECES 12
#define POWERS 64

static uint64_t hash_table[256], folded_table[256];
static uint64_t powers[POWERS], next_power; /* of the base; products that do not wait for one another */
static unsigned char class_of[256], is_odd[256];

typedef struct {
    int32_t start, end; /* in the text, or in the new words */
    int32_t owner;
    unsigned char class, alone, spelt, fresh;
} word_t;

/* A word of letters: its number, what it is read as, and whether it has neighbours. */
typedef struct {
    int32_t word, said;
    unsigned char paired, single;
} own_t;

typedef struct {
    const unsigned char *text; /* all texts, a line feed behind each */
    int32_t size;
    word_t *words;
    int32_t count, from_text, room;
    own_t *own;
    int32_t own_count;
    unsigned char *fresh; /* the octets of the words that were read out of others */
    int32_t fresh_size, fresh_room;
    PyObject *readings, *joined;
} cut_t;

static uint64_t mix(uint64_t word)
{
    word ^= word >> 30;
    word *= UINT64_C(0xBF58476D1CE4E5B9);
    word ^= word >> 27;
    word *= UINT64_C(0x94D049BB133111EB);
    return word ^ (word >> 31);
}

static uint64_t hash_of(const unsigned char *octets, int32_t size, const uint64_t *table)
{
    uint64_t sum = 0, factor = 1;
    for (; size > POWERS; octets += POWERS, size -= POWERS) {
        uint64_t part = 0;
        for (int32_t at = 0; at < POWERS; at++)
            part += table[octets[at]] * powers[at];
        sum += part * factor;
        factor *= next_power;
    }
    uint64_t part = 0;
    for (int32_t at = 0; at < size; at++)
        part += table[octets[at]] * powers[at];
    return mix(sum + part * factor);
}

static int is_space(unsigned char c) { return class_of[c] == SPACE; }
static int is_small(unsigned char c) { return c >= 'a' && c <= 'z'; }
static int is_capital(unsigned char c) { return c >= 'A' && c <= 'Z'; }
static int is_han(unsigned char c) { return c >= 0xE3 && c <= 0xE9; }
static int is_separator(unsigned char c) { return c != 0 && strchr(".*+~^|\\!`", c) != NULL; }
static int character_size(unsigned char c) { return c < 0xC0 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4; }

/* Make room for more words, each of which may be of letters. */
static int make_room(cut_t *cut)
{
    size_t room = 2 * (size_t)cut->room + 64;
    word_t *words = PyMem_Realloc(cut->words, (room + 1) * sizeof *words);
    if (words != NULL)
        cut->words = words;
    own_t *own = PyMem_Realloc(cut->own, (room + 1) * sizeof *own);
    if (own != NULL)
        cut->own = own;
    if (words == NULL || own == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    cut->room = (int32_t)room;
    return 0;
}

/* The words of the text, in its order: runs of letters, and runs of other signs. */
static int find_words(cut_t *cut)
{
    unsigned char before = SPACE;
    cut->room = cut->size / 8; /* most texts have no more, and others are few */
    if (make_room(cut) < 0)
        return -1;
    for (int32_t at = 0; at < cut->size; at++) {
        unsigned char class = class_of[cut->text[at]];
        if (class == before)
            continue;
        if (before != SPACE)
            cut->words[cut->count - 1].end = at;
        before = class;
        if (class == SPACE)
            continue;
        if (cut->count == cut->room && make_room(cut) < 0)
            return -1;
        if (class == LETTER)
            cut->own[cut->own_count++] = (own_t){.word = cut->count, .said = cut->count, .paired = 1};
        cut->words[cut->count++] = (word_t){.start = at, .class = class, .alone = 1};
    }
    if (before != SPACE)
        cut->words[cut->count - 1].end = cut->size;
    cut->from_text = cut->count;
    return 0;
}

/* Say in whose text each word stands; texts are given by their lengths. */
static int find_owners(cut_t *cut, const int64_t *lengths, int32_t texts)
{
    int64_t end = 0;
    int32_t word = 0;
    for (int32_t owner = 0; owner < texts; owner++) {
        end += lengths[owner] + 1;
        for (; word < cut->count && cut->words[word].start < end; word++)
            cut->words[word].owner = owner;
    }
    return word == cut->count ? 0 : -1;
}

/* Take in words that were read out of others: the number of the first, -1 for none, -2 for an exception. */
static int32_t add(cut_t *cut, PyObject *readings, int32_t owner)
{
    if (readings == NULL)
        return -2;
    if (!PyTuple_Check(readings)) {
        PyErr_SetString(PyExc_TypeError, "readings must be a tuple of bytes");
        return -2;
    }
    Py_ssize_t number = PyTuple_GET_SIZE(readings), size = 0;
    for (Py_ssize_t at = 0; at < number; at++) {
        PyObject *one = PyTuple_GET_ITEM(readings, at);
        if (!PyBytes_Check(one)) {
            PyErr_SetString(PyExc_TypeError, "readings must be a tuple of bytes");
            return -2;
        }
        size += PyBytes_GET_SIZE(one);
    }
    if (number == 0 || size > cut->fresh_room - cut->fresh_size)
        return -1;
    if (number > cut->room - cut->count) {
        size_t room = (size_t)cut->room + (size_t)number + 64;
        word_t *larger = PyMem_Realloc(cut->words, (room + 1) * sizeof *larger);
        if (larger == NULL) {
            PyErr_NoMemory();
            return -2;
        }
        cut->words = larger;
        cut->room = (int32_t)room;
    }
    int32_t first = cut->count;
    for (Py_ssize_t at = 0; at < number; at++) {
        PyObject *one = PyTuple_GET_ITEM(readings, at);
        int32_t length = (int32_t)PyBytes_GET_SIZE(one);
        memcpy(cut->fresh + cut->fresh_size, PyBytes_AS_STRING(one), (size_t)length);
        cut->words[cut->count++] = (word_t){
            .start = cut->fresh_size, .end = cut->fresh_size + length, .owner = owner, .class = LETTER, .alone = 1, .fresh = 1};
        cut->fresh_size += length;
    }
    return first;
}

/* Let a new word stand for some of the text, which are no words then. */
static void replace(cut_t *cut, int32_t first, int32_t last, int32_t number)
{
    if (number < 0)
        return;
    int fresh = cut->words[cut->own[first].word].alone;
    if (fresh)
        cut->own[first].said = number;
    for (int32_t at = first; at < last; at++) {
        if (at >= first + fresh)
            cut->own[at].paired = 0;
        cut->words[cut->own[at].word].alone = 0;
    }
}

static word_t *word_of(const cut_t *cut, int32_t own) { return &cut->words[cut->own[own].word]; }

/* The sign that stands alone between this word of letters and the next one, -1 if none does that could join them. */
static int link_of(const cut_t *cut, int32_t own)
{
    const word_t *word = word_of(cut, own), *next = word_of(cut, own + 1);
    if (next->start - word->end != 1)
        return -1;
    unsigned char sign = cut->text[word->end];
    if (is_space(sign) && !(cut->own[own].single && cut->own[own + 1].single))
        return -1;
    return sign;
}

static int join_chain(cut_t *cut, int32_t first, int32_t last, unsigned char sign)
{
    int32_t count = last - first + 1, start = word_of(cut, first)->start, end = word_of(cut, last)->end, shortest = MAX_TOKEN;
    int spelled = count >= (is_space(sign) ? 4 : 3);
    for (int32_t at = first; at <= last && (spelled || count <= MAX_PIECES); at++) {
        int32_t length = word_of(cut, at)->end - word_of(cut, at)->start;
        spelled = spelled && cut->own[at].single;
        shortest = length < shortest ? length : shortest;
    }
    if (!spelled && !(is_separator(sign) && count <= MAX_PIECES && shortest <= 3))
        return 0;
    if (word_of(cut, first)->owner != word_of(cut, last)->owner || end - start > 4 * MAX_LENGTH)
        return 0;
    PyObject *found = PyObject_CallFunction(
        cut->joined, "y#y#", (const char *)cut->text + start, (Py_ssize_t)(end - start), (const char *)&sign, (Py_ssize_t)1);
    int32_t number = add(cut, found, word_of(cut, first)->owner);
    Py_XDECREF(found);
    if (number == -2)
        return -1;
    if (spelled)
        replace(cut, first, last + 1, number);
    return 0;
}

/* Find words that were written in pieces: "v i a g r a", "via*gra". */
static int join(cut_t *cut)
{
    for (int32_t at = 0; at < cut->own_count; at++) {
        const word_t *word = word_of(cut, at);
        cut->own[at].single = word->end - word->start == character_size(cut->text[word->start]);
    }
    for (int32_t first = 0; first + 1 < cut->own_count;) {
        int sign = link_of(cut, first);
        int32_t last = first + 1;
        if (sign >= 0) {
            while (last + 1 < cut->own_count && link_of(cut, last) == sign)
                last++;
            if (join_chain(cut, first, last, (unsigned char)sign) < 0)
                return -1;
        }
        /* The last word of a chain may begin the next one, by another sign. */
        first = last;
    }
    return 0;
}

/* The first word of letters that begins at this place or behind it. */
static int32_t own_from(const cut_t *cut, int64_t place)
{
    int32_t low = 0, high = cut->own_count;
    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        if (word_of(cut, middle)->start < place)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Words with "@" for "a", found by Python: places in the text, in pairs. */
static int read_signs(cut_t *cut, PyObject *spans)
{
    for (Py_ssize_t at = 0; at < PyList_GET_SIZE(spans); at++) {
        Py_ssize_t low, high;
        if (!PyArg_ParseTuple(PyList_GET_ITEM(spans, at), "nn", &low, &high))
            return -1;
        if (low < 0 || high < low || high > cut->size) {
            PyErr_SetString(PyExc_ValueError, "a place beyond the text");
            return -1;
        }
        int32_t first = own_from(cut, low), last = own_from(cut, high);
        if (first == last)
            continue;
        PyObject *found = PyObject_CallFunction(
            cut->joined, "y#y#", (const char *)cut->text + low, high - low, "@", (Py_ssize_t)1);
        int32_t number = add(cut, found, word_of(cut, first)->owner);
        Py_XDECREF(found);
        if (number == -2)
            return -1;
        replace(cut, first, last, number);
    }
    return 0;
}

/* Whether a word of the text may be read otherwise than it is written. */
static int is_odd_word(const cut_t *cut, const word_t *word)
{
    const unsigned char *text = cut->text;
    for (int32_t at = word->start; at < word->end; at++) {
        unsigned char c = text[at];
        if (is_odd[c])
            return 1;
        if (at >= 2 && c == text[at - 1] && c == text[at - 2])
            return 1;
        if (at >= 1 && ((c == 'I' && is_small(text[at - 1])) || (c == 'l' && is_capital(text[at - 1]))))
            return 1;
    }
    return 0;
}

/* Whether it is plain that a word has no readings: too long, or in ASCII with more digits than letters. */
static int is_no_word(const unsigned char *octets, int32_t size)
{
    int32_t letters = 0, digits = 0;
    if (size > 2 * MAX_LENGTH)
        return 1;
    for (int32_t at = 0; at < size; at++) {
        if (octets[at] >= 128)
            return 0;
        letters += is_small(octets[at]) || is_capital(octets[at]);
        digits += octets[at] >= '0' && octets[at] <= '9';
    }
    return letters < 2 || digits > letters || size > MAX_LENGTH;
}

/* Find words that are written in other letters than they are read in. */
static int read_odd(cut_t *cut)
{
    int looked = 0;
    for (int32_t at = 0; at < cut->own_count && looked < MAX_READ_ANEW; at++) {
        word_t *word = word_of(cut, at);
        if (!word->alone || !is_odd_word(cut, word))
            continue;
        looked++;
        int32_t size = word->end - word->start;
        if (is_no_word(cut->text + word->start, size))
            continue;
        PyObject *found
            = PyObject_CallFunction(cut->readings, "y#", (const char *)cut->text + word->start, (Py_ssize_t)size);
        int32_t number = add(cut, found, word->owner); /* which may move the words */
        Py_XDECREF(found);
        if (number == -2)
            return -1;
        if (number >= 0) {
            cut->own[at].said = number;
            word_of(cut, at)->spelt = 1;
        }
    }
    return 0;
}

/* End each word of the text within MAX_TOKEN octets, between two characters. */
static void shorten(cut_t *cut)
{
    for (int32_t at = 0; at < cut->from_text; at++) {
        word_t *word = &cut->words[at];
        if (word->end - word->start <= MAX_TOKEN)
            continue;
        word->end = word->start + MAX_TOKEN;
        while ((cut->text[word->end] & 0xC0) == 0x80 && word->end > word->start + 1)
            word->end--;
    }
}

enum { HEAP = 1024, FEW = 128 };

/* Sort by the octets of the keys, the lowest first: linear, whatever is sent. The result is in `keys`, as 8 is even. */
static void sort_by_octets(uint64_t *keys, uint64_t *other, size_t count)
{
    for (int shift = 0; shift < 64; shift += 8) {
        size_t places[256] = {0}, before = 0;
        for (size_t at = 0; at < count; at++)
            places[keys[at] >> shift & 255]++;
        for (int octet = 0; octet < 256; octet++) {
            size_t here = places[octet];
            places[octet] = before;
            before += here;
        }
        for (size_t at = 0; at < count; at++)
            other[places[keys[at] >> shift & 255]++] = keys[at];
        uint64_t *sorted = other;
        other = keys;
        keys = sorted;
    }
}

static void sort_few(uint64_t *keys, size_t count)
{
    for (size_t at = 1; at < count; at++) {
        uint64_t key = keys[at];
        size_t place = at;
        for (; place > 0 && keys[place - 1] > key; place--)
            keys[place] = keys[place - 1];
        keys[place] = key;
    }
}

/* Sort keys of 63 bits. Hashes spread over heaps that can be sorted one by one; those of somebody who made them alike do not. */
static void sort(uint64_t *keys, uint64_t *other, size_t count)
{
    size_t places[HEAP] = {0}, before = 0, most = 0;
    for (size_t at = 0; at < count; at++)
        places[keys[at] >> 53]++;
    for (int heap = 0; heap < HEAP; heap++) {
        size_t here = places[heap];
        most = here > most ? here : most;
        places[heap] = before;
        before += here;
    }
    if (most > FEW) { /* or the text says one thing again and again */
        sort_by_octets(keys, other, count);
        return;
    }
    for (size_t at = 0; at < count; at++)
        other[places[keys[at] >> 53]++] = keys[at];
    memcpy(keys, other, count * sizeof *keys);
    for (int heap = 0; heap < HEAP; heap++) {
        size_t from = heap == 0 ? 0 : places[heap - 1];
        sort_few(keys + from, places[heap] - from);
    }
}

static uint64_t key_of(uint64_t hash, unsigned kind) { return ((mix(hash) >> 1) & ~UINT64_C(3)) | kind; }

/* The keys of words and pairs, behind those of the facts; returns how many there are. */
static Py_ssize_t word_keys(
    const cut_t *cut, const uint64_t *places, const unsigned char *beside, uint64_t *hashes, uint64_t *keys)
{
    Py_ssize_t count = 0;
    for (int32_t at = 0; at < cut->count; at++) {
        const word_t *word = &cut->words[at];
        hashes[at] = hash_of((word->fresh ? cut->fresh : cut->text) + word->start, word->end - word->start,
            word->fresh ? hash_table : folded_table);
        if (word->alone)
            keys[count++] = key_of(
                hashes[at] ^ places[word->owner], word->spelt || beside[word->owner] ? STRUCTURE : WORD);
    }
    const own_t *first = NULL;
    for (int32_t at = 0; at < cut->own_count; at++) {
        const own_t *second = &cut->own[at];
        if (!second->paired)
            continue;
        if (first != NULL) {
            const word_t *one = &cut->words[first->word], *other = &cut->words[second->word];
            /* Characters that stand in two words already need no pairs. */
            int overlapping = is_han(cut->text[one->start]) && is_han(cut->text[other->start]);
            if (one->owner == other->owner && !overlapping && !beside[one->owner])
                keys[count++] = key_of(
                    (mix(hashes[first->said] + 1) * 3 + hashes[second->said]) ^ places[other->owner], PAIR);
        }
        first = second;
    }
    return count;
}

/* The keys of facts; of a list of bytes objects, as many as `count`. -1 for an exception. */
static Py_ssize_t fact_keys(PyObject *facts, Py_ssize_t headers, uint64_t *keys)
{
    for (Py_ssize_t at = 0; at < PyList_GET_SIZE(facts); at++) {
        PyObject *fact = PyList_GET_ITEM(facts, at);
        if (!PyBytes_Check(fact) || PyBytes_GET_SIZE(fact) > INT32_MAX) {
            PyErr_SetString(PyExc_TypeError, "facts must be bytes");
            return -1;
        }
        keys[at] = key_of(
            hash_of((const unsigned char *)PyBytes_AS_STRING(fact), (int32_t)PyBytes_GET_SIZE(fact), hash_table),
            at < headers ? HEADER : STRUCTURE);
    }
    return PyList_GET_SIZE(facts);
}

/* The keys in ascending order, each once, as bytes. */
static PyObject *unique(uint64_t *keys, uint64_t *other, Py_ssize_t count)
{
    sort(keys, other, (size_t)count);
    Py_ssize_t kept = 0;
    for (Py_ssize_t at = 0; at < count; at++)
        if (kept == 0 || keys[kept - 1] != keys[at])
            keys[kept++] = keys[at];
    return PyBytes_FromStringAndSize((const char *)keys, kept * (Py_ssize_t)sizeof *keys);
}

static PyObject *all_keys(cut_t *cut, PyObject *facts, Py_ssize_t headers, const uint64_t *places, const unsigned char *beside)
{
    size_t most = (size_t)PyList_GET_SIZE(facts) + (size_t)cut->count + (size_t)cut->own_count + 1;
    uint64_t *keys = PyMem_Malloc(most * sizeof *keys);
    uint64_t *other = PyMem_Malloc(most * sizeof *other); /* at first the hashes of words, which are no more */
    PyObject *found = NULL;
    if (keys == NULL || other == NULL)
        PyErr_NoMemory();
    else {
        Py_ssize_t count = fact_keys(facts, headers, keys);
        if (count >= 0)
            found = unique(keys, other, count + word_keys(cut, places, beside, other, keys + count));
    }
    PyMem_Free(keys);
    PyMem_Free(other);
    return found;
}

PyDoc_STRVAR(keys_doc,
    "keys(facts, headers, text, lengths, places, beside, spans, max_new, readings, joined) -> bytes\n\n"
    "The keys of a document in ascending order, 8 octets each in the machine's order.\n\n"
    "facts    list of bytes, of which so many (headers) are of the header\n"
    "text     all texts, a line feed behind each; lengths (int64), places (uint64) and beside (one octet each) are of each text\n"
    "spans    list of places in the text where words with '@' for a letter stand\n"
    "max_new  octets of words that are read out of others\n"
    "readings, joined  as dspam.disguise has them");

static PyObject *keys(PyObject *module, PyObject *arguments)
{
    (void)module;
    PyObject *facts, *spans, *found = NULL;
    Py_ssize_t headers;
    int max_new;
    Py_buffer text, lengths, places, beside;
    cut_t cut = {0};
    if (!PyArg_ParseTuple(arguments, "O!ny*y*y*y*O!iOO", &PyList_Type, &facts, &headers, &text, &lengths, &places, &beside,
            &PyList_Type, &spans, &max_new, &cut.readings, &cut.joined))
        return NULL;
    Py_ssize_t texts = beside.len;
    if (text.len > (1 << 24) || max_new < 0 || max_new > (1 << 24) || lengths.len != 8 * texts || places.len != 8 * texts) {
        PyErr_SetString(PyExc_ValueError, "sizes that do not fit");
        goto done;
    }
    cut.text = text.buf;
    cut.size = (int32_t)text.len;
    cut.fresh_room = max_new;
    cut.fresh = PyMem_Malloc((size_t)max_new + 1);
    if (cut.fresh == NULL) {
        PyErr_NoMemory();
        goto done;
    }
    if (find_words(&cut) < 0)
        goto done;
    if (find_owners(&cut, lengths.buf, (int32_t)texts) < 0) {
        PyErr_SetString(PyExc_ValueError, "a word that is in no text");
        goto done;
    }
    if (join(&cut) < 0 || read_signs(&cut, spans) < 0 || read_odd(&cut) < 0)
        goto done;
    shorten(&cut);
    found = all_keys(&cut, facts, headers, places.buf, beside.buf);
done:
    PyMem_Free(cut.words);
    PyMem_Free(cut.own);
    PyMem_Free(cut.fresh);
    PyBuffer_Release(&text);
    PyBuffer_Release(&lengths);
    PyBuffer_Release(&places);
    PyBuffer_Release(&beside);
    return found;
}

PyDoc_STRVAR(prepare_doc,
    "prepare(table, base, classes, fold, odd)\n\nTake over the tables of the reference: 256 uint64, a number, and 256 octets each.");

static PyObject *prepare(PyObject *module, PyObject *arguments)
{
    (void)module;
    Py_buffer table, classes, fold, odd;
    unsigned long long base;
    PyObject *done = NULL;
    if (!PyArg_ParseTuple(arguments, "y*Ky*y*y*", &table, &base, &classes, &fold, &odd))
        return NULL;
    if (table.len != sizeof hash_table || classes.len != 256 || fold.len != 256 || odd.len != 256)
        PyErr_SetString(PyExc_ValueError, "tables of 256 entries are wanted");
    else {
        memcpy(hash_table, table.buf, sizeof hash_table);
        memcpy(class_of, classes.buf, 256);
        for (int octet = 0; octet < 256; octet++)
            folded_table[octet] = hash_table[((const unsigned char *)fold.buf)[octet]];
        memcpy(is_odd, odd.buf, 256);
        next_power = 1;
        for (int power = 0; power < POWERS; power++) {
            powers[power] = next_power;
            next_power *= base;
        }
        done = Py_NewRef(Py_None);
    }
    PyBuffer_Release(&table);
    PyBuffer_Release(&classes);
    PyBuffer_Release(&fold);
    PyBuffer_Release(&odd);
    return done;
}

static PyMethodDef functions[] = {
    {"keys", keys, METH_VARARGS, keys_doc},
    {"prepare", prepare, METH_VARARGS, prepare_doc},
    {"counts", counts, METH_VARARGS, "Look keys up in a table, as dspam.store.table does it."},
    {"add", add_counts, METH_VARARGS, "Add to the counts of keys in a table, as dspam.store.table does it."},
    {"slots", slots, METH_VARARGS, "Find the slots of keys in a table, as dspam.store.table does it."},
    {"squeezed", squeezed, METH_O, "Two spaces for each gap, if there is a gap of three, as dspam.reading does it."},
    {"joined", joined_words, METH_O, "Pieces as one text with one space between words, as dspam.html does it."},
    {"urls", urls, METH_VARARGS, "The first links of a plain text, as dspam.reading finds them."},
    {"take_links", take_links, METH_VARARGS, "Take in where links lead, as dspam.reading does it."},
    {"link_parts", link_parts, METH_O, "The scheme, host and path of a link, as dspam.reading takes it apart."},
    {"opinions", opinions, METH_VARARGS, "Form the five opinions of a message, as dspam.learner does it."},
    {"learn", learn, METH_VARARGS, "What a lesson adds to the counts of features, as dspam.lesson has it."},
    {"merge", merge, METH_VARARGS, "Merge trainings into tokens of pages, as dspam.store.records does it."},
    {"walk", walk, METH_VARARGS, "Walk over the tags of an HTML document, as dspam.html does it."},
    {"header_facts", header_facts, METH_VARARGS, "The facts of a header, as HeaderFacts of dspam.headers collects them."},
    {"content_type", content_type_facts, METH_VARARGS, "Facts of a Content-Type, as dspam.headers has them."},
    {"words", words, METH_VARARGS, "Cut a text in ASCII into words, as antispam.protocols.signs.words does it."},
    {"match", match, METH_VARARGS, "Find phrases among words, as antispam.protocols.signs.phrases does it."},
    {"match_text", match_text, METH_VARARGS, "Find phrases in a text in ASCII: words() and match() in one pass."},
    {"word_filter", word_filter, METH_VARARGS, "Octets by which match_text() passes over words that begin no phrase."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_cutting", "Words and their keys, in one pass.", -1, functions, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__cutting(void);
PyMODINIT_FUNC PyInit__cutting(void) { return PyModule_Create(&definition); }
