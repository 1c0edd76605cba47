/* What a lesson adds to the counts and weights of a message's features, as dspam/lesson.py says it: that is the reference, and
 * a test compares both.
 *
 * Arrays come as buffers, whose sizes are looked at before anything is read or written.
 */
#include "_learning.h"
#include <math.h>
#include <stdint.h>

enum { OF_HEADER, OF_TEXT, REGRESSIONS };
enum { HEADER_KIND = 0, WEIGHT_UNIT = 1024, MAX_WEIGHT = 1 << 30, POWERS = 128, MOST_STEPS = 100 };

typedef struct {
    double rate, margin, slowing;
    int steps;
    Py_ssize_t size;
    double weights, rates, moved;
    double powers[POWERS]; /* of how often a feature was seen; most were seen seldom, and many as often as others */
    unsigned char is_known[POWERS];
} regression_t;

typedef struct {
    int is_spam, count_all, novel;
    double believed, at_least, heard;
    regression_t regressions[REGRESSIONS];
} lesson_t;

static double slowed(regression_t *regression, int64_t hits)
{
    if (hits >= POWERS)
        return pow(1.0 + (double)hits, -regression->slowing);
    if (!regression->is_known[hits]) {
        regression->powers[hits] = pow(1.0 + (double)hits, -regression->slowing);
        regression->is_known[hits] = 1;
    }
    return regression->powers[hits];
}

static regression_t *regression_of(lesson_t *lesson, int64_t key)
{
    return &lesson->regressions[(key & 3) == HEADER_KIND ? OF_HEADER : OF_TEXT];
}

/* How far a feature moves for an error of one. */
static double rate_of(const lesson_t *lesson, regression_t *regression, const int32_t *row)
{
    int64_t hits = (int64_t)row[0] + row[1];
    double share = lesson->believed;
    if (row[lesson->is_spam] <= lesson->novel && share < lesson->at_least) /* in so much mail of the other kind */
        share = lesson->at_least;
    return regression->rate / sqrt((double)regression->size) * slowed(regression, hits > 0 ? hits : 0) * share;
}

static double logistic(double value)
{
    value = value < -700.0 ? -700.0 : value > 700.0 ? 700.0 : value;
    return 1.0 / (1.0 + exp(-value));
}

/* The errors that a regression learns from, added up. */
static void find_error(regression_t *regression, double heard, int is_spam)
{
    double root = sqrt((double)regression->size), slope = regression->rates / root;
    double output = regression->weights / root + heard;
    for (int step = 0; step < regression->steps; step++) {
        double error = is_spam - logistic(output);
        if (fabs(error) < regression->margin)
            return;
        regression->moved += error;
        output += slope * error;
    }
}

static int32_t moved_by(int64_t before, double step)
{
    double after = (double)before + rint(step * WEIGHT_UNIT);
    after = after < -MAX_WEIGHT ? -MAX_WEIGHT : after > MAX_WEIGHT ? MAX_WEIGHT : after;
    return (int32_t)(uint32_t)(uint64_t)((int64_t)after - before); /* which goes round at its ends, as numpy's numbers do */
}

static void add_lesson(lesson_t *lesson, const int64_t *keys, const int32_t *counts, Py_ssize_t number, int32_t *added)
{
    for (Py_ssize_t at = 0; at < number; at++)
        regression_of(lesson, keys[at])->size++;
    for (Py_ssize_t at = 0; at < number; at++) {
        regression_t *regression = regression_of(lesson, keys[at]);
        regression->weights += counts[3 * at + 2] / (double)WEIGHT_UNIT;
        regression->rates += rate_of(lesson, regression, counts + 3 * at);
    }
    for (int one = 0; one < REGRESSIONS; one++)
        if (lesson->regressions[one].size > 0)
            find_error(&lesson->regressions[one], lesson->heard, lesson->is_spam);
    for (Py_ssize_t at = 0; at < number; at++) {
        const int32_t *row = counts + 3 * at;
        regression_t *regression = regression_of(lesson, keys[at]);
        int counted = lesson->count_all || (keys[at] & 3) == HEADER_KIND || row[lesson->is_spam] <= lesson->novel;
        added[3 * at + (lesson->is_spam ? 0 : 1)] = counted;
        added[3 * at + (lesson->is_spam ? 1 : 0)] = 0;
        added[3 * at + 2] = moved_by(row[2], rate_of(lesson, regression, row) * regression->moved);
    }
}

PyObject *learn(PyObject *module, PyObject *arguments)
{
    (void)module;
    Py_buffer keys, counts, added;
    lesson_t lesson = {0};
    regression_t *header = &lesson.regressions[OF_HEADER], *text = &lesson.regressions[OF_TEXT];
    PyObject *done = NULL;
    if (!PyArg_ParseTuple(arguments, "y*y*w*ppddid(ddid)(ddid)", &keys, &counts, &added, &lesson.is_spam, &lesson.count_all,
            &lesson.believed, &lesson.at_least, &lesson.novel, &lesson.heard, &header->rate, &header->margin, &header->steps,
            &header->slowing, &text->rate, &text->margin, &text->steps, &text->slowing))
        return NULL;
    Py_ssize_t number = keys.len / (Py_ssize_t)sizeof(int64_t);
    if (keys.len % (Py_ssize_t)sizeof(int64_t) != 0 || counts.len != number * 3 * (Py_ssize_t)sizeof(int32_t)
        || added.len != counts.len)
        PyErr_SetString(PyExc_ValueError, "three counts for each key are wanted");
    else if (header->steps > MOST_STEPS || text->steps > MOST_STEPS)
        PyErr_SetString(PyExc_ValueError, "more steps than there is room for");
    else {
        add_lesson(&lesson, keys.buf, counts.buf, number, added.buf);
        done = Py_NewRef(Py_None);
    }
    PyBuffer_Release(&keys);
    PyBuffer_Release(&counts);
    PyBuffer_Release(&added);
    return done;
}
