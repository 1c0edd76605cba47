/* Walks over the tags of an HTML document, as _Reader in dspam/html.py does it: that is the reference, and a test compares both on
 * mutated documents. What a tag says is asked of Python, which remembers it.
 */
#include "_walking.h"
#include <string.h>

enum { MAX_DEPTH = 200, MAX_ANCHORS = 40, ANCHOR_PIECES = 10, ANCHOR_OCTETS = 200, LOOK_REVERSED = 5, LOOK_SEEN = 6 };

typedef struct {
    PyObject *name, *look; /* references of our own; the look is that around the element */
    int breaks;
} open_t;

typedef struct {
    /* Borrowed from the arguments. */
    PyObject *seen, *unseen, *code, *asides, *links, *anchors;
    PyObject *blocks, *voids, *paragraph_ends, *paragraph, *cells, *table_parts, *raw, *unseen_raw;
    PyObject *styles, *read_tag, *read_new_tag, *look_in, *style_of, *add_sheet, *no_style;
    const char *source;
    Py_ssize_t size, remembered;
    /* References of our own. */
    PyObject *look, *anchor, *space;
    Py_ssize_t anchor_start, cut_at;
    open_t open[MAX_DEPTH];
    int depth, is_seen, is_reversed, ruled, max_tags;
    long severed, images, comments;
} walk_t;

static int is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
static int is_blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

static int is_named(PyObject *name, const char *text)
{
    return (size_t)PyBytes_GET_SIZE(name) == strlen(text) && memcmp(PyBytes_AS_STRING(name), text, strlen(text)) == 0;
}

static int is_same(PyObject *one, PyObject *other)
{
    return PyBytes_GET_SIZE(one) == PyBytes_GET_SIZE(other)
        && memcmp(PyBytes_AS_STRING(one), PyBytes_AS_STRING(other), (size_t)PyBytes_GET_SIZE(one)) == 0;
}

static int append_octets(PyObject *list, const char *octets, Py_ssize_t size)
{
    PyObject *piece = PyBytes_FromStringAndSize(octets, size);
    int failed = piece == NULL || PyList_Append(list, piece) < 0;
    Py_XDECREF(piece);
    return failed ? -1 : 0;
}

/* Adds what a tuple holds to a list: objects of one type. */
static int extend(PyObject *list, PyObject *tuple, PyTypeObject *type)
{
    if (!PyTuple_Check(tuple)) {
        PyErr_SetString(PyExc_TypeError, "a tag has tuples");
        return -1;
    }
    for (Py_ssize_t at = 0; at < PyTuple_GET_SIZE(tuple); at++) {
        PyObject *one = PyTuple_GET_ITEM(tuple, at);
        if (!PyObject_TypeCheck(one, type)) {
            PyErr_Format(PyExc_TypeError, "a tag has tuples of %s", type->tp_name);
            return -1;
        }
        if (PyList_Append(list, one) < 0)
            return -1;
    }
    return 0;
}

/* Takes over a reference to a look. */
static int set_look(walk_t *walk, PyObject *look)
{
    if (look == NULL)
        return -1;
    if (!PyTuple_Check(look) || PyTuple_GET_SIZE(look) <= LOOK_SEEN) {
        PyErr_SetString(PyExc_TypeError, "a look is a tuple");
        Py_DECREF(look);
        return -1;
    }
    Py_XSETREF(walk->look, look);
    walk->is_reversed = PyTuple_GET_ITEM(look, LOOK_REVERSED) == Py_True;
    walk->is_seen = PyTuple_GET_ITEM(look, LOOK_SEEN) == Py_True;
    return 0;
}

static int text(walk_t *walk, const char *octets, Py_ssize_t size)
{
    Py_ssize_t count = PyList_GET_SIZE(walk->seen), blank = 0;
    if (walk->is_seen) {
        walk->severed += walk->cut_at == count && size > 0 && is_letter(octets[0]);
        return append_octets(walk->seen, octets, size);
    }
    if (count > 0) {
        PyObject *last = PyList_GET_ITEM(walk->seen, count - 1);
        Py_ssize_t end = PyBytes_GET_SIZE(last);
        if (end > 0 && is_letter(PyBytes_AS_STRING(last)[end - 1])) {
            while (blank < size && is_blank(octets[blank]))
                blank++;
            if (blank < size || size == 0)
                walk->cut_at = count;
        }
    }
    return append_octets(walk->unseen, octets, size);
}

/* The open link ends: keep where it leads, and the beginning of its text. */
static int end_anchor(walk_t *walk)
{
    char said[ANCHOR_OCTETS];
    Py_ssize_t size = 0, count = PyList_GET_SIZE(walk->seen);
    for (Py_ssize_t at = walk->anchor_start; at < count && at < walk->anchor_start + ANCHOR_PIECES; at++) {
        PyObject *piece = PyList_GET_ITEM(walk->seen, at);
        Py_ssize_t more = PyBytes_GET_SIZE(piece);
        more = more < ANCHOR_OCTETS - size ? more : ANCHOR_OCTETS - size;
        memcpy(said + size, PyBytes_AS_STRING(piece), (size_t)more);
        size += more;
    }
    PyObject *anchor = Py_BuildValue("Oy#", walk->anchor, said, size);
    int failed = anchor == NULL || PyList_Append(walk->anchors, anchor) < 0;
    Py_XDECREF(anchor);
    Py_CLEAR(walk->anchor);
    return failed ? -1 : 0;
}

static int close_to(walk_t *walk, int at)
{
    while (walk->depth > at) {
        open_t *one = &walk->open[walk->depth - 1];
        if (walk->anchor != NULL && is_named(one->name, "a") && end_anchor(walk) < 0)
            return -1;
        if (walk->is_reversed && PyTuple_GET_ITEM(one->look, LOOK_REVERSED) != Py_True
            && append_octets(walk->seen, "\xe2\x80\xac", 3) < 0)
            return -1;
        if (one->breaks && text(walk, " ", 1) < 0)
            return -1;
        walk->depth--;
        Py_DECREF(one->name);
        if (set_look(walk, one->look) < 0)
            return -1;
    }
    return 0;
}

static int end_implied(walk_t *walk, PyObject *names, PyObject *fences)
{
    int found = -1;
    for (int at = walk->depth - 1; at >= 0; at--) {
        int inside = PySet_Contains(names, walk->open[at].name);
        if (inside < 0)
            return -1;
        if (inside) {
            found = at;
            continue;
        }
        if ((inside = PySet_Contains(fences, walk->open[at].name)) < 0)
            return -1;
        if (inside)
            break;
    }
    return found < 0 ? 0 : close_to(walk, found);
}

static int is_open(const walk_t *walk, PyObject *name)
{
    for (int at = walk->depth - 1; at >= 0; at--)
        if (is_same(walk->open[at].name, name))
            return 1;
    return 0;
}

static int end(walk_t *walk, PyObject *name)
{
    if (!is_open(walk, name)) {
        int breaks = PySet_Contains(walk->blocks, name);
        return breaks <= 0 ? breaks : text(walk, " ", 1);
    }
    int keeps = PySet_Contains(walk->table_parts, name);
    if (keeps < 0)
        return -1;
    int at = walk->depth - 1;
    for (; !is_same(walk->open[at].name, name); at--) {
        /* An element of the cell's surroundings does not end within the cell. */
        int cell = PySet_Contains(walk->cells, walk->open[at].name);
        if (cell < 0)
            return -1;
        if (cell && !keeps)
            return 0;
    }
    return close_to(walk, at);
}

/* Ends what ends where this element begins, though its end tag was left out. */
static int end_before(walk_t *walk, PyObject *element, PyObject *name)
{
    PyObject *ends = PyObject_GetAttrString(element, "ends");
    int done = -1;
    if (ends == NULL)
        return -1;
    if (ends != Py_None) {
        PyObject *names, *fences;
        if (PyArg_ParseTuple(ends, "O!O!", &PyFrozenSet_Type, &names, &PyFrozenSet_Type, &fences))
            done = end_implied(walk, names, fences);
    } else {
        done = PySet_Contains(walk->paragraph_ends, name);
        if (done > 0)
            done = end_implied(walk, walk->paragraph, walk->cells);
    }
    Py_DECREF(ends);
    return done;
}

/* The style of an element, a new reference; of one that came before, the same. */
static PyObject *style_of(walk_t *walk, PyObject *element)
{
    if (!walk->ruled)
        return PyObject_GetAttrString(element, "style");
    PyObject *known = PyDict_GetItemWithError(walk->styles, element);
    if (known != NULL)
        return Py_NewRef(known);
    return PyErr_Occurred() ? NULL : PyObject_CallOneArg(walk->style_of, element);
}

/* How what is in an element looks (a new reference), and whether it ends a word. */
static PyObject *look_inside(walk_t *walk, PyObject *element, int *breaks)
{
    PyObject *value = PyObject_GetAttrString(element, "breaks"), *look = NULL, *inline_ = NULL;
    if (value == NULL)
        return NULL;
    *breaks = value == Py_True;
    Py_DECREF(value);
    PyObject *style = style_of(walk, element);
    if (style == NULL)
        return NULL;
    if (style == walk->no_style)
        look = Py_NewRef(walk->look);
    else if ((inline_ = PyObject_GetAttrString(style, "inline")) != NULL) {
        if (inline_ != Py_None)
            *breaks = inline_ != Py_True;
        Py_DECREF(inline_);
        look = PyObject_CallFunctionObjArgs(walk->look_in, walk->look, style, NULL);
    }
    Py_DECREF(style);
    if (look != NULL && (!PyTuple_Check(look) || PyTuple_GET_SIZE(look) <= LOOK_SEEN)) {
        PyErr_SetString(PyExc_TypeError, "a look is a tuple");
        Py_CLEAR(look);
    }
    return look;
}

/* Adds the texts of an element's attributes. */
static int add_texts(walk_t *walk, PyObject *element, PyObject *shown)
{
    PyObject *texts = PyObject_GetAttrString(element, "texts"), *asides = PyObject_GetAttrString(element, "asides");
    int failed = texts == NULL || asides == NULL || extend(shown, texts, &PyBytes_Type) < 0
        || extend(walk->asides, asides, &PyBytes_Type) < 0;
    Py_XDECREF(texts);
    Py_XDECREF(asides);
    return failed ? -1 : 0;
}

static int begin_anchor(walk_t *walk, PyObject *links)
{
    PyObject *link = PyTuple_GET_ITEM(links, 0);
    if (PyTuple_GET_SIZE(link) != 2) {
        PyErr_SetString(PyExc_TypeError, "a link is a pair");
        return -1;
    }
    Py_XSETREF(walk->anchor, Py_NewRef(PyTuple_GET_ITEM(link, 1)));
    walk->anchor_start = PyList_GET_SIZE(walk->seen);
    return 0;
}

static int push(walk_t *walk, PyObject *name, PyObject *links, PyObject *inside, int breaks)
{
    int is_void = PySet_Contains(walk->voids, name);
    if (is_void < 0)
        return -1;
    if (is_void || walk->depth >= MAX_DEPTH) {
        walk->images += is_named(name, "img");
        return 0;
    }
    if (is_named(name, "a") && PyTuple_GET_SIZE(links) > 0 && PyList_GET_SIZE(walk->anchors) < MAX_ANCHORS
        && begin_anchor(walk, links) < 0)
        return -1;
    if (PyTuple_GET_ITEM(inside, LOOK_REVERSED) == Py_True && !walk->is_reversed
        && append_octets(walk->seen, "\xe2\x80\xae", 3) < 0)
        return -1;
    walk->open[walk->depth++] = (open_t){Py_NewRef(name), Py_NewRef(walk->look), breaks};
    return set_look(walk, Py_NewRef(inside));
}

static int start(walk_t *walk, PyObject *name, PyObject *element, PyObject *links)
{
    int breaks = 0;
    if (end_before(walk, element, name) < 0)
        return -1;
    PyObject *inside = look_inside(walk, element, &breaks);
    if (inside == NULL)
        return -1;
    PyObject *shown = PyTuple_GET_ITEM(inside, LOOK_SEEN) == Py_True ? walk->seen : walk->unseen;
    int failed = (breaks && PyList_Append(shown, walk->space) < 0) || extend(walk->links, links, &PyTuple_Type) < 0
        || add_texts(walk, element, shown) < 0 || push(walk, name, links, inside, breaks) < 0;
    Py_DECREF(inside);
    return failed ? -1 : 0;
}

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c; }

/* Where the end tag begins of an element in which there are no tags; the end of the document if there is none. */
static Py_ssize_t raw_end(const walk_t *walk, Py_ssize_t at, PyObject *name)
{
    const char *wanted = PyBytes_AS_STRING(name);
    Py_ssize_t size = PyBytes_GET_SIZE(name);
    while (walk->size - at > size + 2) {
        const char *found = memchr(walk->source + at, '<', (size_t)(walk->size - at - size - 2));
        if (found == NULL)
            break;
        at = found - walk->source;
        Py_ssize_t same = 0;
        if (found[1] == '/')
            while (same < size && lower(found[2 + same]) == wanted[same])
                same++;
        char next = found[2 + size];
        if (found[1] == '/' && same == size && (is_blank(next) || next == '/' || next == '>'))
            return at;
        at++;
    }
    return walk->size;
}

/* The content of an element in which there are no tags; returns where it ends, -1 for an exception. */
static Py_ssize_t raw(walk_t *walk, Py_ssize_t at, PyObject *name)
{
    Py_ssize_t stop = raw_end(walk, at, name);
    const char *content = walk->source + at;
    if (is_named(name, "style")) {
        PyObject *ruled = PyObject_CallFunction(walk->add_sheet, "y#", content, stop - at);
        if (ruled == NULL)
            return -1;
        walk->ruled = ruled == Py_True;
        Py_DECREF(ruled);
    }
    int hidden = PySet_Contains(walk->unseen_raw, name);
    if (hidden < 0)
        return -1;
    if (!hidden)
        return text(walk, content, stop - at) < 0 ? -1 : stop;
    return PyList_Append(walk->code, walk->space) < 0 || append_octets(walk->code, content, stop - at) < 0 ? -1 : stop;
}

/* Where a comment ends whose "<!--" stands at this place. */
static Py_ssize_t comment_end(const walk_t *walk, Py_ssize_t at)
{
    const char *source = walk->source;
    Py_ssize_t size = walk->size;
    at += 4;
    if (at < size && source[at] == '>')
        return at + 1;
    if (at + 1 < size && source[at] == '-' && source[at + 1] == '>')
        return at + 2;
    for (; at + 2 < size; at++) {
        const char *found = memchr(source + at, '-', (size_t)(size - at - 2));
        if (found == NULL)
            break;
        at = found - source;
        if (source[at + 1] == '-' && source[at + 2] == '>')
            return at + 3;
        if (source[at + 1] == '-' && source[at + 2] == '!' && at + 3 < size && source[at + 3] == '>')
            return at + 4;
    }
    return size;
}

/* Where what is in a tag ends: at the first ">" that stands in no quotes. A quote matters behind "=" only. */
static Py_ssize_t inner_end(const walk_t *walk, Py_ssize_t at)
{
    const char *source = walk->source;
    while (at < walk->size && source[at] != '>') {
        if (source[at++] != '=')
            continue;
        while (at < walk->size && source[at] != '\v' && is_blank(source[at]))
            at++;
        if (at < walk->size && (source[at] == '"' || source[at] == '\'')) {
            const char *close = memchr(source + at + 1, source[at], (size_t)(walk->size - at - 1));
            at = close == NULL ? walk->size : close - source + 1;
        }
    }
    return at;
}

static Py_ssize_t tag(walk_t *walk, Py_ssize_t begin)
{
    Py_ssize_t stop = inner_end(walk, begin + 1), size = stop - begin - 1;
    Py_ssize_t next = stop < walk->size ? stop + 1 : stop;
    PyObject *inner = PyBytes_FromStringAndSize(walk->source + begin + 1, size), *name, *element, *links;
    if (inner == NULL)
        return -1;
    PyObject *read = PyObject_CallOneArg(size <= walk->remembered ? walk->read_tag : walk->read_new_tag, inner);
    Py_DECREF(inner);
    if (read == NULL)
        return -1;
    if (!PyTuple_Check(read)) {
        PyErr_SetString(PyExc_TypeError, "a tag is a tuple");
        next = -1;
    } else if (!PyArg_ParseTuple(read, "SOO!", &name, &element, &PyTuple_Type, &links))
        next = -1;
    else if (element == Py_None)
        next = end(walk, name) < 0 ? -1 : next;
    else if (start(walk, name, element, links) < 0)
        next = -1;
    else {
        int is_raw = PyDict_Contains(walk->raw, name);
        if (is_raw != 0)
            next = is_raw < 0 ? -1 : raw(walk, next, name);
    }
    Py_DECREF(read);
    return next;
}

/* Reads the token at "<": where it ends, -1 for an exception, -2 if there is none. */
static Py_ssize_t token(walk_t *walk, Py_ssize_t begin)
{
    const char *source = walk->source;
    char next = begin + 1 < walk->size ? source[begin + 1] : '\0';
    if (next == '!' && begin + 3 < walk->size && source[begin + 2] == '-' && source[begin + 3] == '-') {
        walk->comments++;
        return comment_end(walk, begin);
    }
    if (is_letter(next) || (next == '/' && begin + 2 < walk->size && is_letter(source[begin + 2])))
        return tag(walk, begin);
    if (next != '!' && next != '?' && next != '/')
        return -2;
    const char *close = memchr(source + begin, '>', (size_t)(walk->size - begin));
    return close == NULL ? walk->size : close - source + 1;
}

/* Whether there is more of the document than is read; -1 for an exception. */
static int all_tokens(walk_t *walk)
{
    Py_ssize_t at = 0, from = 0;
    for (int count = 0; count < walk->max_tags;) {
        const char *found = from < walk->size ? memchr(walk->source + from, '<', (size_t)(walk->size - from)) : NULL;
        if (found == NULL)
            return text(walk, walk->source + at, walk->size - at);
        Py_ssize_t begin = found - walk->source;
        char next = begin + 1 < walk->size ? found[1] : '\0';
        if (!is_letter(next) && next != '!' && next != '?' && next != '/') {
            from = begin + 1;
            continue;
        }
        if (begin > at && text(walk, walk->source + at, begin - at) < 0)
            return -1;
        at = from = token(walk, begin);
        if (at < 0)
            return -1;
        count++;
    }
    return 1;
}

PyObject *walk(PyObject *module, PyObject *arguments)
{
    (void)module;
    walk_t walk = {.cut_at = -1, .is_seen = 1};
    PyObject *look, *found = NULL;
    if (!PyArg_ParseTuple(arguments, "S(O!O!O!O!O!O!)O(O!O!O!O!O!O!O!O!)O!(OOOOO)Oin", &found, &PyList_Type, &walk.seen, &PyList_Type,
            &walk.unseen, &PyList_Type, &walk.code, &PyList_Type, &walk.asides, &PyList_Type, &walk.links, &PyList_Type,
            &walk.anchors, &look, &PyFrozenSet_Type, &walk.blocks, &PyFrozenSet_Type, &walk.voids, &PyFrozenSet_Type,
            &walk.paragraph_ends, &PyFrozenSet_Type, &walk.paragraph, &PyFrozenSet_Type, &walk.cells, &PyFrozenSet_Type,
            &walk.table_parts, &PyDict_Type, &walk.raw, &PyFrozenSet_Type, &walk.unseen_raw, &PyDict_Type, &walk.styles, &walk.read_tag, &walk.read_new_tag,
            &walk.look_in, &walk.style_of, &walk.add_sheet, &walk.no_style, &walk.max_tags, &walk.remembered))
        return NULL;
    walk.source = PyBytes_AS_STRING(found);
    walk.size = PyBytes_GET_SIZE(found);
    found = NULL;
    walk.space = PyBytes_FromStringAndSize(" ", 1);
    int cut = walk.space == NULL || set_look(&walk, Py_NewRef(look)) < 0 ? -1 : all_tokens(&walk);
    if (cut >= 0)
        found = Py_BuildValue("lllN", walk.severed, walk.images, walk.comments, PyBool_FromLong(cut));
    while (walk.depth > 0) {
        walk.depth--;
        Py_DECREF(walk.open[walk.depth].name);
        Py_DECREF(walk.open[walk.depth].look);
    }
    Py_XDECREF(walk.look);
    Py_XDECREF(walk.anchor);
    Py_XDECREF(walk.space);
    return found;
}
