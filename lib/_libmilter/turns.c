/*
 * Whose turn it is to run Python. Comes before trampolines.c, into the same compilation.
 *
 * libmilter has a thread for each connection that is busy. When all of them asked for the interpreter's lock, it went from one
 * to the next every 5 ms: each message took as long as all of them together, and every change of threads found the caches of its
 * processor filled by somebody else. So only one thread at a time has the turn. A step that finds it free runs at once, in
 * libmilter's thread. Otherwise it joins a queue, which a thread of ours, a runner, works off in order without ever letting go.
 *
 * The turn is no lock: nothing breaks when somebody goes on without it, then Python's own lock divides the time, as it always
 * does. Whoever is going to wait for the network steps aside meanwhile. From those who wait or compute for a while (`patience`)
 * without saying so the turn is taken away.
 */

#include <errno.h>
#include <pthread.h>
#include <time.h>

/* Milliseconds without progress, after which the turn is taken from whoever has it. */
static unsigned int patience = 20;
/* Runners that wait aside in the middle of a step, at most; beyond that, libmilter's threads run their steps themselves. */
#define RUNNERS 64

enum { QUEUED, TAKEN, DONE };

/* What is to be done with Python's lock, or (without `run`) somebody who stepped aside and wants the turn back. */
struct job {
	void (*run)(struct job *);
	struct job *next;
	int state;
	unsigned long granted;		/* the turn that the latter was given */
	pthread_cond_t changed;
};

static pthread_mutex_t turns = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t runner_wanted = PTHREAD_COND_INITIALIZER;
/* All of these with `turns` locked, for moments only, and never while waiting for Python's lock. */
static struct job *first_job, *last_job;
static unsigned int jobs_queued, runners, idle_runners;
static unsigned long turn, turns_given, jobs_begun;	/* the number of the turn that somebody has, 0 if it is free */

/* The number of the turn that this thread was given last. */
static __thread unsigned long my_turn;

static void enter_python(void);
static void leave_python(void);
static void *runner(void *unused);

static void take_turn(void)
{
	turn = my_turn = ++turns_given;
}

static int has_turn(void)
{
	return my_turn != 0 && my_turn == turn;
}

static void append_job(struct job *job)
{
	job->next = NULL;
	if (first_job == NULL)
		first_job = job;
	else
		last_job->next = job;
	last_job = job;
	jobs_queued++;
}

static void prepend_job(struct job *job)
{
	job->next = first_job;
	if (first_job == NULL)
		last_job = job;
	first_job = job;
	jobs_queued++;
}

static struct job *next_job(void)
{
	struct job *job = first_job;

	first_job = job->next;
	if (first_job == NULL)
		last_job = NULL;
	jobs_queued--;
	jobs_begun++;
	job->state = TAKEN;
	return job;
}

static void withdraw_job(struct job *job)
{
	struct job **place = &first_job, *before = NULL;

	while (*place != job) {
		before = *place;
		place = &before->next;
	}
	*place = job->next;
	if (last_job == job)
		last_job = before;
	jobs_queued--;
}

static int start_runner(void)
{
	pthread_attr_t attributes;
	pthread_t thread;
	int started;

	if (runners >= RUNNERS || pthread_attr_init(&attributes) != 0)
		return 0;
	(void) pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	started = pthread_create(&thread, &attributes, runner, NULL) == 0;
	(void) pthread_attr_destroy(&attributes);
	runners += started;
	return started;
}

/* Let a runner work off the queue, if there is one; 0 where none can be had. */
static int free_turn(void)
{
	turn = 0;
	if (first_job == NULL)
		return 1;
	if (idle_runners == 0)
		return start_runner();
	(void) pthread_cond_signal(&runner_wanted);
	return 1;
}

/* Wait until a job is done, or somebody's turn is back; 0 where nobody will see to it, and it is withdrawn. */
static int await_job(struct job *job)
{
	unsigned long seen = jobs_begun;

	while (job->state != DONE) {
		struct timespec until;
		unsigned int limit = patience * jobs_queued;	/* who comes later waits for those before */

		if (job->state == TAKEN) {
			(void) pthread_cond_wait(&job->changed, &turns);
			continue;
		}
		(void) clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += limit / 1000;
		until.tv_nsec += limit % 1000 * 1000000L;
		if (until.tv_nsec >= 1000000000L) {
			until.tv_sec++;
			until.tv_nsec -= 1000000000L;
		}
		if (pthread_cond_timedwait(&job->changed, &turns, &until) != ETIMEDOUT || job->state != QUEUED)
			continue;
		if (jobs_begun == seen && !free_turn()) {
			withdraw_job(job);
			return 0;
		}
		seen = jobs_begun;
	}
	return 1;
}

static void begin_job(struct job *job, void (*run)(struct job *))
{
	pthread_condattr_t attributes;

	job->run = run;
	job->state = QUEUED;
	(void) pthread_condattr_init(&attributes);
	(void) pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	(void) pthread_cond_init(&job->changed, &attributes);
	(void) pthread_condattr_destroy(&attributes);
}

static void run_here(struct job *job)
{
	enter_python();
	job->run(job);
	leave_python();
}

/* Have run(job) called with Python's lock, here or in a runner, and return when it has returned. */
static void perform(struct job *job, void (*run)(struct job *))
{
	(void) pthread_mutex_lock(&turns);
	if (turn == 0 && first_job == NULL) {
		take_turn();
		(void) pthread_mutex_unlock(&turns);
		job->run = run;
		run_here(job);
		(void) pthread_mutex_lock(&turns);
		if (has_turn())
			(void) free_turn();
		(void) pthread_mutex_unlock(&turns);
		return;
	}
	begin_job(job, run);
	append_job(job);
	int seen_to = await_job(job);
	(void) pthread_mutex_unlock(&turns);
	(void) pthread_cond_destroy(&job->changed);
	if (!seen_to)
		run_here(job);
}

/* With the turn, with Python's lock, and with `turns` locked: do what is queued. */
static void work_off_jobs(void)
{
	while (has_turn() && first_job != NULL) {
		struct job *job = next_job();

		if (job->run == NULL)
			turn = job->granted = ++turns_given;
		else {
			(void) pthread_mutex_unlock(&turns);
			job->run(job);
			(void) pthread_mutex_lock(&turns);
		}
		job->state = DONE;
		(void) pthread_cond_signal(&job->changed);
	}
}

static void *runner(void *unused)
{
	(void) unused;
	(void) pthread_mutex_lock(&turns);
	for (;;) {
		while (turn != 0 || first_job == NULL) {
			idle_runners++;
			(void) pthread_cond_wait(&runner_wanted, &turns);
			idle_runners--;
		}
		take_turn();
		(void) pthread_mutex_unlock(&turns);
		enter_python();
		(void) pthread_mutex_lock(&turns);
		work_off_jobs();
		if (has_turn())
			turn = 0;
		(void) pthread_mutex_unlock(&turns);
		leave_python();
		(void) pthread_mutex_lock(&turns);
	}
	return NULL;
}

/* With Python's lock: let others have the turn while this thread waits. Whether it had it, hence shall step back. */
static int step_aside(void)
{
	int had;

	(void) pthread_mutex_lock(&turns);
	had = has_turn();
	if (had)
		(void) free_turn();
	(void) pthread_mutex_unlock(&turns);
	return had;
}

/* With Python's lock: wait for the turn, before those who have not begun. */
static void step_back(void)
{
	struct job job;

	(void) pthread_mutex_lock(&turns);
	if (turn == 0 && first_job == NULL) {
		take_turn();
		(void) pthread_mutex_unlock(&turns);
		return;
	}
	begin_job(&job, NULL);
	prepend_job(&job);
	(void) pthread_mutex_unlock(&turns);
	leave_python();
	(void) pthread_mutex_lock(&turns);
	if (await_job(&job))
		my_turn = job.granted;
	(void) pthread_mutex_unlock(&turns);
	(void) pthread_cond_destroy(&job.changed);
	enter_python();
}
