/* What the trace of a message says (RFC 5321 section 4.4), as _read_new_hop() of dspam/headers.py reads it: that is the reference.
 *
 * Each search goes through the value once; no value is longer than MOST_VALUE.
 */
#include "_facts.h"

/* Octets from here on that are neither spaces nor any of these, at most 100. */
static span_t run_without(span_t text, Py_ssize_t at, const char *marks, size_t number)
{
    Py_ssize_t end = at;
    while (end < text.size && end - at < 100 && !is_space_octet(text.at[end]) && memchr(marks, text.at[end], number) == NULL)
        end++;
    return (span_t){text.at + at, end - at};
}

/* What stands behind a word of its own and spaces, with a "<" before it or not; found.size is 0 where nothing does. */
static span_t behind_word(span_t text, span_t word, const char *marks, size_t number, int bracket, Py_ssize_t least)
{
    for (Py_ssize_t at = 0; at + word.size < text.size; at++) {
        if (!says(text, at, word) || (at > 0 && is_word_octet(text.at[at - 1])))
            continue;
        Py_ssize_t start = past_spaces(text, at + word.size);
        if (start == at + word.size)
            continue;
        if (bracket && start < text.size && text.at[start] == '<')
            start++;
        span_t found = run_without(text, start, marks, number);
        if (found.size >= least)
            return found;
    }
    return (span_t){text.at, 0};
}

/* The name of a "HELO" that is written out: where what follows it begins, or the place itself. */
static Py_ssize_t past_helo(span_t text, Py_ssize_t at)
{
    Py_ssize_t word = at + (at < text.size && text.at[at] == '(');
    if (!says(text, word, SPAN("helo")))
        return at;
    Py_ssize_t end = past_spaces(text, word + 4);
    return end > word + 4 ? end : at;
}

static const char NO_SENDER[] = ";()[]";

/* Who the sender says it is; `told` is what stands in the brackets behind it, or empty. Nothing has no size. */
static span_t sender_of(span_t text, span_t *told)
{
    *told = (span_t){text.at, 0};
    for (Py_ssize_t at = 0; at + 4 < text.size; at++) {
        if (!says(text, at, SPAN("from")))
            continue;
        Py_ssize_t start = past_spaces(text, at + 4);
        if (start == at + 4)
            continue;
        span_t found = run_without(text, past_helo(text, start), NO_SENDER, 5);
        if (!found.size)
            found = run_without(text, start, NO_SENDER, 5);
        if (!found.size)
            continue;
        Py_ssize_t open = past_spaces(text, found.at + found.size - text.at);
        if (open < text.size && text.at[open] == '(') {
            Py_ssize_t end = open + 1;
            while (end < text.size && end - open <= 200 && text.at[end] != '(' && text.at[end] != ')')
                end++;
            *told = (span_t){text.at + open + 1, end - open - 1};
        }
        return found;
    }
    return *told;
}

/* Up to three digits from here on, in a number of no more; 0 if none stand here. */
static Py_ssize_t digits_at(span_t text, Py_ssize_t at)
{
    Py_ssize_t end = at;
    while (end < text.size && end - at < 3 && is_digit(text.at[end]))
        end++;
    return end - at;
}

/* The length of an address of four numbers that begins here, 0 if none does; the first two numbers are told. */
static Py_ssize_t address_at(span_t text, Py_ssize_t at, span_t numbers[2])
{
    Py_ssize_t end = at;
    for (int number = 0; number < 4; number++) {
        Py_ssize_t size = digits_at(text, end);
        if (!size)
            return 0;
        if (number < 2)
            numbers[number] = (span_t){text.at + end, size};
        end += size;
        char next = end < text.size ? text.at[end] : ' ';
        if (number == 3)
            return is_digit(next) || next == '.' ? 0 : end - at;
        if (next != '.')
            return 0;
        end++;
    }
    return 0;
}

static int add_networks(span_t text, PyObject *facts)
{
    int found = 0;
    for (Py_ssize_t at = 0; at < text.size && found < 3; at++) {
        span_t numbers[2];
        if (!is_digit(text.at[at]) || (at > 0 && (is_digit(text.at[at - 1]) || text.at[at - 1] == '.')))
            continue;
        Py_ssize_t size = address_at(text, at, numbers);
        if (!size)
            continue;
        if (FACT(facts, SPAN("net "), numbers[0], SPAN("."), numbers[1]) < 0 || FACT(facts, SPAN("net "), numbers[0]) < 0)
            return -1;
        found++;
        at += size - 1;
    }
    return 0;
}

/* Add the hosts of a value in small letters, each once. */
static int add_hosts(span_t small, PyObject *facts, PyObject *hosts)
{
    span_t known[MOST_VALUE / 4 + 1]; /* a host has four octets at least */
    Py_ssize_t count = 0;
    span_t host = next_host(small, 0);
    for (; host.size; host = next_host(small, host.at + host.size - small.at)) {
        Py_ssize_t same = 0;
        while (same < count && !same_octets(known[same], host))
            same++;
        if (same < count || count >= (Py_ssize_t)(sizeof known / sizeof *known))
            continue;
        known[count++] = host;
        span_t above[MOST_LABELS], owner = owner_of(host);
        int number = parents_of(host, above);
        for (int parent = 0; parent < number; parent++)
            if (FACT(facts, SPAN("via "), above[parent]) < 0)
                return -1;
        PyObject *name = PyBytes_FromStringAndSize(owner.at, owner.size);
        int failed = name == NULL || PySet_Add(hosts, name) < 0;
        Py_XDECREF(name);
        if (failed)
            return -1;
    }
    return 0;
}

static int add_sender(span_t hello, span_t told, span_t place, PyObject *facts)
{
    char shape[SHAPE], hello_small[MOST_VALUE], told_small[MOST_VALUE];
    hello = in_small(hello, hello_small);
    told = in_small(told, told_small);
    span_t known = next_host(told, 0);
    span_t how = !known.size ? SPAN("alone") : same_octets(known, hello) ? SPAN("same") : SPAN("other");
    if (FACT(facts, place, SPAN("hello "), shape_of(hello, shape)) < 0 || FACT(facts, place, SPAN("hello "), how) < 0)
        return -1;
    if (!known.size)
        return 0;
    span_t same = same_octets(owner_of(known), owner_of(hello)) ? SPAN("1") : SPAN("0");
    return FACT(facts, place, SPAN("name "), shape_of(known, shape)) < 0 || FACT(facts, place, SPAN("owner "), same) < 0 ? -1 : 0;
}

/* The protocol: letters behind "with", which is a word of its own. */
static int add_protocol(span_t text, span_t place, PyObject *facts)
{
    for (Py_ssize_t at = 0; at + 4 < text.size; at++) {
        if (memcmp(text.at + at, "with", 4) != 0 || (at > 0 && is_word_octet(text.at[at - 1])))
            continue;
        Py_ssize_t start = past_spaces(text, at + 4), size = 0;
        char upper[12];
        if (start == at + 4)
            continue;
        for (; size < 12 && start + size < text.size && is_letter(text.at[start + size]); size++)
            upper[size] = (char)(text.at[start + size] & ~32);
        if (size)
            return FACT(facts, place, SPAN("with "), ((span_t){upper, size}));
    }
    return 0;
}

/* How the MTA words it, without names and numbers. */
static int add_form(span_t text, span_t place, PyObject *facts)
{
    char form[301];
    Py_ssize_t size = 0, at = 0;
    text = first_of(text, 300);
    while ((at = past_spaces(text, at)) < text.size) {
        Py_ssize_t end = at;
        while (end < text.size && !is_space_octet(text.at[end]))
            end++;
        span_t word = {text.at + at, end - at}, bare = stripped(word, "()<>,", 5);
        int plain = bare.size > 0;
        for (Py_ssize_t letter = 0; letter < bare.size && plain; letter++)
            plain = is_letter(bare.at[letter]);
        if (!plain)
            word = SPAN("*");
        if (size)
            form[size++] = ' ';
        memcpy(form + size, word.at, (size_t)word.size);
        size += word.size;
        at = end;
    }
    return FACT(facts, place, SPAN("form "), first_of((span_t){form, size}, 80));
}

static int has_forged(span_t text)
{
    for (Py_ssize_t at = 0; at + 6 <= text.size; at++)
        if (text.at[at] == 'f' && memcmp(text.at + at, "forged", 6) == 0)
            return 1;
    return 0;
}

static int add_recipient(span_t text, span_t place, PyObject *facts, PyObject *recipients)
{
    char small[100];
    span_t found = behind_word(text, SPAN("for"), "<>;", 3, 1, 3);
    if (!found.size)
        return 0;
    found = in_small(found, small);
    PyObject *name = PyBytes_FromStringAndSize(found.at, found.size);
    int listed = name == NULL ? -1 : PySet_Contains(recipients, name);
    Py_XDECREF(name);
    return listed < 0 ? -1 : FACT(facts, place, SPAN("for listed "), listed ? SPAN("1") : SPAN("0"));
}

int read_hop(span_t value, span_t place, PyObject *facts, PyObject *hosts, PyObject *recipients)
{
    char small[MOST_VALUE], shape[SHAPE];
    span_t told, sender = sender_of(value, &told), receiver = behind_word(value, SPAN("by"), ";()", 3, 0, 1);
    if (add_networks(value, facts) < 0 || add_hosts(in_small(value, small), facts, hosts) < 0)
        return -1;
    if (sender.size && add_sender(sender, told, place, facts) < 0)
        return -1;
    if (has_forged(value) && FACT(facts, place, SPAN("may be forged")) < 0)
        return -1;
    if (receiver.size && FACT(facts, place, SPAN("by "), shape_of(receiver, shape)) < 0)
        return -1;
    if (add_protocol(value, place, facts) < 0 || add_form(value, place, facts) < 0)
        return -1;
    return add_recipient(value, place, facts, recipients);
}
