/* Work in a thread while a request is suspended. */

#include "ngx_http_clerk_auth.h"

/* A thread cannot be cancelled. The timer prevents a worker that is shutting down from exiting before the thread is done. */
#define NGX_HTTP_CLERK_AUTH_ALERT_MS 60000

static ngx_thread_task_t *
ngx_http_clerk_auth_work_task(ngx_http_clerk_auth_work_t *work)
{
    /* The task was allocated with the work as its context, directly after it. */
    return (ngx_thread_task_t *) ((u_char *) work - sizeof(ngx_thread_task_t));
}

/* Allocates work with `size` zeroed bytes of `data` from the request's pool. */
ngx_http_clerk_auth_work_t *
ngx_http_clerk_auth_work_create(ngx_http_request_t *r, size_t size)
{
    ngx_http_clerk_auth_work_t *work;
    ngx_thread_task_t *task;

    task = ngx_thread_task_alloc(r->pool, sizeof(ngx_http_clerk_auth_work_t));
    if (task == NULL) {
        return NULL;
    }
    work = task->ctx;
    work->request = r;
    work->data = ngx_pcalloc(r->pool, size);
    return work->data == NULL ? NULL : work;
}

static void
ngx_http_clerk_auth_work_run(void *data, ngx_log_t *log)
{
    ngx_http_clerk_auth_work_t *work = data;

    /* The pool runs its whole queue before the worker exits; a fast shutdown must not wait for that. */
    if (!ngx_terminate) {
        work->run(work, log);
    }
}

static void
ngx_http_clerk_auth_work_done(ngx_event_t *ev)
{
    ngx_http_clerk_auth_work_t *work = ev->data;
    ngx_http_request_t *r = work->request;
    ngx_connection_t *c = r->connection;

    ngx_http_set_log_request(c->log, r);

    if (ev->timedout) {
        ngx_log_error(NGX_LOG_ALERT, c->log, 0, "clerk_auth: a thread has been busy for too long");
        ev->timedout = 0;
        ngx_add_timer(ev, NGX_HTTP_CLERK_AUTH_ALERT_MS);
        return;
    }
    if (ev->timer_set) {
        ngx_del_timer(ev);
    }
    r->main->blocked--;
    r->aio = 0;
    r->read_event_handler = ngx_http_block_reading;
    work->done(work);

#if (nginx_version >= 1025004)
    if (r->done || r->main->terminated) {
        /* The connection's own handler finishes an aborted request. */
        c->write->handler(c->write);
        return;
    }
#endif
    if (c->error) {
        /* The client closed the connection: the request must not be forwarded. */
        ngx_http_finalize_request(r, NGX_ERROR);
    } else {
        r->write_event_handler(r);
    }
    ngx_http_run_posted_requests(c);
}

/* A request whose client has gone needs no thread. */
static void
ngx_http_clerk_auth_test_reading(ngx_http_request_t *r)
{
    ngx_http_clerk_auth_ctx_t *ctx = ngx_http_get_module_ctx(r, ngx_http_clerk_auth_module);
    ngx_connection_t *c = r->connection;

    /* The request stays until the thread is done. */
    ngx_http_test_reading(r);
    if (c->error && ctx != NULL && ctx->work != NULL) {
        ngx_memory_barrier();
        ctx->work->is_abandoned = 1;
    }
}

/* Suspends the request: the caller returns NGX_AGAIN from its phase, or NGX_DONE with the request's count incremented. */
ngx_int_t
ngx_http_clerk_auth_work_post(ngx_http_clerk_auth_work_t *work, ngx_thread_pool_t *pool)
{
    ngx_thread_task_t *task = ngx_http_clerk_auth_work_task(work);
    ngx_http_request_t *r = work->request;

    task->handler = ngx_http_clerk_auth_work_run;
    task->event.handler = ngx_http_clerk_auth_work_done;
    task->event.data = work;
    task->event.log = r->connection->log;

    if (ngx_thread_task_post(pool, task) != NGX_OK) {
        ngx_http_clerk_auth_counters.queue_full++;
        return NGX_ERROR;
    }
    ngx_http_clerk_auth_counters.offloaded++;
    ngx_add_timer(&task->event, NGX_HTTP_CLERK_AUTH_ALERT_MS);
    r->main->blocked++;
    r->aio = 1;
    r->read_event_handler = ngx_http_clerk_auth_test_reading;
    return NGX_OK;
}
