#ifndef DSPAM_FACTS_H
#define DSPAM_FACTS_H
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <string.h>

/* Some octets of somebody else's. */
typedef struct {
    const char *at;
    Py_ssize_t size;
} span_t;

#define SPAN(literal) ((span_t){literal, (Py_ssize_t)sizeof(literal) - 1})

enum { SHAPE = 40, MOST_LABELS = 5 };

static inline int is_space_octet(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
static inline int is_small_letter(char c) { return c >= 'a' && c <= 'z'; }
static inline int is_capital_letter(char c) { return c >= 'A' && c <= 'Z'; }
static inline int is_letter(char c) { return is_small_letter(c) || is_capital_letter(c); }
static inline int is_digit(char c) { return c >= '0' && c <= '9'; }
static inline int is_alnum(char c) { return is_letter(c) || is_digit(c); }
static inline int is_word_octet(char c) { return is_alnum(c) || c == '_'; }
static inline char lowered(char c) { return is_capital_letter(c) ? (char)(c + ('a' - 'A')) : c; }

static inline int same_octets(span_t one, span_t other)
{
    return one.size == other.size && memcmp(one.at, other.at, (size_t)one.size) == 0;
}

static inline span_t first_of(span_t text, Py_ssize_t size)
{
    text.size = text.size < size ? text.size : size;
    return text;
}

static inline Py_ssize_t past_spaces(span_t text, Py_ssize_t at)
{
    while (at < text.size && is_space_octet(text.at[at]))
        at++;
    return at;
}

/* Whether this word, which is in small letters, stands here in letters of either case. */
static inline int says(span_t text, Py_ssize_t at, span_t word)
{
    if (text.size - at < word.size)
        return 0;
    for (Py_ssize_t letter = 0; letter < word.size; letter++)
        if (lowered(text.at[at + letter]) != word.at[letter])
            return 0;
    return 1;
}

/* A copy in small letters; `into` has room for it. */
span_t in_small(span_t text, char *into);

/* The text without these octets at its ends. */
span_t stripped(span_t text, const char *marks, size_t number);

/* Add a fact of several parts to the list; -1 with an exception. */
int add_fact(PyObject *facts, const span_t *parts, int number);

#define FACT(facts, ...) \
    add_fact((facts), (const span_t[]){__VA_ARGS__}, (int)(sizeof((const span_t[]){__VA_ARGS__}) / sizeof(span_t)))

/* The form of a text, in `into`: as shape() of shapes.py. */
span_t shape_of(span_t text, char into[SHAPE]);

/* A number in decimal digits. */
span_t number_of(Py_ssize_t number, char into[24]);

int bits_of(Py_ssize_t number);

/* As parents() and owner() of shapes.py, of a host in small letters: what they are is part of it. */
int parents_of(span_t host, span_t found[MOST_LABELS]);
span_t owner_of(span_t host);

/* Where a name of a host begins at `from` or behind it, as _HOST finds it; none has no size. */
span_t next_host(span_t text, Py_ssize_t from);

/* Add what a Received field says to the facts, and the organizational domains that it names to the hosts. `value` is the field's,
 * without its date and identifier, at most MOST_VALUE octets. -1 with an exception. */
enum { MOST_VALUE = 1000 };
int read_hop(span_t value, span_t place, PyObject *facts, PyObject *hosts, PyObject *recipients);

/* header_facts(fields, kinds, kind_of, decoded) -> facts */
PyObject *header_facts(PyObject *module, PyObject *arguments);

/* content_type(place, value) -> facts */
PyObject *content_type_facts(PyObject *module, PyObject *arguments);

#endif
