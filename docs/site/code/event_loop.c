/* event_loop - one thread answers requests and never waits for Clerk; another one does.
 *
 *     export CLERK_SECRET_KEY=sk_test_...
 *     event_loop < requests
 *
 * Each line of standard input is the Authorization header of a request. Prints one line for each: its number, how it was
 * authenticated ("inline" or "waited") and the result.
 */
#include <clerk_auth.h>

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct job {
    struct job *next;
    int number;
    uint64_t mark;
    char authorization[20000]; /* longer than any valid token */
    clerk_result *result;
} job;

/* Jobs for the worker. A server has several workers, and a limit on the number of jobs. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static job *first, **last = &first;
static int is_ending;
/* The worker writes the pointers of finished jobs to this pipe; the loop polls the other end. */
static int finished[2];

static void respond(const job *done, const char *how)
{
    const clerk_result *result = done->result;

    if (clerk_result_status(result) == CLERK_OK)
        printf("%d %s 200 %s\n", done->number, how, clerk_result_user_id(result).data);
    else
        printf("%d %s %d %s\n", done->number, how, (int)clerk_result_http_status(result),
               clerk_result_public_reason(result));
}

static void free_job(job *done)
{
    clerk_result_free(done->result);
    free(done);
}

/* [worker] */
static void *work(void *client)
{
    for (;;) {
        pthread_mutex_lock(&lock);
        while (first == NULL && !is_ending)
            pthread_cond_wait(&changed, &lock);
        job *next = first;
        if (next != NULL && (first = next->next) == NULL)
            last = &first;
        pthread_mutex_unlock(&lock);
        if (next == NULL)
            return NULL;

        clerk_request request = CLERK_REQUEST_INIT;
        request.authorization = clerk_str_of(next->authorization);
        request.mark = next->mark; /* shares the fetch of a user with requests that arrived meanwhile */
        if (clerk_authenticate(client, &request, &next->result, NULL) < 0)
            next->result = NULL; /* clerk_result_http_status of NULL is 500 */
        if (write(finished[1], &next, sizeof next) != sizeof next)
            abort();
    }
}
/* [end] */

/* [loop] */
/* Authenticates without waiting, or passes the request to the worker. Returns 1 if the worker has it. */
static int on_request(const clerk_client *client, job *new_job)
{
    clerk_request request = CLERK_REQUEST_INIT;

    request.authorization = clerk_str_of(new_job->authorization);
    int32_t status = clerk_authenticate_cached(client, &request, &new_job->result);
    if (status != CLERK_WOULD_BLOCK) {
        respond(new_job, "inline");
        free_job(new_job);
        return 0;
    }
    new_job->mark = clerk_client_mark(client);
    pthread_mutex_lock(&lock);
    *last = new_job;
    last = &new_job->next;
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&lock);
    return 1;
}
/* [end] */

static job *read_job(void)
{
    static int count;
    job *new_job = calloc(1, sizeof *new_job);

    if (new_job == NULL || fgets(new_job->authorization, sizeof new_job->authorization, stdin) == NULL) {
        free(new_job);
        return NULL;
    }
    new_job->authorization[strcspn(new_job->authorization, "\n")] = '\0';
    new_job->number = ++count;
    return new_job;
}

static void run(const clerk_client *client)
{
    struct pollfd events[2] = { { STDIN_FILENO, POLLIN, 0 }, { finished[0], POLLIN, 0 } };
    int pending = 0;

    setvbuf(stdin, NULL, _IONBF, 0); /* poll does not see what stdio has buffered */
    setvbuf(stdout, NULL, _IOLBF, 0);
    while (events[0].fd >= 0 || pending > 0) {
        job *next;
        if (poll(events, 2, -1) < 0)
            return;
        if (events[1].revents != 0 && read(finished[0], &next, sizeof next) == sizeof next) {
            respond(next, "waited");
            free_job(next);
            pending--;
        }
        if (events[0].revents != 0) {
            if ((next = read_job()) == NULL)
                events[0].fd = -1;
            else
                pending += on_request(client, next);
        }
    }
}

int main(void)
{
    clerk_config *config = clerk_config_new();
    clerk_client *client = NULL;
    clerk_error *error = NULL;
    pthread_t worker;
    int32_t status = clerk_config_from_env(config, &error);

    if (status == CLERK_OK)
        status = clerk_client_new(config, &client, &error);
    clerk_config_free(config);
    if (status != CLERK_OK || pipe(finished) != 0 || pthread_create(&worker, NULL, work, client) != 0) {
        fprintf(stderr, "event_loop: %s\n", error != NULL ? clerk_error_message(error).data : "cannot start");
        clerk_error_free(error);
        clerk_client_free(client);
        return 2;
    }
    run(client);
    pthread_mutex_lock(&lock);
    is_ending = 1;
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&lock);
    if (clerk_client_shutdown(client) != CLERK_OK) /* it fails for NULL only */
        return 2;
    pthread_join(worker, NULL);
    clerk_client_free(client);
    return 0;
}
