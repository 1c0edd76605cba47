/* Walks over the tags of an HTML document, as _Reader in dspam/html.py does it: that is the reference, and a test compares both on
 * mutated documents. What a tag says is asked of Python, which remembers it.
 */
#include "_walking.h"
#include <stdint.h>
#include <string.h>

enum { MAX_DEPTH = 200, MAX_ANCHORS = 40, ANCHOR_PIECES = 10, ANCHOR_OCTETS = 200, LOOK_REVERSED = 5, LOOK_SEEN = 6 };
enum { TAGS = 256, LOOKS = 256, MAX_SKELETON = 512, MAX_KEY = 40 };

static const char *const LINKS[] = {"href", "src", "action", "background", "formaction", "xlink:href"};
enum { MAX_LINKS = sizeof LINKS / sizeof *LINKS };

typedef struct {
    PyObject *name, *look; /* references of our own; the look is that around the element */
    int breaks, is_cell;
} open_t;

/* What is known of a tag. The first line is borrowed from `read`, names and fences from `ends`; the rest are references of our own. */
typedef struct {
    PyObject *name, *element, *links;
    PyObject *names, *fences; /* NULL for an element that ends none where it begins */
    PyObject *read, *skeleton, *texts, *asides, *ends, *style;
    uint64_t hash;
    int breaks, ends_word, is_block, is_void, is_raw, is_cell, is_table_part, ends_paragraph;
} tag_t;

typedef struct {
    PyObject *around, *style, *inside;
} look_t;

/* Octets of the source. */
typedef struct {
    Py_ssize_t start, size;
} span_t;

typedef struct {
    /* Borrowed from the arguments. */
    PyObject *seen, *unseen, *code, *asides, *links, *anchors;
    PyObject *blocks, *voids, *paragraph_ends, *paragraph, *cells, *table_parts, *raw, *unseen_raw;
    PyObject *read_tag, *read_new_tag, *look_in, *style_of, *add_sheet, *no_style;
    const char *source;
    Py_ssize_t size, remembered;
    /* References of our own. */
    PyObject *look, *anchor, *space;
    Py_ssize_t anchor_start, cut_at;
    open_t open[MAX_DEPTH];
    tag_t tags[TAGS]; /* that came last, each in the place that its octets give */
    tag_t seldom;     /* one that is too long to be among them */
    look_t looks[LOOKS];
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

static int end(walk_t *walk, const tag_t *tag)
{
    if (!is_open(walk, tag->name))
        return tag->is_block ? text(walk, " ", 1) : 0;
    int at = walk->depth - 1;
    for (; !is_same(walk->open[at].name, tag->name); at--)
        /* An element of the cell's surroundings does not end within the cell. */
        if (walk->open[at].is_cell && !tag->is_table_part)
            return 0;
    return close_to(walk, at);
}

/* Ends what ends where this element begins, though its end tag was left out. */
static int end_before(walk_t *walk, const tag_t *tag)
{
    if (tag->names != NULL)
        return end_implied(walk, tag->names, tag->fences);
    return tag->ends_paragraph ? end_implied(walk, walk->paragraph, walk->cells) : 0;
}

/* How text looks in an element of this style, a new reference. */
static PyObject *look_of(walk_t *walk, PyObject *style)
{
    size_t place = ((uintptr_t)walk->look / 16 * 31 + (uintptr_t)style / 16) % LOOKS;
    look_t *known = &walk->looks[place];
    if (known->inside == NULL || known->around != walk->look || known->style != style) {
        PyObject *inside = PyObject_CallFunctionObjArgs(walk->look_in, walk->look, style, NULL);
        if (inside == NULL)
            return NULL;
        if (!PyTuple_Check(inside) || PyTuple_GET_SIZE(inside) <= LOOK_SEEN) {
            PyErr_SetString(PyExc_TypeError, "a look is a tuple");
            Py_DECREF(inside);
            return NULL;
        }
        Py_XSETREF(known->around, Py_NewRef(walk->look));
        Py_XSETREF(known->style, Py_NewRef(style));
        Py_XSETREF(known->inside, inside);
    }
    return Py_NewRef(known->inside);
}

/* Ask for the style of an element, and whether it ends a word by that. */
static int ask_style(walk_t *walk, tag_t *tag)
{
    PyObject *style = walk->ruled ? PyObject_CallOneArg(walk->style_of, tag->element)
                                  : PyObject_GetAttrString(tag->element, "style");
    PyObject *inline_ = style == NULL ? NULL : PyObject_GetAttrString(style, "inline");
    if (inline_ == NULL) {
        Py_XDECREF(style);
        return -1;
    }
    tag->ends_word = inline_ == Py_None ? tag->breaks : inline_ != Py_True;
    Py_DECREF(inline_);
    Py_XSETREF(tag->style, style);
    return 0;
}

/* How what is in an element looks, a new reference. */
static PyObject *look_inside(walk_t *walk, tag_t *tag)
{
    if (tag->style == NULL && ask_style(walk, tag) < 0)
        return NULL;
    return tag->style == walk->no_style ? Py_NewRef(walk->look) : look_of(walk, tag->style);
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

static int push(walk_t *walk, const tag_t *tag, PyObject *links, PyObject *inside)
{
    if (tag->is_void || walk->depth >= MAX_DEPTH) {
        walk->images += is_named(tag->name, "img");
        return 0;
    }
    if (is_named(tag->name, "a") && PyTuple_GET_SIZE(links) > 0 && PyList_GET_SIZE(walk->anchors) < MAX_ANCHORS
        && begin_anchor(walk, links) < 0)
        return -1;
    if (PyTuple_GET_ITEM(inside, LOOK_REVERSED) == Py_True && !walk->is_reversed
        && append_octets(walk->seen, "\xe2\x80\xae", 3) < 0)
        return -1;
    walk->open[walk->depth++] = (open_t){Py_NewRef(tag->name), Py_NewRef(walk->look), tag->ends_word, tag->is_cell};
    return set_look(walk, Py_NewRef(inside));
}

static int start(walk_t *walk, tag_t *tag, PyObject *links)
{
    if (end_before(walk, tag) < 0)
        return -1;
    PyObject *inside = look_inside(walk, tag);
    if (inside == NULL)
        return -1;
    PyObject *shown = PyTuple_GET_ITEM(inside, LOOK_SEEN) == Py_True ? walk->seen : walk->unseen;
    int failed = (tag->ends_word && PyList_Append(shown, walk->space) < 0) || extend(walk->links, links, &PyTuple_Type) < 0
        || extend(shown, tag->texts, &PyBytes_Type) < 0 || extend(walk->asides, tag->asides, &PyBytes_Type) < 0
        || push(walk, tag, links, inside) < 0;
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
        for (int place = 0; place < TAGS; place++)
            Py_CLEAR(walk->tags[place].style);
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

static const char IN_NO_KEY[256] = {['\t'] = 1, ['\n'] = 1, ['\v'] = 1, ['\f'] = 1, ['\r'] = 1, [' '] = 1, ['='] = 1, ['>'] = 1,
    ['"'] = 1, ['\''] = 1, ['/'] = 1};

static int is_key(char c) { return !IN_NO_KEY[(unsigned char)c]; }

/* Which of LINKS this attribute is, -1 for none. */
static int link_of(const char *key, Py_ssize_t size)
{
    /* Most attributes have a length that none of LINKS has. */
    if (size != 3 && size != 4 && size != 6 && size != 10)
        return -1;
    for (int link = 0; link < MAX_LINKS; link++) {
        Py_ssize_t same = 0;
        while (same < size && LINKS[link][same] != '\0' && lower(key[same]) == LINKS[link][same])
            same++;
        if (same == size && LINKS[link][same] == '\0')
            return link;
    }
    return -1;
}

static const char *behind_spaces(const char *at, const char *end)
{
    while (at < end && *at != '\v' && is_blank(*at))
        at++;
    return at;
}

/* The value of the attribute whose "=" was read; returns what follows. */
static const char *value_of(const char *at, const char *end, const char **start, Py_ssize_t *size)
{
    const char *stop;
    *start = at;
    if (at < end && (*at == '"' || *at == '\'')) {
        *start = at + 1;
        stop = memchr(at + 1, *at, (size_t)(end - at - 1));
        *size = (stop == NULL ? end : stop) - *start;
        return stop == NULL ? end : stop + 1;
    }
    for (stop = at; stop < end && !is_blank(*stop) && *stop != '>'; stop++)
        ;
    *size = stop - at;
    return stop;
}

/* Finds the values of links in an opening tag, as _ATTRIBUTE and setdefault() find them; returns how many there are. */
static int find_links(const char *inner, Py_ssize_t inner_size, span_t *found)
{
    const char *at = inner, *end = inner + inner_size;
    int count = 0, known = 0;
    while (at < end && !is_blank(*at) && *at != '/' && *at != '>')
        at++; /* the name */
    while (at < end) {
        if (!is_key(*at)) {
            at++;
            continue;
        }
        const char *key = at, *value = at;
        Py_ssize_t size = 0;
        while (at < end && at - key < MAX_KEY && is_key(*at))
            at++;
        int link = link_of(key, at - key);
        const char *equals = behind_spaces(at, end);
        if (equals < end && *equals == '=')
            at = value_of(behind_spaces(equals + 1, end), end, &value, &size);
        if (link >= 0 && !(known & 1 << link)) {
            known |= 1 << link;
            found[count++] = (span_t){value - inner, size};
        }
    }
    return count;
}

/* Writes the tag with the first octet of each link only: what else it says is said by that as well. Its size, -1 if it is too long
 * to be remembered. */
static Py_ssize_t skeleton_of(const walk_t *walk, const char *inner, Py_ssize_t size, const span_t *links, int count, char *into)
{
    Py_ssize_t left = size, from = 0, written = 0;
    for (int link = 0; link < count; link++)
        left -= links[link].size > 1 ? links[link].size - 1 : 0;
    if (left > walk->remembered || left > MAX_SKELETON)
        return -1;
    for (int link = 0; link < count; link++) {
        if (links[link].size <= 1)
            continue;
        Py_ssize_t more = links[link].start + 1 - from;
        memcpy(into + written, inner + from, (size_t)more);
        written += more;
        from = links[link].start + links[link].size;
    }
    memcpy(into + written, inner + from, (size_t)(size - from));
    return written + size - from;
}

static uint64_t hash_of(const char *octets, Py_ssize_t size)
{
    uint64_t hash = (uint64_t)size, word = 0;
    for (; size >= 8; octets += 8, size -= 8) {
        memcpy(&word, octets, 8);
        hash = (hash ^ word) * UINT64_C(0x9E3779B97F4A7C15);
        hash ^= hash >> 29;
    }
    word = 0;
    memcpy(&word, octets, (size_t)size);
    hash = (hash ^ word) * UINT64_C(0x9E3779B97F4A7C15);
    return hash ^ hash >> 32;
}

static void forget(tag_t *tag)
{
    Py_CLEAR(tag->read);
    Py_CLEAR(tag->skeleton);
    Py_CLEAR(tag->texts);
    Py_CLEAR(tag->asides);
    Py_CLEAR(tag->ends);
    Py_CLEAR(tag->style);
}

/* Whether a set has the name: into *answer. -1 for an exception. */
static int ask(PyObject *set, PyObject *name, int *answer)
{
    *answer = PySet_Contains(set, name);
    return *answer < 0 ? -1 : 0;
}

/* Ask Python what a tag says. */
static int learn(walk_t *walk, tag_t *tag, PyObject *reader, PyObject *octets)
{
    tag->read = PyObject_CallOneArg(reader, octets);
    if (tag->read == NULL)
        return -1;
    if (!PyTuple_Check(tag->read)) {
        PyErr_SetString(PyExc_TypeError, "a tag is a tuple");
        return -1;
    }
    if (!PyArg_ParseTuple(tag->read, "SOO!", &tag->name, &tag->element, &PyTuple_Type, &tag->links))
        return -1;
    if (ask(walk->blocks, tag->name, &tag->is_block) < 0 || ask(walk->table_parts, tag->name, &tag->is_table_part) < 0)
        return -1;
    if (tag->element == Py_None)
        return 0;
    if (ask(walk->voids, tag->name, &tag->is_void) < 0 || ask(walk->cells, tag->name, &tag->is_cell) < 0
        || ask(walk->paragraph_ends, tag->name, &tag->ends_paragraph) < 0)
        return -1;
    tag->is_raw = PyDict_Contains(walk->raw, tag->name);
    PyObject *breaks = PyObject_GetAttrString(tag->element, "breaks");
    tag->breaks = breaks == Py_True;
    Py_XDECREF(breaks);
    tag->ends = PyObject_GetAttrString(tag->element, "ends");
    tag->texts = PyObject_GetAttrString(tag->element, "texts");
    tag->asides = PyObject_GetAttrString(tag->element, "asides");
    if (tag->is_raw < 0 || breaks == NULL || tag->ends == NULL || tag->texts == NULL || tag->asides == NULL)
        return -1;
    tag->names = tag->fences = NULL;
    if (tag->ends != Py_None && !PyTuple_Check(tag->ends)) {
        PyErr_SetString(PyExc_TypeError, "what an element ends is a tuple");
        return -1;
    }
    return tag->ends == Py_None
            || PyArg_ParseTuple(tag->ends, "O!O!", &PyFrozenSet_Type, &tag->names, &PyFrozenSet_Type, &tag->fences)
        ? 0
        : -1;
}

/* What is known of a tag with these octets between its brackets; NULL for an exception. */
static tag_t *known_tag(walk_t *walk, const char *inner, Py_ssize_t size, const span_t *links, int count)
{
    char room[MAX_SKELETON];
    const char *skeleton = count > 0 ? room : inner;
    Py_ssize_t left = count > 0 ? skeleton_of(walk, inner, size, links, count, room) : size <= walk->remembered ? size : -1;
    uint64_t hash = left < 0 ? 0 : hash_of(skeleton, left);
    tag_t *tag = left < 0 ? &walk->seldom : &walk->tags[hash % TAGS];
    if (left >= 0 && tag->skeleton != NULL && tag->hash == hash && PyBytes_GET_SIZE(tag->skeleton) == left
        && memcmp(PyBytes_AS_STRING(tag->skeleton), skeleton, (size_t)left) == 0)
        return tag;
    forget(tag);
    PyObject *octets = left < 0 ? PyBytes_FromStringAndSize(inner, size) : PyBytes_FromStringAndSize(skeleton, left);
    if (octets == NULL || learn(walk, tag, left < 0 ? walk->read_new_tag : walk->read_tag, octets) < 0) {
        Py_XDECREF(octets);
        forget(tag);
        return NULL;
    }
    tag->skeleton = octets;
    tag->hash = hash;
    return tag;
}

/* The links of a tag with what they are in this one: (attribute, value) pairs, a new reference. */
static PyObject *links_of(const tag_t *tag, const char *inner, const span_t *links, int count)
{
    if (PyTuple_GET_SIZE(tag->links) != count) {
        PyErr_SetString(PyExc_TypeError, "a tag has other links");
        return NULL;
    }
    PyObject *all = PyTuple_New(count);
    for (int link = 0; all != NULL && link < count; link++) {
        PyObject *told = PyTuple_GET_ITEM(tag->links, link), *pair = NULL;
        if (!PyTuple_Check(told) || PyTuple_GET_SIZE(told) != 2)
            PyErr_SetString(PyExc_TypeError, "a link is a pair");
        else
            pair = Py_BuildValue("Oy#", PyTuple_GET_ITEM(told, 0), inner + links[link].start, links[link].size);
        if (pair == NULL)
            Py_CLEAR(all);
        else
            PyTuple_SET_ITEM(all, link, pair);
    }
    return all;
}

static Py_ssize_t tag(walk_t *walk, Py_ssize_t begin)
{
    Py_ssize_t stop = inner_end(walk, begin + 1), size = stop - begin - 1;
    Py_ssize_t next = stop < walk->size ? stop + 1 : stop;
    const char *inner = walk->source + begin + 1;
    span_t found[MAX_LINKS];
    int count = *inner == '/' ? 0 : find_links(inner, size, found);
    tag_t *tag = known_tag(walk, inner, size, found, count);
    if (tag == NULL)
        return -1;
    if (tag->element == Py_None)
        return end(walk, tag) < 0 ? -1 : next;
    PyObject *links = links_of(tag, inner, found, count);
    int failed = links == NULL || start(walk, tag, links) < 0;
    Py_XDECREF(links);
    if (failed)
        return -1;
    return tag->is_raw ? raw(walk, next, tag->name) : next;
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

/* Give back what was kept. */
static void end_walk(walk_t *walk)
{
    while (walk->depth > 0) {
        walk->depth--;
        Py_DECREF(walk->open[walk->depth].name);
        Py_DECREF(walk->open[walk->depth].look);
    }
    for (int place = 0; place < TAGS; place++)
        forget(&walk->tags[place]);
    forget(&walk->seldom);
    for (int place = 0; place < LOOKS; place++) {
        Py_CLEAR(walk->looks[place].around);
        Py_CLEAR(walk->looks[place].style);
        Py_CLEAR(walk->looks[place].inside);
    }
    Py_XDECREF(walk->look);
    Py_XDECREF(walk->anchor);
    Py_XDECREF(walk->space);
    PyMem_Free(walk);
}

PyObject *walk(PyObject *module, PyObject *arguments)
{
    (void)module;
    PyObject *source, *look, *found = NULL;
    walk_t *walk = PyMem_Calloc(1, sizeof *walk);
    if (walk == NULL)
        return PyErr_NoMemory();
    walk->cut_at = -1;
    walk->is_seen = 1;
    if (PyArg_ParseTuple(arguments, "S(O!O!O!O!O!O!)O(O!O!O!O!O!O!O!O!)(OOOOO)Oin", &source, &PyList_Type, &walk->seen,
            &PyList_Type, &walk->unseen, &PyList_Type, &walk->code, &PyList_Type, &walk->asides, &PyList_Type, &walk->links,
            &PyList_Type, &walk->anchors, &look, &PyFrozenSet_Type, &walk->blocks, &PyFrozenSet_Type, &walk->voids,
            &PyFrozenSet_Type, &walk->paragraph_ends, &PyFrozenSet_Type, &walk->paragraph, &PyFrozenSet_Type, &walk->cells,
            &PyFrozenSet_Type, &walk->table_parts, &PyDict_Type, &walk->raw, &PyFrozenSet_Type, &walk->unseen_raw,
            &walk->read_tag, &walk->read_new_tag, &walk->look_in, &walk->style_of, &walk->add_sheet, &walk->no_style,
            &walk->max_tags, &walk->remembered)) {
        walk->source = PyBytes_AS_STRING(source);
        walk->size = PyBytes_GET_SIZE(source);
        walk->space = PyBytes_FromStringAndSize(" ", 1);
        int cut = walk->space == NULL || set_look(walk, Py_NewRef(look)) < 0 ? -1 : all_tokens(walk);
        if (cut >= 0)
            found = Py_BuildValue("lllN", walk->severed, walk->images, walk->comments, PyBool_FromLong(cut));
    }
    end_walk(walk);
    return found;
}
