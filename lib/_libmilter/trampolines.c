/*
 * What stands between libmilter's callbacks and the Python functions of lib/milter.py.
 *
 * libmilter knows a connection as SMFICTX. Its private pointer holds a `session` of ours, which is made at the first
 * callback and freed at close; Python knows the session by its key, a number that is never used twice, so a stale key
 * can never reach the wrong connection.
 *
 * This half also keeps the promises of option negotiation, whatever the Python half returns. Where a milter promised
 * not to answer a step, libmilter sends nothing for a refusal either and leaves the connection in a state that never
 * answers again; so a verdict that falls in such a step is kept, with its reply text, and given at the next step that
 * is answered. A value that libmilter does not know would hang the connection as well: it counts as a failure.
 */

#include <arpa/inet.h>
#include <limits.h>
#include <netinet/in.h>
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

enum {
	CB_CONNECT = 1 << 0, CB_HELO = 1 << 1, CB_ENVFROM = 1 << 2, CB_ENVRCPT = 1 << 3, CB_DATA = 1 << 4,
	CB_HEADER = 1 << 5, CB_EOH = 1 << 6, CB_BODY = 1 << 7, CB_EOM = 1 << 8, CB_ABORT = 1 << 9,
	CB_CLOSE = 1 << 10, CB_UNKNOWN = 1 << 11, CB_NEGOTIATE = 1 << 12
};

typedef struct {
	SMFICTX *ctx;
	unsigned long long key;
	unsigned long unanswered;	/* SMFIP_NR_*: the steps that this milter promised not to answer */
	int kept;			/* a verdict that waits for a step that is answered, or NOTHING_KEPT */
	int kept_for_connection;	/* the verdict fell before MAIL */
	int in_message;
	char *rcode, *xcode;		/* the reply that belongs to the kept verdict */
	char *line[SETREPLY_LINES];
	int lines;
} session;

static unsigned long long sessions_opened, sessions_closed;
static unsigned int wanted;
static int exception_policy = SMFIS_TEMPFAIL;
static char failure_text[256] = "milter: internal error";

static int py_open(unsigned long long key, SMFICTX *ctx);
static int py_negotiate(unsigned long long key, unsigned long *offered, unsigned long *chosen);
static int py_connect(unsigned long long key, char *host, int family, char *address, int port,
		      unsigned int flow, unsigned int scope);
static int py_helo(unsigned long long key, char *name);
static int py_envfrom(unsigned long long key, char **arguments, int count);
static int py_envrcpt(unsigned long long key, char **arguments, int count);
static int py_data(unsigned long long key);
static int py_unknown(unsigned long long key, char *line);
static int py_header(unsigned long long key, char *name, char *value);
static int py_eoh(unsigned long long key);
static int py_body(unsigned long long key, unsigned char *chunk, size_t size);
static int py_eom(unsigned long long key);
static int py_abort(unsigned long long key);
static int py_close(unsigned long long key, int has_callback);
static int py_complain(unsigned long long key, int answer);

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
	s->key = __atomic_add_fetch(&sessions_opened, 1, __ATOMIC_RELAXED);
	if (smfi_setpriv(ctx, s) != MI_SUCCESS || py_open(s->key, ctx) != 0) {
		(void) smfi_setpriv(ctx, NULL);
		__atomic_add_fetch(&sessions_closed, 1, __ATOMIC_RELAXED);
		free(s);
		return NULL;
	}
	return s;
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

static int known(int answer)
{
	return (answer >= SMFIS_CONTINUE && answer <= SMFIS_TEMPFAIL) || answer == SMFIS_NOREPLY || answer == SMFIS_SKIP;
}

/* Turn what a callback returned into what libmilter may hear at this step. */
static sfsistat settle(session *s, unsigned long step, int answer)
{
	int promised = (s->unanswered & step) != 0;

	if (!known(answer)) {
		if (answer != CALLBACK_FAILED)
			(void) py_complain(s->key, answer);
		answer = answer_to_failure(s);
	}
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
	if (!s->kept_for_connection)
		forget_verdict(s);
	return 1;
}

#define BEGIN_STEP(bit)							\
	session *s = session_of(ctx);					\
	sfsistat kept;							\
	if (s == NULL)							\
		return SMFIS_TEMPFAIL;					\
	if (speak_kept(s, (bit), &kept))				\
		return kept

#define END_STEP(bit, callback, call)					\
	return settle(s, (bit), wanted & (callback) ? (call) : SMFIS_CONTINUE)

static int count_arguments(char **arguments)
{
	int count = 0;

	while (arguments[count] != NULL)
		count++;
	return count;
}

static sfsistat on_negotiate(SMFICTX *ctx, unsigned long f0, unsigned long f1, unsigned long f2, unsigned long f3,
			     unsigned long *pf0, unsigned long *pf1, unsigned long *pf2, unsigned long *pf3)
{
	unsigned long offered[4] = { f0, f1, f2, f3 }, chosen[4] = { f0, f1, f2, f3 };
	session *s = session_of(ctx);
	int answer;

	if (s == NULL)
		return SMFIS_REJECT;
	if (!(wanted & CB_NEGOTIATE))
		return SMFIS_ALL_OPTS;
	answer = py_negotiate(s->key, offered, chosen);
	*pf0 = chosen[0];
	*pf1 = chosen[1];
	*pf2 = chosen[2];
	*pf3 = chosen[3];
	if (answer == CALLBACK_FAILED && exception_policy == SMFIS_CONTINUE)
		/* What a failed callback chose may be half done: take everything, promise nothing. */
		return SMFIS_ALL_OPTS;
	if (answer == SMFIS_CONTINUE)
		s->unanswered = chosen[1] & (SMFIP_NR_CONN | SMFIP_NR_HELO | SMFIP_NR_MAIL | SMFIP_NR_RCPT |
			SMFIP_NR_DATA | SMFIP_NR_UNKN | SMFIP_NR_HDR | SMFIP_NR_EOH | SMFIP_NR_BODY);
	return answer == SMFIS_CONTINUE || answer == SMFIS_ALL_OPTS ? answer : SMFIS_REJECT;
}

static sfsistat on_connect(SMFICTX *ctx, char *host, _SOCK_ADDR *address)
{
	char text[sizeof(((struct sockaddr_un *) 0)->sun_path) + INET6_ADDRSTRLEN] = "";
	int family = address != NULL ? address->sa_family : AF_UNSPEC, port = 0;
	unsigned int flow = 0, scope = 0;

	BEGIN_STEP(SMFIP_NR_CONN);
	if (family == AF_INET) {
		struct sockaddr_in *in = (struct sockaddr_in *) address;
		(void) inet_ntop(AF_INET, &in->sin_addr, text, sizeof text);
		port = ntohs(in->sin_port);
	} else if (family == AF_INET6) {
		struct sockaddr_in6 *in6 = (struct sockaddr_in6 *) address;
		(void) inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof text);
		port = ntohs(in6->sin6_port);
		flow = ntohl(in6->sin6_flowinfo);
		scope = in6->sin6_scope_id;
	} else if (family == AF_UNIX) {
		struct sockaddr_un *un = (struct sockaddr_un *) address;
		memcpy(text, un->sun_path, sizeof un->sun_path);
	}
	END_STEP(SMFIP_NR_CONN, CB_CONNECT, py_connect(s->key, host, family, text, port, flow, scope));
}

static sfsistat on_helo(SMFICTX *ctx, char *name)
{
	BEGIN_STEP(SMFIP_NR_HELO);
	END_STEP(SMFIP_NR_HELO, CB_HELO, py_helo(s->key, name));
}

static sfsistat on_envfrom(SMFICTX *ctx, char **arguments)
{
	session *fresh = session_of(ctx);

	if (fresh != NULL) {
		fresh->in_message = 1;
		/* A verdict about the message before has nothing to say about this one. */
		if (!fresh->kept_for_connection)
			forget_verdict(fresh);
	}
	BEGIN_STEP(SMFIP_NR_MAIL);
	END_STEP(SMFIP_NR_MAIL, CB_ENVFROM, py_envfrom(s->key, arguments, count_arguments(arguments)));
}

static sfsistat on_envrcpt(SMFICTX *ctx, char **arguments)
{
	BEGIN_STEP(SMFIP_NR_RCPT);
	END_STEP(SMFIP_NR_RCPT, CB_ENVRCPT, py_envrcpt(s->key, arguments, count_arguments(arguments)));
}

static sfsistat on_data(SMFICTX *ctx)
{
	BEGIN_STEP(SMFIP_NR_DATA);
	END_STEP(SMFIP_NR_DATA, CB_DATA, py_data(s->key));
}

static sfsistat on_unknown(SMFICTX *ctx, const char *line)
{
	BEGIN_STEP(SMFIP_NR_UNKN);
	END_STEP(SMFIP_NR_UNKN, CB_UNKNOWN, py_unknown(s->key, (char *) line));
}

static sfsistat on_header(SMFICTX *ctx, char *name, char *value)
{
	BEGIN_STEP(SMFIP_NR_HDR);
	END_STEP(SMFIP_NR_HDR, CB_HEADER, py_header(s->key, name, value));
}

static sfsistat on_eoh(SMFICTX *ctx)
{
	BEGIN_STEP(SMFIP_NR_EOH);
	END_STEP(SMFIP_NR_EOH, CB_EOH, py_eoh(s->key));
}

static sfsistat on_body(SMFICTX *ctx, unsigned char *chunk, size_t size)
{
	BEGIN_STEP(SMFIP_NR_BODY);
	END_STEP(SMFIP_NR_BODY, CB_BODY, py_body(s->key, chunk, size));
}

static sfsistat on_eom(SMFICTX *ctx)
{
	BEGIN_STEP(ALWAYS_ANSWERED);
	s->in_message = 0;
	END_STEP(ALWAYS_ANSWERED, CB_EOM, py_eom(s->key));
}

static sfsistat on_abort(SMFICTX *ctx)
{
	session *s = session_of(ctx);

	if (s == NULL)
		return SMFIS_CONTINUE;
	s->in_message = 0;
	if (!s->kept_for_connection)
		forget_verdict(s);
	if (wanted & CB_ABORT)
		(void) py_abort(s->key);
	return SMFIS_CONTINUE;
}

static sfsistat on_close(SMFICTX *ctx)
{
	session *s = smfi_getpriv(ctx);

	if (s == NULL)
		return SMFIS_CONTINUE;
	(void) py_close(s->key, (wanted & CB_CLOSE) != 0);
	(void) smfi_setpriv(ctx, NULL);
	__atomic_add_fetch(&sessions_closed, 1, __ATOMIC_RELAXED);
	forget_verdict(s);
	free(s);
	return SMFIS_CONTINUE;
}

/*
 * Tell libmilter the milter's name, actions and callbacks. A step that the milter has no callback for is left out, so
 * libmilter asks the MTA not to send it. A milter that negotiates may promise not to answer: then the steps that say
 * where a message begins and ends are needed for the verdicts that are kept.
 */
#define STEP(callback, function) (wanted & (callback) ? (function) : NULL)
#define OR_KEPT CB_NEGOTIATE

static int register_milter(char *name, unsigned long flags)
{
	struct smfiDesc description = {
		.xxfi_name = name,
		.xxfi_version = SMFI_VERSION,
		.xxfi_flags = flags,
		.xxfi_connect = STEP(CB_CONNECT, on_connect),
		.xxfi_helo = STEP(CB_HELO, on_helo),
		.xxfi_envfrom = STEP(CB_ENVFROM | OR_KEPT, on_envfrom),
		.xxfi_envrcpt = STEP(CB_ENVRCPT, on_envrcpt),
		.xxfi_header = STEP(CB_HEADER, on_header),
		.xxfi_eoh = STEP(CB_EOH, on_eoh),
		.xxfi_body = STEP(CB_BODY, on_body),
		.xxfi_eom = STEP(CB_EOM | OR_KEPT, on_eom),
		.xxfi_abort = STEP(CB_ABORT | OR_KEPT, on_abort),
		.xxfi_close = on_close,
		.xxfi_unknown = STEP(CB_UNKNOWN, on_unknown),
		.xxfi_data = STEP(CB_DATA, on_data),
		.xxfi_negotiate = STEP(CB_NEGOTIATE, on_negotiate),
	};

	(void) strncpy(failure_text, name, sizeof failure_text - 32);
	failure_text[sizeof failure_text - 32] = '\0';
	(void) strcat(failure_text, ": internal error");
	return smfi_register(description);
}

static void set_wanted(unsigned int callbacks) { wanted = callbacks; }
static void set_policy(int policy) { exception_policy = policy; }
static unsigned long long opened_sessions(void) { return __atomic_load_n(&sessions_opened, __ATOMIC_RELAXED); }
static unsigned long long closed_sessions(void) { return __atomic_load_n(&sessions_closed, __ATOMIC_RELAXED); }
