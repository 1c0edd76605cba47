/* What facts of a header are made of, as dspam/shapes.py and headers.py do it: those are the reference, and a test compares both. */
#include "_facts.h"

span_t in_small(span_t text, char *into)
{
    for (Py_ssize_t at = 0; at < text.size; at++)
        into[at] = lowered(text.at[at]);
    return (span_t){into, text.size};
}

span_t stripped(span_t text, const char *marks, size_t number)
{
    while (text.size > 0 && memchr(marks, *text.at, number) != NULL) {
        text.at++;
        text.size--;
    }
    while (text.size > 0 && memchr(marks, text.at[text.size - 1], number) != NULL)
        text.size--;
    return text;
}

int add_fact(PyObject *facts, const span_t *parts, int number)
{
    Py_ssize_t size = 0;
    for (int part = 0; part < number; part++)
        size += parts[part].size;
    PyObject *fact = PyBytes_FromStringAndSize(NULL, size);
    if (fact == NULL)
        return -1;
    char *into = PyBytes_AS_STRING(fact);
    for (int part = 0; part < number; part++) {
        memcpy(into, parts[part].at, (size_t)parts[part].size);
        into += parts[part].size;
    }
    int failed = PyList_Append(facts, fact);
    Py_DECREF(fact);
    return failed;
}

static char shape_octet(char c)
{
    if ((unsigned char)c >= 128)
        return '8';
    return is_capital_letter(c) ? 'A' : is_small_letter(c) ? 'a' : is_digit(c) ? '9' : c;
}

span_t shape_of(span_t text, char into[SHAPE])
{
    Py_ssize_t size = 0;
    text = first_of(text, 120);
    for (Py_ssize_t at = 0; at < text.size && size < SHAPE; at++) {
        char c = shape_octet(text.at[at]);
        int counts_once = is_letter(c) || is_digit(c);
        if (!counts_once || at == 0 || shape_octet(text.at[at - 1]) != c)
            into[size++] = c;
    }
    return (span_t){into, size};
}

span_t number_of(Py_ssize_t number, char into[24])
{
    char *end = into + 24, *at = end;
    do {
        *--at = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    return (span_t){at, end - at};
}

int bits_of(Py_ssize_t number)
{
    int bits = 0;
    for (; number > 0; number >>= 1)
        bits++;
    return bits;
}

/* Where the last labels begin, the last one first: how many there are, at most MOST_LABELS. */
static int labels_of(span_t host, Py_ssize_t starts[MOST_LABELS])
{
    int count = 0;
    for (Py_ssize_t at = host.size; at >= 0 && count < MOST_LABELS; at--)
        if (at == 0 || host.at[at - 1] == '.')
            starts[count++] = at;
    return count;
}

int parents_of(span_t host, span_t found[MOST_LABELS])
{
    Py_ssize_t starts[MOST_LABELS];
    int number = 0;
    host = stripped(host, ".", 1);
    int count = labels_of(host, starts);
    for (int label = (count < 4 ? count : 4) - 1; label > 0; label--)
        found[number++] = (span_t){host.at + starts[label], host.size - starts[label]};
    return number;
}

span_t owner_of(span_t host)
{
    Py_ssize_t starts[MOST_LABELS];
    host = stripped(host, ".", 1);
    int count = labels_of(host, starts);
    int label = count > 1 ? 1 : 0;
    if (count > 2 && starts[0] - 1 - starts[1] <= 3 && host.size - starts[0] == 2)
        label = 2;
    return (span_t){host.at + starts[label], host.size - starts[label]};
}

static int is_label(char c) { return is_small_letter(c) || is_digit(c) || c == '_' || c == '-'; }

/* Where the label ends that begins at this place. */
static Py_ssize_t label_end(span_t text, Py_ssize_t at)
{
    while (at < text.size && is_label(text.at[at]))
        at++;
    return at;
}

/* Where a top-level domain ends that begins at this place; 0 if none does. */
static Py_ssize_t top_end(span_t text, Py_ssize_t at)
{
    Py_ssize_t end = at;
    while (end < text.size && end - at < 20 && is_small_letter(text.at[end]))
        end++;
    if (end - at < 2)
        return 0;
    char next = end < text.size ? text.at[end] : ' ';
    return is_small_letter(next) || is_digit(next) || next == '.' ? 0 : end;
}

span_t next_host(span_t text, Py_ssize_t from)
{
    while (from < text.size) {
        if (!is_label(text.at[from])) {
            from++;
            continue;
        }
        /* Of all places where it could end, the last one counts. */
        Py_ssize_t found = 0, at = label_end(text, from);
        while (at + 1 < text.size && text.at[at] == '.' && is_label(text.at[at + 1])) {
            Py_ssize_t end = top_end(text, at + 1);
            found = end ? end : found;
            at = label_end(text, at + 1);
        }
        if (found)
            return (span_t){text.at + from, found - from};
        from = at;
    }
    return (span_t){text.at + text.size, 0};
}
