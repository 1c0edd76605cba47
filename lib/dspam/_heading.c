/* The facts of a header, as HeaderFacts of dspam/headers.py collects them: that is the reference, and a test compares both.
 *
 * Each value is gone through a few times, whatever is in it; what is kept of it has a size that is known before. Encoded words are
 * decoded in Python, which also says how a field of a new name is read, and is asked once for each.
 */
#include "_facts.h"

enum { MAX_FIELDS = 150, MAX_HOPS = 12, MAX_NAME = 40, MAX_LOCAL = 64, MAX_DOMAIN = 100, MAX_KINDS = 1024 };
enum { IGNORED, TRACE, DATE, READ }; /* as _CODES of headers.py */

enum {
    FROM, TO, SUBJECT, MESSAGE_ID, MIME_VERSION, CONTENT_TYPE, RETURN_PATH, REPLY_TO, SENDER, CC, IN_REPLY_TO, REFERENCES,
    DELIVERED_TO, OTHER
}; /* fields of which more is known */

static const span_t NAMES[OTHER] = {
    {"from", 4}, {"to", 2}, {"subject", 7}, {"message-id", 10}, {"mime-version", 12}, {"content-type", 12}, {"return-path", 11},
    {"reply-to", 8}, {"sender", 6}, {"cc", 2}, {"in-reply-to", 11}, {"references", 10}, {"delivered-to", 12}};

typedef struct {
    PyObject *facts, *hosts, *recipients, *order, *decoded;
    PyObject *values[OTHER]; /* of FROM and TO the first, of SUBJECT the last */
    int has[OTHER + 1], owner_size[OTHER + 1];
    char owners[OTHER + 1][MAX_DOMAIN];
    span_t trace[MAX_FIELDS];
    int hops;
} head_t;

static span_t span_of(PyObject *octets) { return (span_t){PyBytes_AS_STRING(octets), PyBytes_GET_SIZE(octets)}; }

static int name_of(span_t lower)
{
    int name = 0;
    while (name < OTHER && !same_octets(NAMES[name], lower))
        name++;
    return name;
}

static int is_address_field(int name)
{
    return name == FROM || name == REPLY_TO || name == RETURN_PATH || name == SENDER || name == TO || name == CC;
}

/* The words of a text with one space between two, at most so many octets of it. */
static span_t joined_up(span_t text, char *into, Py_ssize_t most)
{
    Py_ssize_t size = 0;
    for (Py_ssize_t at = past_spaces(text, 0); at < text.size && size < most; at++) {
        if (!is_space_octet(text.at[at])) {
            into[size++] = text.at[at];
            continue;
        }
        at = past_spaces(text, at) - 1;
        if (at + 1 < text.size)
            into[size++] = ' ';
    }
    return (span_t){into, size};
}

static int is_local(char c) { return is_alnum(c) || memchr("_.+=#&*-", c, 8) != NULL; }
static int is_domain(char c) { return is_alnum(c) || c == '.' || c == '-'; }

/* The first address at this place or behind it; none has no size. */
static span_t next_address(span_t text, Py_ssize_t from, span_t *local, span_t *domain)
{
    for (Py_ssize_t at = from; at < text.size; at++) {
        const char *sign = memchr(text.at + at, '@', (size_t)(text.size - at));
        if (sign == NULL)
            break;
        at = sign - text.at;
        Py_ssize_t start = at, end = at + 1;
        while (start > from && at - start < MAX_LOCAL && is_local(text.at[start - 1]))
            start--;
        while (end < text.size && end - at <= MAX_DOMAIN && is_domain(text.at[end]))
            end++;
        if (start == at || end == at + 1)
            continue;
        *local = (span_t){text.at + start, at - start};
        *domain = (span_t){sign + 1, end - at - 1};
        return (span_t){text.at + start, end - start};
    }
    return (span_t){text.at, 0};
}

static int add_recipient(head_t *head, span_t local, span_t domain)
{
    PyObject *name = PyBytes_FromStringAndSize(NULL, local.size + 1 + domain.size);
    if (name == NULL)
        return -1;
    memcpy(PyBytes_AS_STRING(name), local.at, (size_t)local.size);
    PyBytes_AS_STRING(name)[local.size] = '@';
    memcpy(PyBytes_AS_STRING(name) + local.size + 1, domain.at, (size_t)domain.size);
    int failed = PySet_Add(head->recipients, name);
    Py_DECREF(name);
    return failed;
}

static int add_address(head_t *head, int name, span_t local, span_t domain)
{
    char small_local[MAX_LOCAL], small_domain[MAX_DOMAIN], shape[SHAPE];
    span_t above[MOST_LABELS], field = NAMES[name];
    local = in_small(local, small_local);
    domain = in_small(domain, small_domain);
    if ((name == TO || name == CC) && add_recipient(head, local, domain) < 0)
        return -1;
    if (FACT(head->facts, field, SPAN(" "), local, SPAN("@"), domain) < 0
        || FACT(head->facts, field, SPAN(" "), shape_of(local, shape), SPAN("@")) < 0)
        return -1;
    int number = parents_of(domain, above);
    for (int parent = 0; parent < number; parent++)
        if (FACT(head->facts, field, SPAN(" @"), above[parent]) < 0)
            return -1;
    return 0;
}

/* The text with "w" for each run of words, in its place. */
static span_t without_words(span_t text, char *into)
{
    Py_ssize_t size = 0;
    for (Py_ssize_t at = 0; at < text.size;) {
        if (!is_word_octet(text.at[at])) {
            into[size++] = text.at[at++];
            continue;
        }
        while (at < text.size && (is_word_octet(text.at[at]) || memchr(" .,'", text.at[at], 4) != NULL))
            at++;
        into[size++] = 'w';
    }
    return (span_t){into, size};
}

static int add_forms(head_t *head, int name, span_t form, char *into, Py_ssize_t count)
{
    char shape[SHAPE], shown_shape[SHAPE], named[40], digits[24];
    const char *bracket = memchr(form.at, '<', (size_t)form.size);
    span_t shown = {form.at, bracket == NULL ? form.size : bracket - form.at};
    shown = stripped(shown, "\" ", 2);
    span_t shaped = first_of(shape_of(shown, shown_shape), 24);
    shown = in_small(first_of(shown, 40), named);
    form = first_of(shape_of(without_words(form, into), shape), 24);
    if (FACT(head->facts, NAMES[name], SPAN(" count "), number_of(bits_of(count), digits)) < 0
        || FACT(head->facts, NAMES[name], SPAN(" form "), form) < 0)
        return -1;
    if (name != FROM)
        return 0;
    return FACT(head->facts, SPAN("from name "), shaped) < 0 || FACT(head->facts, SPAN("from named "), shown) < 0 ? -1 : 0;
}

static int add_addresses(head_t *head, int name, span_t value)
{
    char *form = PyMem_Malloc((size_t)value.size + 1);
    if (form == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    Py_ssize_t count = 0, size = 0, at = 0;
    int failed = 0;
    span_t local, domain;
    for (;;) {
        span_t found = next_address(value, at, &local, &domain);
        Py_ssize_t until = found.size ? found.at - value.at : value.size;
        memcpy(form + size, value.at + at, (size_t)(until - at));
        size += until - at;
        if (!found.size)
            break;
        form[size++] = '@';
        at = until + found.size;
        if (count++ < 8 && add_address(head, name, local, domain) < 0) {
            failed = -1;
            break;
        }
    }
    if (!failed)
        failed = add_forms(head, name, (span_t){form, size}, form, count);
    PyMem_Free(form);
    return failed;
}

static int add_message_id(head_t *head, span_t value)
{
    char local_shape[SHAPE], domain_shape[SHAPE], digits[24], small[MAX_DOMAIN];
    span_t above[MOST_LABELS], local = stripped(value, "<> ", 3), domain = {value.at, 0};
    const char *sign = memchr(local.at, '@', (size_t)local.size);
    if (sign != NULL) {
        domain = (span_t){sign + 1, local.at + local.size - sign - 1};
        local.size = sign - local.at;
    }
    if (FACT(head->facts, SPAN("id "), shape_of(local, local_shape)) < 0
        || FACT(head->facts, SPAN("id length "), number_of(local.size, digits)) < 0
        || FACT(head->facts, SPAN("id domain "), first_of(shape_of(domain, domain_shape), 16)) < 0)
        return -1;
    int number = parents_of(in_small(first_of(domain, MAX_DOMAIN), small), above);
    for (int parent = 0; parent < number; parent++)
        if (FACT(head->facts, SPAN("id @"), above[parent]) < 0)
            return -1;
    return 0;
}

/* The next boundary=... of a Content-Type, and what it says; none has no size. */
static span_t next_boundary(span_t text, Py_ssize_t from, span_t *said)
{
    for (Py_ssize_t at = from; at + 8 < text.size; at++) {
        if (!says(text, at, SPAN("boundary")))
            continue;
        Py_ssize_t sign = past_spaces(text, at + 8);
        if (sign >= text.size || text.at[sign] != '=')
            continue;
        Py_ssize_t start = past_spaces(text, sign + 1);
        int quoted = start < text.size && text.at[start] == '"';
        Py_ssize_t end = start += quoted;
        while (end < text.size && end - start < 100 && text.at[end] != '"'
            && (quoted || (text.at[end] != ';' && !is_space_octet(text.at[end]))))
            end++;
        *said = (span_t){text.at + start, end - start};
        return (span_t){text.at + at, end - at};
    }
    return (span_t){text.at, 0};
}

/* The text with "" for what stands in quotes, in its place. */
static span_t without_quoted(span_t text, char *into)
{
    Py_ssize_t size = 0;
    for (Py_ssize_t at = 0; at < text.size; at++) {
        const char *close
            = text.at[at] != '"' ? NULL : memchr(text.at + at + 1, '"', (size_t)(text.size - at - 1));
        into[size++] = text.at[at];
        if (close == NULL)
            continue;
        at = close - text.at;
        into[size++] = '"';
    }
    return (span_t){into, size};
}

static int add_content_type(PyObject *facts, span_t place, span_t value)
{
    char *rest = PyMem_Malloc((size_t)value.size + 1), kept[60], shape[SHAPE], boundary_shape[SHAPE];
    if (rest == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    span_t said, boundary = {NULL, 0}, found;
    Py_ssize_t size = 0, at = 0;
    do {
        found = next_boundary(value, at, &said);
        if (found.size && boundary.at == NULL)
            boundary = said;
        Py_ssize_t until = found.size ? found.at - value.at : value.size;
        memcpy(rest + size, value.at + at, (size_t)(until - at));
        size += until - at;
        at = until + found.size;
    } while (found.size);
    span_t type = joined_up((span_t){rest, size}, kept, 60);
    type = in_small(type, kept);
    int failed = FACT(facts, SPAN("type"), place, SPAN(" "), type);
    if (!failed)
        failed = FACT(facts, SPAN("type"), place, SPAN(" form "), shape_of(without_quoted((span_t){rest, size}, rest), shape));
    if (!failed && boundary.at != NULL)
        failed = FACT(facts, SPAN("boundary "), shape_of(boundary, boundary_shape));
    PyMem_Free(rest);
    return failed;
}

static int add_other(head_t *head, span_t name, span_t value)
{
    char plain[60], shape[SHAPE];
    value = in_small(first_of(value, 60), plain);
    for (Py_ssize_t at = 0; at < value.size; at++)
        if (is_digit(plain[at]))
            plain[at] = '9';
    return FACT(head->facts, name, SPAN(": "), value) < 0 || FACT(head->facts, name, SPAN(" ~ "), shape_of(value, shape)) < 0
        ? -1
        : 0;
}

static int about_subject(head_t *head, span_t value)
{
    char shape[SHAPE];
    span_t begin = first_of(shape_of(first_of(value, 20), shape), 8), end = value;
    if (FACT(head->facts, SPAN("subject "), begin) < 0)
        return -1;
    if (end.size > 3)
        end = (span_t){value.at + value.size - 3, 3};
    if (FACT(head->facts, SPAN("subject end "), shape_of(end, shape)) < 0)
        return -1;
    int capital = 0, small = 0, spaces = 0, gap = 0;
    for (Py_ssize_t at = 0; at < value.size; at++) {
        capital |= is_capital_letter(value.at[at]);
        small |= is_small_letter(value.at[at]);
        spaces = value.at[at] == ' ' ? spaces + 1 : 0;
        gap |= spaces == 3;
    }
    if (capital && !small && FACT(head->facts, SPAN("subject capitals")) < 0)
        return -1;
    if (gap && FACT(head->facts, SPAN("subject gap")) < 0)
        return -1;
    int reply = says(value, 0, SPAN("re:"));
    if (reply || head->has[IN_REPLY_TO] || head->has[REFERENCES])
        return FACT(head->facts, SPAN("reply "), reply ? SPAN("1") : SPAN("0"));
    return 0;
}

/* Take in what a field says whose value is unfolded and decoded. */
static int read_value(head_t *head, span_t lower, span_t value)
{
    int name = name_of(lower), failed = 0, first = name == OTHER || !head->has[name];
    if (is_address_field(name))
        failed = add_addresses(head, name, value);
    else if (name == MESSAGE_ID)
        failed = add_message_id(head, value);
    else if (name == CONTENT_TYPE)
        failed = add_content_type(head->facts, SPAN(""), value);
    else if (name != SUBJECT && name != IN_REPLY_TO && name != REFERENCES && name != DELIVERED_TO)
        failed = add_other(head, lower, value);
    if (failed || name == OTHER)
        return failed;
    span_t local, domain;
    if (first && (is_address_field(name) || name == MESSAGE_ID) && next_address(value, 0, &local, &domain).size) {
        span_t owner = owner_of(in_small(domain, head->owners[name]));
        memmove(head->owners[name], owner.at, (size_t)owner.size);
        head->owner_size[name] = (int)owner.size;
    }
    head->has[name] = 1;
    if (name == SUBJECT || (first && (name == FROM || name == TO))) {
        PyObject *kept = PyBytes_FromStringAndSize(value.at, value.size);
        if (kept == NULL)
            return -1;
        Py_XSETREF(head->values[name], kept);
    }
    return name == SUBJECT ? about_subject(head, value) : 0;
}

static int has_encoded(span_t value)
{
    for (Py_ssize_t at = 0; at + 1 < value.size; at++)
        if (value.at[at] == '=' && value.at[at + 1] == '?')
            return 1;
    return 0;
}

static int is_ascii(span_t value)
{
    unsigned char all = 0;
    for (Py_ssize_t at = 0; at < value.size; at++)
        all |= (unsigned char)value.at[at];
    return all < 128;
}

static int read_field(head_t *head, span_t lower, span_t value)
{
    char plain[MOST_VALUE];
    value = joined_up(first_of(value, MOST_VALUE), plain, MOST_VALUE);
    if (!has_encoded(value)) {
        if (!is_ascii(value) && FACT(head->facts, SPAN("8bit "), lower) < 0)
            return -1;
        return read_value(head, lower, value);
    }
    PyObject *decoded = PyObject_CallFunction(head->decoded, "y#", value.at, value.size);
    int failed = decoded == NULL;
    if (!failed && !PyBytes_Check(decoded)) {
        PyErr_SetString(PyExc_TypeError, "a decoded value is bytes");
        failed = 1;
    }
    failed = failed || FACT(head->facts, SPAN("encoded "), lower) < 0 || read_value(head, lower, span_of(decoded)) < 0;
    Py_XDECREF(decoded);
    return failed ? -1 : 0;
}

static int read_date(head_t *head, span_t value)
{
    char shape[SHAPE];
    value = stripped(value, " \t\n\r\f\v", 6);
    span_t zone = value;
    for (Py_ssize_t at = value.size; at > 0; at--)
        if (value.at[at - 1] == ' ') {
            zone = (span_t){value.at + at, value.size - at};
            break;
        }
    return FACT(head->facts, SPAN("date "), shape_of(value, shape)) < 0 || FACT(head->facts, SPAN("zone "), first_of(zone, 12)) < 0
        ? -1
        : 0;
}

/* Put zeros for the identifier that an MTA gave the message: letters and digits behind "id", one digit at least. */
static void without_identifier(char *text, Py_ssize_t size)
{
    span_t whole = {text, size};
    for (Py_ssize_t at = 0; at + 3 < size; at++) {
        if (memcmp(text + at, "id ", 3) != 0 || (at > 0 && is_word_octet(text[at - 1])))
            continue;
        Py_ssize_t end = at + 3;
        int digits = 0;
        for (; end < whole.size && is_alnum(text[end]); end++)
            digits |= is_digit(text[end]);
        if (!digits || (end < size && !is_space_octet(text[end]) && text[end] != ';' && text[end] != ')'))
            continue;
        memset(text + at + 3, '0', (size_t)(end - at - 3));
        return;
    }
}

static int read_trace(head_t *head)
{
    char digits[24], value[MOST_VALUE];
    int shown = head->hops < MAX_HOPS ? head->hops : MAX_HOPS;
    if (FACT(head->facts, SPAN("hops "), number_of(shown, digits)) < 0)
        return -1;
    for (int place = 0; place < shown; place++) { /* the last one first; of very many the first ones and the last two */
        int hop = place < 2 || head->hops <= MAX_HOPS ? head->hops - 1 - place : shown - 1 - place;
        span_t whole = first_of(head->trace[hop], MOST_VALUE), dated = whole;
        while (dated.size > 0 && dated.at[dated.size - 1] != ';')
            dated.size--;
        if (dated.size > 1)
            whole.size = dated.size - 1; /* what follows is the date */
        memcpy(value, whole.at, (size_t)whole.size);
        without_identifier(value, whole.size);
        span_t read = {value, whole.size};
        if (read_hop(read, place ? SPAN("hop ") : SPAN("origin "), head->facts, head->hosts, head->recipients) < 0)
            return -1;
    }
    return 0;
}

static int add_sequence(head_t *head)
{
    static const int wanted[] = {FROM, TO, SUBJECT, MESSAGE_ID, MIME_VERSION, CONTENT_TYPE};
    char one[MAX_NAME], other[MAX_NAME], *room = one;
    span_t before = SPAN("^");
    Py_ssize_t count = PyList_GET_SIZE(head->order);
    for (Py_ssize_t at = 0; at < count; at++)
        if (FACT(head->facts, SPAN("has "), span_of(PyList_GET_ITEM(head->order, at))) < 0)
            return -1;
    for (Py_ssize_t at = 0; at <= count; at++) {
        span_t here = at < count ? in_small(span_of(PyList_GET_ITEM(head->order, at)), room) : SPAN("$");
        if (FACT(head->facts, SPAN("then "), before, SPAN(" "), here) < 0)
            return -1;
        before = here;
        room = room == one ? other : one;
    }
    for (size_t at = 0; at < sizeof wanted / sizeof *wanted; at++)
        if (!head->has[wanted[at]] && FACT(head->facts, SPAN("no "), NAMES[wanted[at]]) < 0)
            return -1;
    return 0;
}

static span_t owner_in(const head_t *head, int name) { return (span_t){head->owners[name], head->owner_size[name]}; }

static int on_the_way(const head_t *head, int name)
{
    span_t owner = owner_in(head, name);
    PyObject *domain = PyBytes_FromStringAndSize(owner.at, owner.size);
    int found = domain == NULL ? -1 : PySet_Contains(head->hosts, domain);
    Py_XDECREF(domain);
    return found;
}

/* Whether the text has this part, letters of either case. */
static int contains(span_t text, span_t small)
{
    for (Py_ssize_t at = 0; at + small.size <= text.size; at++)
        if (says(text, at, small))
            return 1;
    return 0;
}

static int add_people(head_t *head)
{
    if (head->values[FROM] == NULL || head->values[TO] == NULL)
        return 0;
    char small[MAX_LOCAL + 1 + MAX_DOMAIN];
    span_t local, domain, sender = next_address(span_of(head->values[FROM]), 0, &local, &domain);
    span_t receiver = next_address(span_of(head->values[TO]), 0, &local, &domain);
    if (!sender.size || !receiver.size)
        return 0;
    receiver = in_small(receiver, small);
    if (sender.size == receiver.size && says(sender, 0, receiver) && FACT(head->facts, SPAN("from is to")) < 0)
        return -1;
    span_t name = {small, local.size};
    if (name.size > 2 && head->values[SUBJECT] != NULL && contains(span_of(head->values[SUBJECT]), name))
        return FACT(head->facts, SPAN("recipient in subject"));
    return 0;
}

static int add_relations(head_t *head)
{
    static const int compared[] = {RETURN_PATH, REPLY_TO, SENDER, MESSAGE_ID, TO};
    for (size_t at = 0; at < sizeof compared / sizeof *compared; at++) {
        int name = compared[at], met = head->has[name] ? on_the_way(head, name) : 0;
        if (!head->has[name])
            continue;
        span_t same = same_octets(owner_in(head, name), owner_in(head, FROM)) ? SPAN(" 1") : SPAN(" 0");
        if (met < 0 || FACT(head->facts, SPAN("from and "), NAMES[name], same) < 0
            || FACT(head->facts, NAMES[name], met ? SPAN(" on the way 1") : SPAN(" on the way 0")) < 0)
            return -1;
    }
    int met = on_the_way(head, FROM);
    if (met < 0 || FACT(head->facts, SPAN("from on the way "), met ? SPAN("1") : SPAN("0")) < 0)
        return -1;
    return add_people(head);
}

/* How a field of this name is read: (code, name in small letters, name as it is spelt); a new reference. */
static PyObject *kind_of(PyObject *name, PyObject *kinds, PyObject *asked)
{
    PyObject *kind = PyBytes_GET_SIZE(name) <= MAX_NAME ? PyDict_GetItemWithError(kinds, name) : NULL;
    if (kind != NULL)
        Py_INCREF(kind);
    else if (!PyErr_Occurred()) {
        kind = PyObject_CallOneArg(asked, name);
        if (kind != NULL && PyBytes_GET_SIZE(name) <= MAX_NAME && PyDict_GET_SIZE(kinds) < MAX_KINDS
            && PyDict_SetItem(kinds, name, kind) < 0)
            Py_CLEAR(kind);
    }
    if (kind != NULL
        && (!PyTuple_Check(kind) || PyTuple_GET_SIZE(kind) != 3 || !PyLong_Check(PyTuple_GET_ITEM(kind, 0))
            || !PyBytes_Check(PyTuple_GET_ITEM(kind, 1)) || !PyBytes_Check(PyTuple_GET_ITEM(kind, 2))
            || PyBytes_GET_SIZE(PyTuple_GET_ITEM(kind, 1)) > MAX_NAME || PyBytes_GET_SIZE(PyTuple_GET_ITEM(kind, 2)) > MAX_NAME)) {
        PyErr_SetString(PyExc_TypeError, "a kind is a code and two names");
        Py_CLEAR(kind);
    }
    return kind;
}

static int read_one(head_t *head, PyObject *field, PyObject *kinds, PyObject *asked)
{
    if (!PyTuple_Check(field) || PyTuple_GET_SIZE(field) < 2 || !PyBytes_Check(PyTuple_GET_ITEM(field, 0))
        || !PyBytes_Check(PyTuple_GET_ITEM(field, 1))) {
        PyErr_SetString(PyExc_TypeError, "a field is a name and a value");
        return -1;
    }
    PyObject *kind = kind_of(PyTuple_GET_ITEM(field, 0), kinds, asked);
    if (kind == NULL)
        return -1;
    span_t value = span_of(PyTuple_GET_ITEM(field, 1));
    long code = PyLong_AsLong(PyTuple_GET_ITEM(kind, 0));
    int failed = code == -1 && PyErr_Occurred() ? -1 : 0;
    if (!failed && code == TRACE && head->hops < MAX_FIELDS)
        head->trace[head->hops++] = value;
    else if (!failed && (code == DATE || code == READ)) {
        failed = PyList_Append(head->order, PyTuple_GET_ITEM(kind, 2));
        if (!failed)
            failed = code == DATE ? read_date(head, value) : read_field(head, span_of(PyTuple_GET_ITEM(kind, 1)), value);
    }
    Py_DECREF(kind);
    return failed;
}

PyObject *header_facts(PyObject *module, PyObject *arguments)
{
    (void)module;
    PyObject *given, *kinds, *asked;
    head_t head = {0};
    if (!PyArg_ParseTuple(arguments, "O!O!OO", &PyList_Type, &given, &PyDict_Type, &kinds, &asked, &head.decoded))
        return NULL;
    PyObject *fields = PyList_AsTuple(given); /* of our own: Python is called on the way */
    head.facts = PyList_New(0);
    head.order = PyList_New(0);
    head.hosts = PySet_New(NULL);
    head.recipients = PySet_New(NULL);
    int failed = fields == NULL || head.facts == NULL || head.order == NULL || head.hosts == NULL || head.recipients == NULL;
    for (Py_ssize_t at = 0; !failed && at < PyTuple_GET_SIZE(fields) && at < MAX_FIELDS; at++)
        failed = read_one(&head, PyTuple_GET_ITEM(fields, at), kinds, asked) < 0;
    failed = failed || read_trace(&head) < 0 || add_sequence(&head) < 0 || add_relations(&head) < 0;
    if (failed)
        Py_CLEAR(head.facts);
    for (int name = 0; name < OTHER; name++)
        Py_XDECREF(head.values[name]);
    Py_XDECREF(head.order);
    Py_XDECREF(head.hosts);
    Py_XDECREF(head.recipients);
    Py_XDECREF(fields);
    return head.facts;
}

PyObject *content_type_facts(PyObject *module, PyObject *arguments)
{
    (void)module;
    PyObject *place, *value;
    if (!PyArg_ParseTuple(arguments, "SS", &place, &value))
        return NULL;
    PyObject *facts = PyList_New(0);
    if (facts != NULL && add_content_type(facts, span_of(place), span_of(value)) < 0)
        Py_CLEAR(facts);
    return facts;
}
