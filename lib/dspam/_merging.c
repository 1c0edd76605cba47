/* Merges what trainings add into the tokens of pages, as dspam/store/records.py does it: that is the reference, and a test
 * compares both.
 */
#include "_merging.h"
#include <stdint.h>
#include <string.h>

enum { TOKEN = 22, COUNTS = 3, ADDED = COUNTS * sizeof(int64_t) };

/* A token as a page has it: octets in the order of little-endian machines, nothing between them. */
typedef struct {
    int64_t key;
    int32_t counts[COUNTS];
    uint16_t day;
} token_t;

static token_t token_at(const char *octets)
{
    token_t token;
    memcpy(&token.key, octets, sizeof token.key);
    memcpy(token.counts, octets + 8, sizeof token.counts);
    memcpy(&token.day, octets + 20, sizeof token.day);
    return token;
}

/* Write a token, unless all of its counts are zero; returns where the next one belongs. */
static char *put(char *into, const token_t *token)
{
    if (token->counts[0] == 0 && token->counts[1] == 0 && token->counts[2] == 0)
        return into;
    memcpy(into, &token->key, sizeof token->key);
    memcpy(into + 8, token->counts, sizeof token->counts);
    memcpy(into + 20, &token->day, sizeof token->day);
    return into + TOKEN;
}

static int32_t clipped(int64_t count) { return (int32_t)(count < INT32_MIN ? INT32_MIN : count > INT32_MAX ? INT32_MAX : count); }

static void add(token_t *token, const char *added, uint16_t day)
{
    int64_t counts[COUNTS];
    memcpy(counts, added, sizeof counts);
    for (int column = 0; column < COUNTS; column++)
        token->counts[column] = clipped(token->counts[column] + counts[column]);
    token->day = token->day > day ? token->day : day;
}

/* Both are in ascending order, each key once. Returns the end of what was written. */
static char *merge_all(const char *token, const char *last, const int64_t *keys, const char *counts, const uint16_t *days,
    Py_ssize_t number, char *into)
{
    Py_ssize_t at = 0;
    while (token < last || at < number) {
        token_t one = {0};
        if (token < last)
            one = token_at(token);
        if (token < last && (at == number || one.key <= keys[at]))
            token += TOKEN;
        else
            one = (token_t){.key = keys[at]};
        if (at < number && one.key == keys[at]) {
            add(&one, counts + at * ADDED, days[at]);
            at++;
        }
        into = put(into, &one);
    }
    return into;
}

PyObject *merge(PyObject *module, PyObject *arguments)
{
    (void)module;
    Py_buffer tokens, keys, counts, days;
    PyObject *merged = NULL;
    if (!PyArg_ParseTuple(arguments, "y*y*y*y*", &tokens, &keys, &counts, &days))
        return NULL;
    Py_ssize_t number = keys.len / (Py_ssize_t)sizeof(int64_t);
    if (tokens.len % TOKEN != 0 || keys.len % (Py_ssize_t)sizeof(int64_t) != 0 || counts.len != number * (Py_ssize_t)ADDED
        || days.len != number * (Py_ssize_t)sizeof(uint16_t))
        PyErr_SetString(PyExc_ValueError, "three counts and a day for each key are wanted");
    else
        merged = PyBytes_FromStringAndSize(NULL, tokens.len + number * TOKEN);
    if (merged != NULL) {
        char *start = PyBytes_AS_STRING(merged), *token = tokens.buf;
        char *end = merge_all(token, token + tokens.len, keys.buf, counts.buf, days.buf, number, start);
        _PyBytes_Resize(&merged, end - start);
    }
    PyBuffer_Release(&tokens);
    PyBuffer_Release(&keys);
    PyBuffer_Release(&counts);
    PyBuffer_Release(&days);
    return merged;
}
