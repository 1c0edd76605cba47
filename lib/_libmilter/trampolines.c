/*
 * What stands between libmilter's callbacks and the Python functions that lib/milter.py keeps.
 *
 * libmilter knows a connection as SMFICTX. Its private pointer holds a `session` of ours, which is made at the first
 * callback and freed at close, and which owns the connection's Python object.
 *
 * This half also keeps the promises of option negotiation, whatever Python returns. Where a milter promised not to
 * answer a step, libmilter sends nothing for a refusal either and leaves the connection in a state that never answers
 * again; so a verdict that falls in such a step is kept, with its reply text, and given at the next step that is
 * answered. A value that libmilter does not know would hang the connection as well: it counts as a failure.
 *
 * Nobody waits for the answer to such a step, so there is no need to take the interpreter's lock for each of them: what
 * arrives in header, end of headers and body is put on a queue of the session, and Python is called for all of it when
 * it is next called anyhow, mostly at end of message. With many connections, taking the lock is what costs most. For the
 * same reason the header changes of an end-of-message callback are collected, and sent when it has returned.
 *
 * Python is called through its C API, not through cffi's extern "Python": a message is some twenty callbacks, and this
 * costs half as much (cffi's published wheels are built without optimisation).
 */

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <libmilter/mfapi.h>

/* What a Python callback's failure looks like on this side; no SMFIS_* value is negative. */
#define CALLBACK_FAILED (-1000)
#define NOTHING_KEPT (-1)
/* What smfi_setmlreply takes at most. */
#define SETREPLY_LINES 32
/* The step is always answered: no SMFIP_NR_* bit belongs to it. */
#define ALWAYS_ANSWERED 0UL
/* Octets that a session may queue; then Python is called, so that memory stays where the milter can bound it. */
#define QUEUE_LIMIT (256 * 1024)

enum {
	CB_CONNECT, CB_HELO, CB_ENVFROM, CB_ENVRCPT, CB_DATA, CB_HEADER, CB_EOH, CB_BODY, CB_EOM, CB_ABORT, CB_CLOSE,
	CB_UNKNOWN, CB_NEGOTIATE, CB_HEADERS, CALLBACKS
};

static const char *const callback_names[CALLBACKS] = {
	"connect", "helo", "envfrom", "envrcpt", "data", "header", "eoh", "body", "eom", "abort", "close",
	"unknown", "negotiate", "headers"
};

typedef struct {
	SMFICTX *ctx;
	PyObject *context;
	unsigned long unanswered;	/* SMFIP_NR_*: the steps that this milter promised not to answer */
	int kept;			/* a verdict that waits for a step that is answered, or NOTHING_KEPT */
	int kept_for_connection;	/* the verdict fell before MAIL */
	int in_message;
	int message_refused;		/* a verdict about the message was spoken without asking Python at that step */
	char *rcode, *xcode;		/* the reply that belongs to the kept verdict */
	char *line[SETREPLY_LINES];
	int lines;
	char *queue;			/* steps for which Python has not been called yet: struct queued, then its texts */
	size_t queued, room;
	unsigned long actions, steps;	/* SMFIF_* and SMFIP_* as negotiated, 0 where that is not known */
	int ending;			/* the end-of-message callback runs */
	char *changes;			/* header changes to be sent when it has returned: struct change, then its texts */
	size_t changed, changes_room;
} session;

/* A header change; name and value follow, each with a NUL at its end. */
struct change {
	int kind, index;
	size_t name, value;		/* octets, without the NUL */
};

enum { ADD_HEADER, INSERT_HEADER, CHANGE_HEADER };

/* Octets of a header change's packet beside name and value: the number in which insertion and change say where. */
#define LARGEST_INDEX 4

/* A step on the queue. A header's name and its value follow, a body's chunk as `value`; each text ends with a NUL. */
struct queued {
	int callback;
	size_t name, value;		/* octets, without the NUL */
};

/*
 * An MTA may go on with its next client on the same connection (SMFIC_QUIT_NC): libmilter calls close then, and keeps
 * what was negotiated, but tells nobody which close that was. So what the last connections negotiated is remembered by
 * the address of libmilter's context.
 */
#define REMEMBERED 256

static pthread_mutex_t memory = PTHREAD_MUTEX_INITIALIZER;

static struct { SMFICTX *ctx; unsigned long actions, steps; } negotiated[REMEMBERED];
static unsigned int negotiated_next;

static unsigned long long sessions_opened, sessions_closed;
static int exception_policy = SMFIS_TEMPFAIL;
static char failure_text[256] = "milter: internal error";

/* Functions of lib/milter.py. Written with the interpreter's lock held; NULL is a callback that is not set. */
static PyObject *callbacks[CALLBACKS], *new_context, *report_failure;

/*
 * The interpreter's lock. Each thread of libmilter's pool keeps the Python thread state that it got at its first
 * callback: making one costs more than a callback. `serving` tells a thread that ends whether the interpreter is
 * certain to be there still.
 */

static pthread_key_t thread_state;
static int serving;

static void thread_ended(void *state)
{
	if (!__atomic_load_n(&serving, __ATOMIC_ACQUIRE))
		return;
	/* Not PyGILState_Release(): the thread has lost what Python keeps in thread-specific data by now. */
	PyEval_RestoreThread(state);
	PyThreadState_Clear(state);
	(void) PyEval_SaveThread();
	PyThreadState_Delete(state);
}

static void enter_python(void)
{
	PyThreadState *state = pthread_getspecific(thread_state);

	if (state != NULL) {
		PyEval_RestoreThread(state);
		return;
	}
	/* Not released in leave_python(): the count of one keeps the state alive until thread_ended(). */
	(void) PyGILState_Ensure();
	(void) pthread_setspecific(thread_state, PyThreadState_Get());
}

static void leave_python(void)
{
	(void) PyEval_SaveThread();
}

static PyObject *text_of(const char *bytes)
{
	return PyUnicode_DecodeUTF8(bytes, (Py_ssize_t) strlen(bytes), "surrogateescape");
}

/* Hand the current exception to lib/milter.py, which logs it. */
static void report(const char *step)
{
	PyObject *type, *value, *traceback, *result;

	PyErr_Fetch(&type, &value, &traceback);
	PyErr_NormalizeException(&type, &value, &traceback);
	if (traceback != NULL)
		(void) PyException_SetTraceback(value, traceback);
	result = PyObject_CallFunction(report_failure, "sO", step, value);
	if (result == NULL)
		PyErr_WriteUnraisable(report_failure);
	Py_XDECREF(result);
	Py_XDECREF(type);
	Py_XDECREF(value);
	Py_XDECREF(traceback);
}

static int known(long answer, int callback)
{
	return (answer >= SMFIS_CONTINUE && answer <= SMFIS_TEMPFAIL) || answer == SMFIS_NOREPLY ||
		answer == SMFIS_SKIP || (answer == SMFIS_ALL_OPTS && callback == CB_NEGOTIATE);
}

/* What a callback's result says, or CALLBACK_FAILED after a report; takes the reference. */
static int answer_in(PyObject *result, int callback)
{
	long answer = CALLBACK_FAILED;

	if (result != NULL && !PyLong_Check(result))
		PyErr_Format(PyExc_TypeError, "the %s callback must return int, not %R", callback_names[callback], result);
	else if (result != NULL) {
		answer = PyLong_AsLong(result);
		if (!PyErr_Occurred() && !known(answer, callback))
			PyErr_Format(PyExc_ValueError, "the %s callback returned %ld, which libmilter does not know",
				     callback_names[callback], answer);
	}
	Py_XDECREF(result);
	if (PyErr_Occurred()) {
		report(callback_names[callback]);
		return CALLBACK_FAILED;
	}
	return (int) answer;
}

/* Call f(context, a, b), where b or both may be absent; takes the references to a and b. */
static int call(session *s, int callback, PyObject *a, PyObject *b)
{
	PyObject *function = callbacks[callback], *result = NULL;

	Py_XINCREF(function);
	if (!PyErr_Occurred() && function != NULL)
		result = PyObject_CallFunctionObjArgs(function, s->context, a, b, NULL);
	else if (function == NULL)
		result = PyLong_FromLong(SMFIS_CONTINUE);
	Py_XDECREF(function);
	Py_XDECREF(a);
	Py_XDECREF(b);
	return answer_in(result, callback);
}

/* Call f(*arguments), where the first place of the tuple is still empty; takes the reference to it. */
static int call_with(session *s, int callback, PyObject *arguments)
{
	PyObject *function = callbacks[callback], *result = NULL;

	Py_XINCREF(function);
	if (arguments != NULL && function != NULL) {
		Py_INCREF(s->context);
		(void) PyTuple_SetItem(arguments, 0, s->context);
		result = PyObject_Call(function, arguments, NULL);
	} else if (function == NULL && arguments != NULL)
		result = PyLong_FromLong(SMFIS_CONTINUE);
	Py_XDECREF(function);
	Py_XDECREF(arguments);
	return answer_in(result, callback);
}

/* A command's arguments as bytes, behind an empty first place. */
static PyObject *command_arguments(char **arguments)
{
	Py_ssize_t count = 0, place;
	PyObject *tuple;

	while (arguments[count] != NULL)
		count++;
	tuple = PyTuple_New(count + 1);
	for (place = 0; tuple != NULL && place < count; place++) {
		PyObject *bytes = PyBytes_FromString(arguments[place]);
		if (bytes == NULL)
			Py_CLEAR(tuple);
		else
			(void) PyTuple_SetItem(tuple, place + 1, bytes);
	}
	return tuple;
}

static unsigned long unanswered_of(unsigned long steps)
{
	return steps & (SMFIP_NR_CONN | SMFIP_NR_HELO | SMFIP_NR_MAIL | SMFIP_NR_RCPT | SMFIP_NR_DATA | SMFIP_NR_UNKN |
		SMFIP_NR_HDR | SMFIP_NR_EOH | SMFIP_NR_BODY);
}

static void remember_negotiated(const session *s)
{
	unsigned int place = 0;

	(void) pthread_mutex_lock(&memory);
	while (place < REMEMBERED && negotiated[place].ctx != s->ctx)
		place++;
	if (place == REMEMBERED)
		place = negotiated_next++ % REMEMBERED;
	negotiated[place].ctx = s->ctx;
	negotiated[place].actions = s->actions;
	negotiated[place].steps = s->steps;
	(void) pthread_mutex_unlock(&memory);
}

static void recall_negotiated(session *s)
{
	unsigned int place;

	(void) pthread_mutex_lock(&memory);
	for (place = 0; place < REMEMBERED; place++)
		if (negotiated[place].ctx == s->ctx) {
			s->actions = negotiated[place].actions;
			s->steps = negotiated[place].steps;
			s->unanswered = unanswered_of(s->steps);
		}
	(void) pthread_mutex_unlock(&memory);
}

static session *session_of(SMFICTX *ctx)
{
	session *s = smfi_getpriv(ctx);

	if (s != NULL)
		return s;
	s = calloc(1, sizeof *s);
	if (s == NULL)
		return NULL;
	s->ctx = ctx;
	s->kept = NOTHING_KEPT;
	recall_negotiated(s);
	if (smfi_setpriv(ctx, s) != MI_SUCCESS) {
		free(s);
		return NULL;
	}
	__atomic_add_fetch(&sessions_opened, 1, __ATOMIC_RELAXED);
	return s;
}

/* Whether there is the connection's object in Python, from now on if need be. With the interpreter's lock. */
static int has_context(session *s)
{
	if (s->context != NULL)
		return 1;
	s->context = PyObject_CallFunction(new_context, "Kkk", (unsigned long long) (uintptr_t) s->ctx, s->actions, s->steps);
	if (s->context == NULL)
		report("new context");
	return s->context != NULL;
}

static void forget_reply(session *s)
{
	free(s->rcode);
	free(s->xcode);
	s->rcode = s->xcode = NULL;
	while (s->lines > 0) {
		free(s->line[--s->lines]);
		s->line[s->lines] = NULL;
	}
}

static void forget_verdict(session *s)
{
	s->kept = NOTHING_KEPT;
	forget_reply(s);
}

static void keep_reply(session *s, const char *rcode, const char *xcode, char **line, int count)
{
	forget_reply(s);
	s->rcode = strdup(rcode);
	s->xcode = xcode != NULL ? strdup(xcode) : NULL;
	while (s->lines < count && (s->line[s->lines] = strdup(line[s->lines])) != NULL)
		s->lines++;
}

/* smfi_setmlreply is variadic and stops at the first NULL: `line` has NULL behind its last text. */
#define LINES_4(i) line[i], line[i + 1], line[i + 2], line[i + 3]
#define LINES_16(i) LINES_4(i), LINES_4(i + 4), LINES_4(i + 8), LINES_4(i + 12)

static int send_reply(SMFICTX *ctx, char *rcode, char *xcode, char **line, int count)
{
	if (count <= 1)
		return smfi_setreply(ctx, rcode, xcode, count == 1 ? line[0] : NULL);
	return smfi_setmlreply(ctx, rcode, xcode, LINES_16(0), LINES_16(16), (char *) NULL);
}

static int set_reply(SMFICTX *ctx, char *rcode, char *xcode, char **line, int count)
{
	session *s = smfi_getpriv(ctx);
	int result = send_reply(ctx, rcode, xcode, line, count);

	if (result == MI_SUCCESS && s != NULL && s->unanswered)
		/* libmilter forgets the text at the end of the step; see speak_kept(). */
		keep_reply(s, rcode, xcode, line, count);
	return result;
}

/* What the exception policy answers to a failed callback, its reply text included. */
static int answer_to_failure(session *s)
{
	char *rcode = exception_policy == SMFIS_REJECT ? "554" : "451";
	char *xcode = exception_policy == SMFIS_REJECT ? "5.3.0" : "4.3.0";
	char *line = failure_text;

	if (exception_policy == SMFIS_REJECT || exception_policy == SMFIS_TEMPFAIL)
		(void) set_reply(s->ctx, rcode, xcode, &line, 1);
	return exception_policy;
}

/*
 * Turn what a callback returned into what libmilter may hear at this step.
 *
 * A milter that promised not to answer connect or HELO decides nothing there. If it fails there, the failure is reported
 * and the mail goes on, as with pymilter: real milters stumble over clients without an address. What fails within a message
 * makes what the milter knows of it incomplete, so there the policy holds; it is spoken later. An answer to an unknown
 * command is about that command alone: where it can't be given, it is dropped.
 */
static sfsistat settle(session *s, unsigned long step, int answer)
{
	int promised = (s->unanswered & step) != 0;

	if (promised && (step == SMFIP_NR_UNKN ||
			 (answer == CALLBACK_FAILED && (step == SMFIP_NR_CONN || step == SMFIP_NR_HELO))))
		return SMFIS_NOREPLY;
	if (answer == CALLBACK_FAILED)
		answer = answer_to_failure(s);
	if (!promised) {
		if (s->rcode != NULL)
			forget_reply(s);
		return answer == SMFIS_NOREPLY ? SMFIS_CONTINUE : answer;
	}
	if (answer != SMFIS_CONTINUE && answer != SMFIS_NOREPLY && answer != SMFIS_SKIP) {
		s->kept = answer;
		s->kept_for_connection = !s->in_message;
	}
	return SMFIS_NOREPLY;
}

/* Whether a verdict is kept; if so, *answer is what libmilter hears now instead of calling Python. */
static int speak_kept(session *s, unsigned long step, sfsistat *answer)
{
	if (s->kept == NOTHING_KEPT)
		return 0;
	if (s->unanswered & step) {
		*answer = SMFIS_NOREPLY;
		return 1;
	}
	*answer = s->kept;
	if (s->rcode != NULL)
		(void) send_reply(s->ctx, s->rcode, s->xcode, s->line, s->lines);
	/* One about the connection holds for everything that follows, should the MTA go on. */
	s->message_refused = !s->kept_for_connection;
	if (!s->kept_for_connection)
		forget_verdict(s);
	return 1;
}

/*
 * The queue of steps that nobody waits for.
 */

static unsigned long promise_of(int callback)
{
	return callback == CB_HEADER ? SMFIP_NR_HDR : callback == CB_EOH ? SMFIP_NR_EOH : SMFIP_NR_BODY;
}

/* Whether a buffer has `needed` octets now; it may not grow beyond QUEUE_LIMIT. */
static int make_room(char **buffer, size_t *room, size_t needed)
{
	size_t wanted = needed < QUEUE_LIMIT / 2 ? needed * 2 : QUEUE_LIMIT;
	char *larger;

	if (needed <= *room)
		return 1;
	if (needed > QUEUE_LIMIT || (larger = realloc(*buffer, wanted)) == NULL)
		return 0;
	*buffer = larger;
	*room = wanted;
	return 1;
}

/* A large message must not cost its connection memory for good. */
static void give_back(char **buffer, size_t *room)
{
	if (*room <= QUEUE_LIMIT / 8)
		return;
	free(*buffer);
	*buffer = NULL;
	*room = 0;
}

/* Copy octets, with a NUL behind them; returns the place after that. */
static char *put_text(char *place, const char *text, size_t size)
{
	if (size > 0)
		(void) memcpy(place, text, size);
	place[size] = '\0';
	return place + size + 1;
}

/* Put a step on the queue; 0 where it has to be called at once, for want of a promise, of room, or of memory. */
static int enqueue(session *s, int callback, const char *name, const char *value, size_t size)
{
	struct queued step = { callback, name != NULL ? strlen(name) : 0, size };
	size_t needed = s->queued + sizeof step + step.name + step.value + 2;

	if (!(s->unanswered & promise_of(callback)) || !make_room(&s->queue, &s->room, needed))
		return 0;
	char *place = s->queue + s->queued;
	(void) memcpy(place, &step, sizeof step);
	place = put_text(place + sizeof step, name, step.name);
	(void) put_text(place, value, step.value);
	s->queued = needed;
	return 1;
}

static int call_queued(session *s, const struct queued *step, const char *name, const char *value)
{
	switch (step->callback) {
	case CB_HEADER:
		return call(s, CB_HEADER, text_of(name), PyBytes_FromStringAndSize(value, (Py_ssize_t) step->value));
	case CB_BODY:
		return call(s, CB_BODY, PyBytes_FromStringAndSize(value, (Py_ssize_t) step->value), NULL);
	default:
		return call(s, step->callback, NULL, NULL);
	}
}

/* Read the step at a place of the queue, and where its texts are; returns the place of the next. */
static size_t read_step(const session *s, size_t at, struct queued *step, const char **name, const char **value)
{
	(void) memcpy(step, s->queue + at, sizeof *step);
	*name = s->queue + at + sizeof *step;
	*value = *name + step->name + 1;
	return at + sizeof *step + step->name + step->value + 2;
}

static PyObject *field_of(const struct queued *step, const char *name, const char *value)
{
	PyObject *field = PyTuple_New(2);

	if (field == NULL)
		return NULL;
	(void) PyTuple_SetItem(field, 0, PyBytes_FromStringAndSize(name, (Py_ssize_t) step->name));
	(void) PyTuple_SetItem(field, 1, PyBytes_FromStringAndSize(value, (Py_ssize_t) step->value));
	if (PyErr_Occurred())
		Py_CLEAR(field);
	return field;
}

/* Call f(context, [(name, value), ...]) for the header fields that stand next to one another from *at, which moves on. */
static int call_headers(session *s, size_t *at, size_t end)
{
	PyObject *fields = PyList_New(0);
	struct queued step;
	const char *name, *value;

	while (*at < end) {
		size_t next = read_step(s, *at, &step, &name, &value);
		PyObject *field;

		if (step.callback != CB_HEADER)
			break;
		*at = next;
		if (fields == NULL)
			continue;
		field = field_of(&step, name, value);
		if (field == NULL || PyList_Append(fields, field) != 0)
			Py_CLEAR(fields);
		Py_XDECREF(field);
	}
	return call(s, CB_HEADERS, fields, NULL);
}

/* Call Python for what is queued, in its order, up to the first verdict, which is kept. With the interpreter's lock. */
static void work_off(session *s)
{
	size_t end = s->queued, at = 0;

	s->queued = 0;
	while (at < end && s->kept == NOTHING_KEPT) {
		struct queued step;
		const char *name, *value;
		size_t next = read_step(s, at, &step, &name, &value);
		int answer;

		if (step.callback == CB_HEADER && callbacks[CB_HEADERS] != NULL)
			answer = call_headers(s, &at, end);
		else {
			answer = call_queued(s, &step, name, value);
			at = next;
		}
		(void) settle(s, promise_of(step.callback), answer);
	}
	give_back(&s->queue, &s->room);
}

/* Call f(context, options) and read what it made of the list [actions, steps, 0, 0]. */
static int call_negotiate(session *s, unsigned long *option)
{
	PyObject *options = Py_BuildValue("[kkkk]", option[0], option[1], option[2], option[3]);
	Py_ssize_t place;
	int answer;

	Py_XINCREF(options);
	answer = call(s, CB_NEGOTIATE, options, NULL);
	for (place = 0; options != NULL && answer != CALLBACK_FAILED && place < 4; place++) {
		PyObject *number = place < PyList_Size(options) ? PyList_GetItem(options, place) : NULL;
		option[place] = number != NULL ? PyLong_AsUnsignedLong(number) : 0;
		if (PyErr_Occurred()) {
			report(callback_names[CB_NEGOTIATE]);
			answer = CALLBACK_FAILED;
		}
	}
	Py_XDECREF(options);
	return answer;
}

/* The steps that need not be sent, for want of a callback. Where a message begins is needed for verdicts that are kept. */
static unsigned long unwanted_steps(unsigned long promised)
{
	static const struct { int callback; unsigned long step; } optional[] = {
		{ CB_CONNECT, SMFIP_NOCONNECT }, { CB_HELO, SMFIP_NOHELO }, { CB_ENVFROM, SMFIP_NOMAIL },
		{ CB_ENVRCPT, SMFIP_NORCPT }, { CB_DATA, SMFIP_NODATA }, { CB_UNKNOWN, SMFIP_NOUNKNOWN },
		{ CB_HEADER, SMFIP_NOHDRS }, { CB_EOH, SMFIP_NOEOH }, { CB_BODY, SMFIP_NOBODY }
	};
	unsigned long unwanted = 0;
	size_t number;

	for (number = 0; number < sizeof optional / sizeof *optional; number++)
		if (callbacks[optional[number].callback] == NULL)
			unwanted |= optional[number].step;
	return promised ? unwanted & ~SMFIP_NOMAIL : unwanted;
}

/* The actions and steps of an offer that answer every step and take everything else. */
static void take_all(const unsigned long *offered, unsigned long *chosen)
{
	chosen[0] = offered[0];
	chosen[1] = offered[1] & SMFIP_SKIP;
	chosen[2] = chosen[3] = 0;
}

/* The client's address as Python's socket module writes it, None where there is none. */
static PyObject *address_of(_SOCK_ADDR *address)
{
	char text[INET6_ADDRSTRLEN] = "";

	if (address != NULL && address->sa_family == AF_INET) {
		struct sockaddr_in *in = (struct sockaddr_in *) address;
		(void) inet_ntop(AF_INET, &in->sin_addr, text, sizeof text);
		return Py_BuildValue("(si)", text, (int) ntohs(in->sin_port));
	}
	if (address != NULL && address->sa_family == AF_INET6) {
		struct sockaddr_in6 *in6 = (struct sockaddr_in6 *) address;
		(void) inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof text);
		return Py_BuildValue("(siII)", text, (int) ntohs(in6->sin6_port),
				     (unsigned int) ntohl(in6->sin6_flowinfo), (unsigned int) in6->sin6_scope_id);
	}
	if (address != NULL && address->sa_family == AF_UNIX) {
		struct sockaddr_un *un = (struct sockaddr_un *) address;
		size_t size = strnlen(un->sun_path, sizeof un->sun_path);
		return PyUnicode_DecodeUTF8(un->sun_path, (Py_ssize_t) size, "surrogateescape");
	}
	return Py_BuildValue("");
}

static PyObject *connect_arguments(char *host, _SOCK_ADDR *address)
{
	int family = address != NULL ? address->sa_family : AF_UNSPEC;

	/* The first place stays empty for the context; "N" takes the references. */
	return Py_BuildValue("(ONiN)", Py_None, text_of(host), family, address_of(address));
}

/*
 * Header changes. libmilter would write each to the MTA at once, and Python would let go of its lock for that. What
 * libmilter would refuse it is asked for at once, so that the milter hears of it where it asked.
 */

static PyObject *defer_change(PyObject *module, PyObject *arguments)
{
	unsigned long long address;
	struct change change = { 0 };
	const char *name;
	char *value = "";
	PyObject *content;
	session *s;
	size_t needed;

	(void) module;
	if (!PyArg_ParseTuple(arguments, "KiiyO", &address, &change.kind, &change.index, &name, &content))
		return NULL;
	if (content != Py_None && (value = PyBytes_AsString(content)) == NULL)
		return NULL;
	s = smfi_getpriv((SMFICTX *) (uintptr_t) address);
	if (s == NULL || !s->ending || name[0] == '\0' || change.index < (change.kind == CHANGE_HEADER) ||
	    !(s->actions & (change.kind == CHANGE_HEADER ? SMFIF_CHGHDRS : SMFIF_ADDHDRS)))
		Py_RETURN_FALSE;
	change.name = strlen(name);
	change.value = strlen(value);
	if (LARGEST_INDEX + change.name + change.value + 2 > MILTER_MAX_DATA_SIZE)
		/* It may not fit into a packet: libmilter is asked at once, and says so where the milter can hear it. */
		Py_RETURN_FALSE;
	needed = s->changed + sizeof change + change.name + change.value + 2;
	if (!make_room(&s->changes, &s->changes_room, needed))
		Py_RETURN_FALSE;
	char *place = s->changes + s->changed;
	(void) memcpy(place, &change, sizeof change);
	place = put_text(place + sizeof change, name, change.name);
	(void) put_text(place, value, change.value);
	s->changed = needed;
	Py_RETURN_TRUE;
}

static int send_change(SMFICTX *ctx, const struct change *change, char *name, char *value)
{
	switch (change->kind) {
	case ADD_HEADER:
		return smfi_addheader(ctx, name, value);
	case INSERT_HEADER:
		return smfi_insheader(ctx, change->index, name, value);
	default:
		return smfi_chgheader(ctx, name, change->index, value);
	}
}

/* Send what is collected, in its order. Without the interpreter's lock. */
static int send_changes(SMFICTX *ctx)
{
	session *s = smfi_getpriv(ctx);
	size_t at = 0;
	int result = MI_SUCCESS;

	if (s == NULL)
		return MI_SUCCESS;
	while (at < s->changed && result == MI_SUCCESS) {
		struct change change;
		char *name;

		(void) memcpy(&change, s->changes + at, sizeof change);
		name = s->changes + at + sizeof change;
		result = send_change(ctx, &change, name, name + change.name + 1);
		at += sizeof change + change.name + change.value + 2;
	}
	s->changed = 0;
	give_back(&s->changes, &s->changes_room);
	return result;
}

static int call_eom(session *s)
{
	int answer;

	s->ending = 1;
	answer = call(s, CB_EOM, NULL, NULL);
	s->ending = 0;
	return answer;
}

/*
 * The steps, as libmilter calls them.
 */

/* A callback of libmilter with its arguments, and what Python answers to it. */
struct step {
	struct job job;			/* the first: run_step() gets its address */
	session *s;
	int callback;
	int answer;
	char *text;			/* of connect, HELO and an unknown command; a header's name */
	char **arguments;		/* of MAIL and RCPT */
	_SOCK_ADDR *address;
	const char *value;		/* of a header, or a chunk of the body */
	size_t size;
	unsigned long *option;		/* of negotiation */
};

/* The connection's object, which nobody needs any more. */
static void drop_context(session *s)
{
	/* Who still holds the context shall hear "bad context" instead of reaching freed memory. */
	if (PyObject_SetAttrString(s->context, "_ctx", Py_None) != 0)
		report(callback_names[CB_CLOSE]);
	Py_CLEAR(s->context);
}

static int call_step(struct step *step)
{
	session *s = step->s;
	int callback = step->callback;

	switch (callback) {
	case CB_NEGOTIATE:
		return call_negotiate(s, step->option);
	case CB_CONNECT:
		return call_with(s, callback, connect_arguments(step->text, step->address));
	case CB_ENVFROM:
	case CB_ENVRCPT:
		return call_with(s, callback, command_arguments(step->arguments));
	case CB_HELO:
	case CB_UNKNOWN:
		return call(s, callback, text_of(step->text), NULL);
	case CB_HEADER:
		return call(s, callback, text_of(step->text), PyBytes_FromStringAndSize(step->value, (Py_ssize_t) step->size));
	case CB_BODY:
		return call(s, callback, PyBytes_FromStringAndSize(step->value, (Py_ssize_t) step->size), NULL);
	case CB_EOM:
		return call_eom(s);
	default:
		return call(s, callback, NULL, NULL);
	}
}

/* Call Python for a step, after what is queued, unless that brought a verdict: then it is kept. */
static void run_step(struct job *job)
{
	struct step *step = (struct step *) job;
	int ends = step->callback == CB_ABORT || step->callback == CB_CLOSE;

	step->answer = SMFIS_TEMPFAIL;
	if (!has_context(step->s))
		return;
	work_off(step->s);
	if (step->s->kept == NOTHING_KEPT || ends)
		step->answer = call_step(step);
	if (step->callback == CB_CLOSE)
		drop_context(step->s);
}

static int may_wait(int callback)
{
	return callback == CB_HEADER || callback == CB_EOH || callback == CB_BODY;
}

/* What libmilter hears at a step that the milter may have promised not to answer (`bit`). */
static sfsistat take_step(SMFICTX *ctx, struct step *step, unsigned long bit)
{
	session *s = session_of(ctx);
	sfsistat answer;

	if (s == NULL)
		return SMFIS_TEMPFAIL;
	if (speak_kept(s, bit, &answer))
		return answer;
	if (may_wait(step->callback) && enqueue(s, step->callback, step->text, step->value, step->size))
		return SMFIS_NOREPLY;
	if (callbacks[step->callback] == NULL && s->queued == 0)
		return settle(s, bit, SMFIS_CONTINUE);
	step->s = s;
	perform(&step->job, run_step);
	return speak_kept(s, bit, &answer) ? answer : settle(s, bit, step->answer);
}

static sfsistat on_negotiate(SMFICTX *ctx, unsigned long f0, unsigned long f1, unsigned long f2, unsigned long f3,
			     unsigned long *pf0, unsigned long *pf1, unsigned long *pf2, unsigned long *pf3)
{
	unsigned long offered[4] = { f0, f1, f2, f3 }, chosen[4] = { f0, f1, f2, f3 };
	struct step step = { .callback = CB_NEGOTIATE, .s = session_of(ctx), .option = chosen };
	session *s = step.s;
	int answer = SMFIS_ALL_OPTS;

	if (s == NULL)
		return SMFIS_REJECT;
	if (callbacks[CB_NEGOTIATE] != NULL) {
		perform(&step.job, run_step);
		answer = step.answer;
	}
	if (answer == CALLBACK_FAILED && exception_policy == SMFIS_CONTINUE)
		/* What a failed callback chose may be half done: take everything, promise nothing. */
		answer = SMFIS_ALL_OPTS;
	if (answer == SMFIS_ALL_OPTS)
		take_all(offered, chosen);
	else if (answer != SMFIS_CONTINUE)
		return SMFIS_REJECT;
	s->actions = chosen[0];
	s->steps = chosen[1];
	s->unanswered = unanswered_of(s->steps);
	*pf0 = chosen[0];
	*pf1 = chosen[1] | (f1 & unwanted_steps(s->unanswered));
	*pf2 = chosen[2];
	*pf3 = chosen[3];
	return SMFIS_CONTINUE;
}

static sfsistat on_connect(SMFICTX *ctx, char *host, _SOCK_ADDR *address)
{
	struct step step = { .callback = CB_CONNECT, .text = host, .address = address };

	return take_step(ctx, &step, SMFIP_NR_CONN);
}

static sfsistat on_helo(SMFICTX *ctx, char *name)
{
	struct step step = { .callback = CB_HELO, .text = name };

	return take_step(ctx, &step, SMFIP_NR_HELO);
}

static sfsistat on_envfrom(SMFICTX *ctx, char **arguments)
{
	struct step step = { .callback = CB_ENVFROM, .arguments = arguments };
	session *s = session_of(ctx);

	if (s != NULL) {
		s->in_message = 1;
		/* A verdict about the message before has nothing to say about this one. */
		if (!s->kept_for_connection)
			forget_verdict(s);
	}
	return take_step(ctx, &step, SMFIP_NR_MAIL);
}

static sfsistat on_envrcpt(SMFICTX *ctx, char **arguments)
{
	struct step step = { .callback = CB_ENVRCPT, .arguments = arguments };

	return take_step(ctx, &step, SMFIP_NR_RCPT);
}

static sfsistat on_data(SMFICTX *ctx)
{
	struct step step = { .callback = CB_DATA };

	return take_step(ctx, &step, SMFIP_NR_DATA);
}

static sfsistat on_unknown(SMFICTX *ctx, const char *line)
{
	struct step step = { .callback = CB_UNKNOWN, .text = (char *) line };

	return take_step(ctx, &step, SMFIP_NR_UNKN);
}

static sfsistat on_header(SMFICTX *ctx, char *name, char *value)
{
	struct step step = { .callback = CB_HEADER, .text = name, .value = value, .size = strlen(value) };

	return take_step(ctx, &step, SMFIP_NR_HDR);
}

static sfsistat on_eoh(SMFICTX *ctx)
{
	struct step step = { .callback = CB_EOH };

	return take_step(ctx, &step, SMFIP_NR_EOH);
}

static sfsistat on_body(SMFICTX *ctx, unsigned char *chunk, size_t size)
{
	struct step step = { .callback = CB_BODY, .value = (const char *) chunk, .size = size };

	return take_step(ctx, &step, SMFIP_NR_BODY);
}

static void tell_abort(session *s)
{
	struct step step = { .callback = CB_ABORT, .s = s };

	if (callbacks[CB_ABORT] != NULL || s->queued > 0)
		perform(&step.job, run_step);
}

static sfsistat on_eom(SMFICTX *ctx)
{
	struct step step = { .callback = CB_EOM };
	session *s = session_of(ctx);
	sfsistat answer;

	if (s == NULL)
		return SMFIS_TEMPFAIL;
	s->message_refused = 0;
	answer = take_step(ctx, &step, ALWAYS_ANSWERED);
	if (s->message_refused)
		/* No abort follows the end of a message: without this one, Python would never hear that it is over. */
		tell_abort(s);
	s->in_message = 0;
	/* Where it can't be written to, the MTA is gone; should it hear us nevertheless, it has not got all changes. */
	return send_changes(ctx) == MI_SUCCESS ? answer : answer_to_failure(s);
}

static sfsistat on_abort(SMFICTX *ctx)
{
	session *s = session_of(ctx);

	if (s == NULL)
		return SMFIS_CONTINUE;
	tell_abort(s);
	s->in_message = 0;
	if (!s->kept_for_connection)
		forget_verdict(s);
	return SMFIS_CONTINUE;
}

static sfsistat on_close(SMFICTX *ctx)
{
	struct step step = { .callback = CB_CLOSE, .s = smfi_getpriv(ctx) };
	session *s = step.s;

	if (s == NULL)
		return SMFIS_CONTINUE;
	perform(&step.job, run_step);
	remember_negotiated(s);
	(void) smfi_setpriv(ctx, NULL);
	__atomic_add_fetch(&sessions_closed, 1, __ATOMIC_RELAXED);
	forget_verdict(s);
	free(s->queue);
	free(s->changes);
	free(s);
	return SMFIS_CONTINUE;
}

/*
 * Tell libmilter the milter's name, actions and callbacks. All of them, whatever the milter has set: it may set more while
 * libmilter runs. Which steps the MTA need not send is settled in each negotiation.
 */
static int register_milter(char *name, unsigned long flags)
{
	struct smfiDesc description = {
		.xxfi_name = name,
		.xxfi_version = SMFI_VERSION,
		.xxfi_flags = flags,
		.xxfi_connect = on_connect,
		.xxfi_helo = on_helo,
		.xxfi_envfrom = on_envfrom,
		.xxfi_envrcpt = on_envrcpt,
		.xxfi_header = on_header,
		.xxfi_eoh = on_eoh,
		.xxfi_body = on_body,
		.xxfi_eom = on_eom,
		.xxfi_abort = on_abort,
		.xxfi_close = on_close,
		.xxfi_unknown = on_unknown,
		.xxfi_data = on_data,
		.xxfi_negotiate = on_negotiate,
	};

	(void) strncpy(failure_text, name, sizeof failure_text - 32);
	failure_text[sizeof failure_text - 32] = '\0';
	(void) strcat(failure_text, ": internal error");
	return smfi_register(description);
}

/*
 * smfi_getsymval only looks at what libmilter has: letting go of the interpreter's lock, as cffi does around each call,
 * would cost many times the call itself.
 */
static PyObject *macro(PyObject *module, PyObject *arguments)
{
	unsigned long long address;
	char *name, *value;

	(void) module;
	if (!PyArg_ParseTuple(arguments, "Ky", &address, &name))
		return NULL;
	value = smfi_getsymval((SMFICTX *) (uintptr_t) address, name);
	if (value == NULL)
		Py_RETURN_NONE;
	return text_of(value);
}

/* Whether the thread steps aside; it steps back only then. */
static PyObject *aside(PyObject *module, PyObject *unused)
{
	(void) module;
	(void) unused;
	return PyBool_FromLong(step_aside());
}

static PyObject *back(PyObject *module, PyObject *unused)
{
	(void) module;
	(void) unused;
	step_back();
	Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
	{ "step_aside", aside, METH_NOARGS, "Let other connections run Python; whether it was this thread's turn." },
	{ "step_back", back, METH_NOARGS, "Wait for this thread's turn, which it gave up." },
	{ "macro", macro, METH_VARARGS, "The value of a macro of the connection at this address, or None." },
	{ "defer_change", defer_change, METH_VARARGS, "Whether a header change will be sent when the callback returns." }
};

/* Put them into the package; 0, or -1 if it fails. */
static int add_functions(void)
{
	PyObject *package = PyImport_ImportModule("_libmilter");
	size_t number;
	int result = package != NULL ? 0 : -1;

	for (number = 0; result == 0 && number < sizeof functions / sizeof *functions; number++) {
		PyObject *function = PyCFunction_NewEx(&functions[number], NULL, NULL);
		result = function != NULL ? PyObject_SetAttrString(package, functions[number].ml_name, function) : -1;
		Py_XDECREF(function);
	}
	Py_XDECREF(package);
	return result;
}

/* Take the functions from lib/milter.py, which is being imported or has changed its callbacks; 0, or -1 if it fails. */
static int load_functions(void)
{
	PyGILState_STATE lock = PyGILState_Ensure();
	PyObject *module = PyImport_ImportModule("milter");
	PyObject *set = module != NULL ? PyObject_GetAttrString(module, "_callbacks") : NULL;
	int callback, result = -1;

	for (callback = 0; set != NULL && callback < CALLBACKS; callback++) {
		PyObject *before = callbacks[callback];
		callbacks[callback] = PyDict_GetItemString(set, callback_names[callback]);
		Py_XINCREF(callbacks[callback]);
		Py_XDECREF(before);
	}
	if (set != NULL && new_context == NULL) {
		new_context = PyObject_GetAttrString(module, "_new_context");
		report_failure = PyObject_GetAttrString(module, "_report_failure");
		if (add_functions() != 0 || pthread_key_create(&thread_state, thread_ended) != 0)
			Py_CLEAR(new_context);
	}
	if (set != NULL && new_context != NULL && report_failure != NULL)
		result = 0;
	PyErr_Clear();
	Py_XDECREF(set);
	Py_XDECREF(module);
	PyGILState_Release(lock);
	return result;
}

static int serve(void)
{
	int result;

	__atomic_store_n(&serving, 1, __ATOMIC_RELEASE);
	result = smfi_main();
	__atomic_store_n(&serving, 0, __ATOMIC_RELEASE);
	return result;
}

static void set_policy(int policy) { exception_policy = policy; }
static void set_patience(unsigned int milliseconds) { patience = milliseconds; }
static unsigned long long opened_sessions(void) { return __atomic_load_n(&sessions_opened, __ATOMIC_RELAXED); }
static unsigned long long closed_sessions(void) { return __atomic_load_n(&sessions_closed, __ATOMIC_RELAXED); }
