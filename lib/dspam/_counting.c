/* Looks up what was counted for the keys of a message, as dspam/store/table.py does it, and forms the five opinions of it, as
 * dspam/learner.py does it. Those are the references, and a test compares both.
 *
 * Arrays come as buffers, whose sizes are looked at before anything is read.
 */
#include "_counting.h"
#include <math.h>
#include <stdint.h>
#include <string.h>

enum { BUCKET = 8, AHEAD = 16, MAX_STRONGEST = 64, LOGARITHMS = 128, ROW = 3 * sizeof(int32_t) };
enum { HEADER, WORD, PAIR, STRUCTURE };

typedef struct {
    const int64_t *keys; /* a power of two of buckets, each of BUCKET slots that fill from the front; 0 is none */
    uint64_t buckets, factor;
    int shift;
} table_t;

static int table_of(table_t *table, const Py_buffer *keys)
{
    table->keys = keys->buf;
    table->buckets = (uint64_t)keys->len / (BUCKET * sizeof(int64_t));
    uint64_t room = table->shift > 0 && table->shift < 64 ? UINT64_C(1) << (64 - table->shift) : 0;
    if (room == 0 || table->buckets != room || (uint64_t)keys->len != room * BUCKET * sizeof(int64_t)) {
        PyErr_SetString(PyExc_ValueError, "a table of another size");
        return -1;
    }
    return 0;
}

static uint64_t preferred(const table_t *table, int64_t key) { return ((uint64_t)key * table->factor) >> table->shift; }

/* The slot of a key, -1 if it isn't there. */
static int64_t find(const table_t *table, int64_t key)
{
    uint64_t bucket = preferred(table, key);
    for (uint64_t tries = 0; tries < table->buckets; tries++) {
        const int64_t *slot = table->keys + bucket * BUCKET;
        for (int at = 0; at < BUCKET; at++)
            if (slot[at] == key)
                return (int64_t)(bucket * BUCKET) + at;
        if (slot[BUCKET - 1] == 0)
            return -1;
        bucket = (bucket + 1) & (table->buckets - 1);
    }
    return -1;
}

/* Ask for the slots of a key that is wanted soon: the memory is slower than all that is done here. */
static void announce(const table_t *table, const int64_t *keys, Py_ssize_t at, Py_ssize_t count)
{
    if (at + AHEAD < count)
        __builtin_prefetch(table->keys + preferred(table, keys[at + AHEAD]) * BUCKET);
}

/* The slot of a key, or the empty one where it belongs; -1 in a table without room for it. */
static int64_t place_of(const table_t *table, int64_t key)
{
    uint64_t bucket = preferred(table, key);
    for (uint64_t tries = 0; tries < table->buckets; tries++) {
        const int64_t *slot = table->keys + bucket * BUCKET;
        for (int at = 0; at < BUCKET; at++)
            if (slot[at] == key || slot[at] == 0)
                return (int64_t)(bucket * BUCKET) + at;
        bucket = (bucket + 1) & (table->buckets - 1);
    }
    return -1;
}

/* Add to the counts of one key; numbers go round at their ends, as numpy's do. */
static void add_row(char *counts, const char *deltas, uint32_t sign)
{
    uint32_t now[3], more[3];
    memcpy(now, counts, ROW);
    memcpy(more, deltas, ROW);
    for (int column = 0; column < 3; column++)
        now[column] += sign * more[column];
    memcpy(counts, now, ROW);
}

/* Add up to so many new keys, and what is added to all: returns how many there are, and leaves `at` where there was no more room.
 * Slots are found for some keys at once, so that the memory is asked for the counts of all of them. */
static Py_ssize_t add_all(const table_t *table, int64_t *table_keys, char *table_counts, const int64_t *keys, const char *deltas,
    Py_ssize_t count, uint32_t sign, Py_ssize_t room, Py_ssize_t *at)
{
    Py_ssize_t fresh = 0;
    int full = 0;
    while (*at < count && !full) {
        int64_t slots[AHEAD];
        int found = 0;
        for (; found < AHEAD && *at + found < count; found++) {
            announce(table, keys, *at + found, count);
            int64_t key = keys[*at + found], slot = place_of(table, key);
            full = slot < 0 || (table_keys[slot] != key && fresh == room);
            if (full)
                break;
            fresh += table_keys[slot] != key;
            table_keys[slot] = key;
            slots[found] = slot;
            __builtin_prefetch(table_counts + slot * ROW, 1);
        }
        for (int one = 0; one < found; one++, ++*at)
            add_row(table_counts + slots[one] * ROW, deltas + *at * ROW, sign);
    }
    return fresh;
}

PyObject *add_counts(PyObject *module, PyObject *arguments)
{
    (void)module;
    Py_buffer keys, table_keys, table_counts, deltas;
    table_t table = {0};
    unsigned long long factor;
    Py_ssize_t at, room;
    int sign;
    PyObject *done = NULL;
    if (!PyArg_ParseTuple(arguments, "y*w*w*Kiy*inn", &keys, &table_keys, &table_counts, &factor, &table.shift, &deltas, &sign, &at,
            &room))
        return NULL;
    table.factor = factor;
    Py_ssize_t count = keys.len / (Py_ssize_t)sizeof(int64_t);
    if (keys.len % (Py_ssize_t)sizeof(int64_t) != 0 || deltas.len != count * ROW || at < 0 || room < 0
        || table_counts.len != table_keys.len / (Py_ssize_t)sizeof(int64_t) * ROW)
        PyErr_SetString(PyExc_ValueError, "three counts for each key are wanted");
    else if (table_of(&table, &table_keys) == 0) {
        Py_ssize_t fresh = add_all(
            &table, table_keys.buf, table_counts.buf, keys.buf, deltas.buf, count, (uint32_t)sign, room, &at);
        done = Py_BuildValue("nn", at, fresh);
    }
    PyBuffer_Release(&keys);
    PyBuffer_Release(&table_keys);
    PyBuffer_Release(&table_counts);
    PyBuffer_Release(&deltas);
    return done;
}

PyObject *slots(PyObject *module, PyObject *arguments)
{
    (void)module;
    Py_buffer keys, table_keys, found;
    table_t table = {0};
    unsigned long long factor;
    PyObject *done = NULL;
    if (!PyArg_ParseTuple(arguments, "y*y*Kiw*", &keys, &table_keys, &factor, &table.shift, &found))
        return NULL;
    table.factor = factor;
    Py_ssize_t count = keys.len / (Py_ssize_t)sizeof(int64_t);
    if (keys.len % (Py_ssize_t)sizeof(int64_t) != 0 || found.len != keys.len)
        PyErr_SetString(PyExc_ValueError, "a slot for each key is wanted");
    else if (table_of(&table, &table_keys) == 0) {
        const int64_t *wanted = keys.buf;
        int64_t *slot = found.buf;
        for (Py_ssize_t at = 0; at < count; at++) {
            announce(&table, wanted, at, count);
            slot[at] = find(&table, wanted[at]);
        }
        done = Py_NewRef(Py_None);
    }
    PyBuffer_Release(&keys);
    PyBuffer_Release(&table_keys);
    PyBuffer_Release(&found);
    return done;
}

/* The counts of keys. A slot is kept in its row until all are found, so that the memory is asked for many counts at once. */
static void find_all(const table_t *table, const int64_t *keys, Py_ssize_t count, const char *table_counts, char *rows)
{
    for (Py_ssize_t at = 0; at < count; at++) {
        announce(table, keys, at, count);
        int64_t slot = find(table, keys[at]);
        if (slot >= 0)
            __builtin_prefetch(table_counts + slot * ROW);
        memcpy(rows + at * ROW, &slot, sizeof slot);
    }
    for (char *row = rows; row < rows + count * ROW; row += ROW) {
        int64_t slot;
        memcpy(&slot, row, sizeof slot);
        if (slot < 0)
            memset(row, 0, ROW);
        else
            memcpy(row, table_counts + slot * ROW, ROW);
    }
}

PyObject *counts(PyObject *module, PyObject *arguments)
{
    (void)module;
    Py_buffer keys, table_keys, table_counts, found;
    table_t table = {0};
    unsigned long long factor;
    PyObject *done = NULL;
    if (!PyArg_ParseTuple(
            arguments, "y*y*y*Kiw*", &keys, &table_keys, &table_counts, &factor, &table.shift, &found))
        return NULL;
    table.factor = factor;
    Py_ssize_t count = keys.len / (Py_ssize_t)sizeof(int64_t);
    if (keys.len % (Py_ssize_t)sizeof(int64_t) != 0 || found.len != count * ROW
        || table_counts.len != table_keys.len / (Py_ssize_t)sizeof(int64_t) * ROW)
        PyErr_SetString(PyExc_ValueError, "three counts for each key are wanted");
    else if (table_of(&table, &table_keys) == 0) {
        find_all(&table, keys.buf, count, table_counts.buf, found.buf);
        done = Py_NewRef(Py_None);
    }
    PyBuffer_Release(&keys);
    PyBuffer_Release(&table_keys);
    PyBuffer_Release(&table_counts);
    PyBuffer_Release(&found);
    return done;
}

/* The strongest evidence on each side, the strongest first; `number` of each. */
typedef struct {
    double spam[MAX_STRONGEST], ham[MAX_STRONGEST];
    int number;
} strongest_t;

static void keep(double *kept, int number, double strength)
{
    if (strength <= kept[number - 1])
        return;
    int at = number - 1;
    for (; at > 0 && kept[at - 1] < strength; at--)
        kept[at] = kept[at - 1];
    kept[at] = strength;
}

static void note(strongest_t *strongest, double evidence)
{
    if (evidence > 0)
        keep(strongest->spam, strongest->number, evidence);
    else
        keep(strongest->ham, strongest->number, -evidence);
}

static double sum_of(const strongest_t *strongest)
{
    double sum = 0;
    for (int at = strongest->number - 1; at >= 0; at--)
        sum += strongest->spam[at] - strongest->ham[at];
    return sum;
}

typedef struct {
    double all_spam, all_ham, unseen, shy, telling, length, habit;
    double header, text, words, uneven;
    Py_ssize_t headers, known;
    strongest_t single, facts;
    double logarithms[LOGARITHMS];
    unsigned char is_known[LOGARITHMS];
} opinions_t;

/* The logarithm of a count and what is added to it; most counts are small, and few kinds of them come in one message. */
static double log_of(opinions_t *all, int32_t count)
{
    if (count >= LOGARITHMS)
        return log(count + all->unseen);
    if (!all->is_known[count]) {
        all->logarithms[count] = log(count + all->unseen);
        all->is_known[count] = 1;
    }
    return all->logarithms[count];
}

/* Take in one feature: what it is, and its counts. */
static void hear(opinions_t *all, unsigned kind, const int32_t *row)
{
    double weight = row[2] / 1024.0, evidence = 0, uneven = 0;
    /* A training whose counts were aged out meanwhile leaves less than nothing when it is taken back. */
    int32_t spam = row[0] > 0 ? row[0] : 0, ham = row[1] > 0 ? row[1] : 0;
    if (spam > 0 || ham > 0) {
        double in_spam = spam / all->all_spam, in_ham = ham / all->all_ham, hits = (double)spam + ham;
        uneven = fabs(in_spam - in_ham) / (in_spam + in_ham + 1e-12);
        evidence = (log_of(all, spam) - log_of(all, ham) + all->habit) * uneven * (hits / (hits + all->shy));
    }
    if (kind == HEADER) {
        double telling = uneven * all->telling;
        all->header += weight * (telling < 1 ? telling : 1);
        all->headers++;
        note(&all->facts, evidence);
        return;
    }
    all->text += weight;
    all->known += (row[0] | row[1]) != 0;
    if (kind == STRUCTURE)
        return;
    all->words += evidence;
    all->uneven += uneven * uneven;
    if (kind == WORD)
        note(&all->single, evidence);
}

PyObject *opinions(PyObject *module, PyObject *arguments)
{
    (void)module;
    Py_buffer keys, found;
    opinions_t all = {0};
    PyObject *said = NULL;
    if (!PyArg_ParseTuple(arguments, "y*y*ddddddii", &keys, &found, &all.all_spam, &all.all_ham, &all.unseen, &all.shy,
            &all.telling, &all.length, &all.single.number, &all.facts.number))
        return NULL;
    Py_ssize_t count = keys.len / (Py_ssize_t)sizeof(int64_t);
    if (keys.len % (Py_ssize_t)sizeof(int64_t) != 0 || found.len != count * ROW)
        PyErr_SetString(PyExc_ValueError, "three counts for each key are wanted");
    else if (all.single.number < 1 || all.single.number > MAX_STRONGEST || all.facts.number < 1
        || all.facts.number > MAX_STRONGEST)
        PyErr_SetString(PyExc_ValueError, "a number of the strongest that there is no room for");
    else {
        const int64_t *key = keys.buf;
        const int32_t *rows = found.buf;
        all.habit = log(all.all_ham / all.all_spam);
        for (Py_ssize_t at = 0; at < count; at++)
            hear(&all, (unsigned)(key[at] & 3), rows + 3 * at);
        said = Py_BuildValue("ddddd", all.headers > 0 ? all.header / sqrt((double)all.headers) : 0.0,
            all.text / sqrt(1.0 + (double)all.known), all.words / pow(1.0 + all.uneven, all.length), sum_of(&all.single),
            sum_of(&all.facts));
    }
    PyBuffer_Release(&keys);
    PyBuffer_Release(&found);
    return said;
}
