/* The SQLite store in processes that fork, beside the application's own SQLite, and on full and read-only devices. Each case counts
 * the rows at the end: what was acknowledged is there. */
#include "check.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Of run.sh: whether the library under test uses the SQLite library of the system, as this program does. */
#ifndef SHARED_SQLITE
#define SHARED_SQLITE 0
#endif

enum { USERS = 64 };

typedef struct {
    char folder[40], path[64];
    const char *tokens[USERS];
} fixture;

static void start(fixture *at) {
    sim_reset();
    strcpy(at->folder, "/tmp/clerk-sqlite-XXXXXX");
    CHECK(mkdtemp(at->folder) != NULL);
    snprintf(at->path, sizeof at->path, "%s/users.db", at->folder);
    for (int i = 0; i < USERS; i++) {
        char path[32];
        snprintf(path, sizeof path, "/users/user_%d", i);
        sim_put(path, "{\"first_name\":\"F\"}");
        at->tokens[i] = sim_token("{\"user\":\"user_%d\"}", i);
    }
}

static void end(fixture *at) {
    char command[64];
    snprintf(command, sizeof command, "rm -r %s", at->folder);
    CHECK_INT(system(command), 0);
}

static clerk_client *client_at(const char *path) {
    clerk_config *config = sim_config();
    clerk_error *error = NULL;
    if (clerk_config_set_sqlite_path(config, clerk_str_of(path), &error) != CLERK_OK) {
        check_failed(__FILE__, __LINE__, __func__, clerk_error_message(error).data);
    }
    return client_of(config);
}

/* Another process opens the database, counts the rows of Clerk users, and closes it. */
static int rows(const fixture *at) {
    char command[256], line[64] = "";
    const char *sql = "SELECT count(*) FROM clerk_user WHERE clerk_user_id IS NOT NULL";
    snprintf(command, sizeof command, "sqlite3 -cmd '.timeout 5000' %s '%s'", at->path, sql);
    FILE *from = popen(command, "r");
    CHECK(from != NULL && fgets(line, sizeof line, from) != NULL);
    CHECK_INT(pclose(from), 0);
    return atoi(line);
}

static void check_integrity(const fixture *at) {
    char command[128];
    snprintf(command, sizeof command, "test \"$(sqlite3 %s 'PRAGMA integrity_check')\" = ok", at->path);
    CHECK_INT(system(command), 0);
}

/* The message of an attempt that is unavailable because of the store; NULL if it was signed in. */
static const char *failure_of(const clerk_client *client, const char *token) {
    static _Thread_local char message[1024];
    char line[4096];
    snprintf(line, sizeof line, "Bearer %s", token);
    clerk_request request = bearer(line);
    clerk_result *result = NULL;
    clerk_error *error = NULL;
    int32_t status = clerk_authenticate(client, &request, &result, &error);
    if (status == CLERK_OK) {
        clerk_result_free(result);
        return NULL;
    }
    CHECK_STATUS(status, CLERK_UNAVAILABLE);
    CHECK_CSTR(clerk_result_reason_name(result), "store-error");
    snprintf(message, sizeof message, "%s", clerk_error_message(error).data);
    clerk_result_free(result);
    clerk_error_free(error);
    return message;
}

static void sign_in_users(const clerk_client *client, const fixture *at, int from, int to) {
    for (int i = from; i < to; i++) CHECK_CSTR(outcome_of(client, at->tokens[i]), "signed_in verified");
}

static void wait_for(pid_t pid) {
    int status = -1;
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK_INT(status, 0);
}

static void send_pid(int to) {
    pid_t own = getpid();
    CHECK(write(to, &own, sizeof own) == sizeof own);
}

static pid_t receive_pid(int from) {
    pid_t pid = 0;
    CHECK(read(from, &pid, sizeof pid) == sizeof pid);
    return pid;
}

static void kill_hard(pid_t pid) {
    CHECK(kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid);
}

/* --- fork --------------------------------------------------------------------------------------------------------- */

/* `daemon(3)`, systemd's Type=forking: the client is made, and perhaps used, in a process that ends. */
static void daemon_keeps_its_rows(bool is_used_before) {
    fixture at;
    start(&at);
    int first = is_used_before ? 3 : 0, pipes[2];
    CHECK(pipe(pipes) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        clerk_client *client = client_at(at.path);
        sign_in_users(client, &at, 0, first);
        CHECK(daemon(1, 1) == 0);
        CHECK_OK(clerk_client_warm_up(client, NULL));
        for (int i = first; i < first + 8; i += 2) {
            sign_in_users(client, &at, i, i + 2);
            CHECK_INT(rows(&at), i + 2);
        }
        send_pid(pipes[1]);
        pause();
    }
    wait_for(pid);
    pid_t child = receive_pid(pipes[0]);
    CHECK_INT(rows(&at), first + 8);
    kill_hard(child);
    CHECK_INT(rows(&at), first + 8);
    check_integrity(&at);
    close(pipes[0]), close(pipes[1]);
    end(&at);
}

enum { WORKERS = 3, EACH = 8 };

/* The master of prefork workers signs users in, forks while it does, and is killed; the workers go on and are killed. */
static void workers_outlive_their_master(void) {
    fixture at;
    start(&at);
    int pipes[2];
    CHECK(pipe(pipes) == 0);
    pid_t master = fork();
    if (master == 0) {
        pid_t own = getpid();
        clerk_client *client = client_at(at.path);
        for (int worker = 0; worker < WORKERS; worker++) {
            sign_in_users(client, &at, worker, worker + 1);
            if (fork() > 0) continue;
            while (getppid() == own) usleep(1000);
            CHECK_OK(clerk_client_warm_up(client, NULL));
            for (int i = 0; i < EACH; i++) {
                int user = WORKERS + worker * EACH + i;
                sign_in_users(client, &at, user, user + 1);
                rows(&at);
            }
            send_pid(pipes[1]);
            pause();
        }
        kill(own, SIGKILL);
    }
    CHECK(waitpid(master, NULL, 0) == master);
    for (int worker = 0; worker < WORKERS; worker++) kill_hard(receive_pid(pipes[0]));
    CHECK_INT(rows(&at), WORKERS + WORKERS * EACH);
    check_integrity(&at);
    close(pipes[0]), close(pipes[1]);
    end(&at);
}

typedef struct {
    const fixture *at;
    clerk_client *client;
    int next;
} writer;

static void *keep_signing_in(void *given) {
    writer *own = given;
    for (; own->next < USERS; own->next++) CHECK(failure_of(own->client, own->at->tokens[own->next]) == NULL);
    return NULL;
}

/* A process is forked while another of its threads writes: the child works, or is refused and says why. */
static void fork_beside_a_writing_thread(void) {
    fixture at;
    start(&at);
    clerk_client *client = client_at(at.path);
    writer own = {&at, client, 24};
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, keep_signing_in, &own) == 0);
    int pipes[2], expected = USERS - 24, works = 0;
    CHECK(pipe(pipes) == 0);
    for (int child = 0; child < 24; child++) {
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            alarm(20);
            CHECK_OK(clerk_client_warm_up(client, NULL));
            const char *message = failure_of(client, at.tokens[child]);
            CHECK(message == NULL || strstr(message, "was forked") != NULL);
            CHECK(write(pipes[1], message == NULL ? "y" : "n", 1) == 1);
            pause();
        }
        char answer = 0;
        CHECK(read(pipes[0], &answer, 1) == 1);
        works += answer == 'y';
        CHECK(kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid);
    }
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(works > 0);
    CHECK_INT(rows(&at), expected + works);
    clerk_client_free(client);
    CHECK_INT(rows(&at), expected + works);
    check_integrity(&at);
    close(pipes[0]), close(pipes[1]);
    end(&at);
}

/* A thread waits for the lock of another process, so that its connection is in use whenever the process forks. */
static void child_of_a_process_in_a_transaction_is_refused(void) {
    fixture at;
    start(&at);
    clerk_client *client = client_at(at.path);
    sign_in_users(client, &at, 0, 1);
    char command[192];
    const char *sql = "BEGIN IMMEDIATE;\\nSELECT 1;\\n.shell sleep 1\\nCOMMIT;\\n";
    snprintf(command, sizeof command, "printf '%s' | sqlite3 %s", sql, at.path);
    FILE *lock = popen(command, "r");
    CHECK(lock != NULL && fgetc(lock) == '1');
    writer own = {&at, client, USERS - 1};
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, keep_signing_in, &own) == 0);
    usleep(200000);
    for (int i = 0; i < 2; i++) {
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid > 0) {
            wait_for(pid);
            continue;
        }
        alarm(10);
        CHECK_OK(clerk_client_warm_up(client, NULL));
        const char *message = failure_of(client, at.tokens[1]);
        CHECK(message != NULL && strstr(message, "was in use when this process was forked") != NULL);
        /* Neither another client nor a child of its own helps. */
        clerk_config *config = sim_config();
        clerk_error *error = NULL;
        CHECK_STATUS(clerk_config_set_sqlite_path(config, clerk_str_of(at.path), &error), CLERK_E_CONFIG);
        CHECK(strstr(clerk_error_message(error).data, "was forked") != NULL);
        clerk_error_free(error);
        clerk_config_free(config);
        pid_t grandchild = fork();
        if (grandchild > 0) wait_for(grandchild);
        else CHECK_OK(clerk_client_warm_up(client, NULL));
        CHECK(failure_of(client, at.tokens[2]) != NULL);
        clerk_client_free(client);
        _exit(0);
    }
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK_INT(pclose(lock), 0);
    CHECK_INT(rows(&at), 2);
    clerk_client_free(client);
    check_integrity(&at);
    end(&at);
}

/* --- the application's own SQLite --------------------------------------------------------------------------------- */

typedef struct {
    const fixture *at;
    atomic_bool stop;
} application;

/* Opens, writes and closes the database, as an application does that has its other tables in it. */
static void *use_database(void *given) {
    application *own = given;
    while (!atomic_load(&own->stop)) {
        sqlite3 *db = NULL;
        CHECK_INT(sqlite3_open(own->at->path, &db), SQLITE_OK);
        sqlite3_busy_timeout(db, 10000);
        const char *sql = "INSERT INTO own VALUES (hex(randomblob(500))); DELETE FROM own WHERE rowid % 3 = 0";
        CHECK_INT(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
        CHECK_INT(sqlite3_close(db), SQLITE_OK);
        usleep(500);
    }
    return NULL;
}

/* One copy of SQLite in the process: both may use one file. Two: the library refuses. */
static void application_uses_the_same_database(void) {
    fixture at;
    start(&at);
    sqlite3 *db = NULL;
    CHECK_INT(sqlite3_open(at.path, &db), SQLITE_OK);
    CHECK_INT(sqlite3_exec(db, "PRAGMA journal_mode = WAL; CREATE TABLE own (x)", NULL, NULL, NULL), SQLITE_OK);
    if (!SHARED_SQLITE) {
        clerk_config *config = sim_config();
        clerk_error *error = NULL;
        CHECK_STATUS(clerk_config_set_sqlite_path(config, clerk_str_of(at.path), &error), CLERK_E_CONFIG);
        CHECK(strstr(clerk_error_message(error).data, "another part of this process has the database open") != NULL);
        clerk_error_free(error);
        CHECK_INT(sqlite3_close(db), SQLITE_OK);
        CHECK_OK(clerk_config_set_sqlite_path(config, clerk_str_of(at.path), NULL));
        clerk_client *client = client_of(config);
        sign_in_users(client, &at, 0, 1);
        CHECK_INT(sqlite3_open(at.path, &db), SQLITE_OK);
        CHECK_INT(sqlite3_exec(db, "SELECT * FROM own", NULL, NULL, NULL), SQLITE_OK);
        usleep(1100000);
        const char *message = failure_of(client, at.tokens[1]);
        CHECK(message != NULL && strstr(message, "another part of this process has the database open") != NULL);
        sqlite3_close(db);
        clerk_client_free(client);
        end(&at);
        return;
    }
    clerk_client *client = client_at(at.path);
    application own = {&at, false};
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, use_database, &own) == 0);
    sign_in_users(client, &at, 0, USERS / 2);
    /* Idle or in use, the application's connection is open at the fork: the child inherits what SQLite knows of it. */
    pid_t pid = fork();
    if (pid == 0) {
        alarm(10);
        CHECK_OK(clerk_client_warm_up(client, NULL));
        const char *message = failure_of(client, at.tokens[USERS / 2]);
        CHECK(message != NULL && strstr(message, "the application had the database open") != NULL);
        _exit(0);
    }
    wait_for(pid);
    sign_in_users(client, &at, USERS / 2, USERS);
    atomic_store(&own.stop, true);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK_INT(sqlite3_close(db), SQLITE_OK);
    CHECK_INT(rows(&at), USERS);
    clerk_client_free(client);
    CHECK_INT(rows(&at), USERS);
    check_integrity(&at);
    end(&at);
}

/* --- full and read-only devices ----------------------------------------------------------------------------------- */

static void limit_file_size(rlim_t bytes) {
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

/* Signs in all users, some of whom are not written. */
static void fill(clerk_client *client, const fixture *at, const char *cause) {
    int written = 0, failures = 0;
    for (int user = 0; user < USERS; user++) {
        const char *message = failure_of(client, at->tokens[user]);
        if (message == NULL) {
            written++;
            continue;
        }
        failures++;
        if (strstr(message, at->path) == NULL || strstr(message, cause) == NULL) {
            check_failed(__FILE__, __LINE__, cause, message);
        }
    }
    CHECK(written > 0 && failures > 0);
    CHECK_INT(rows(at), written);
}

static void limit_on_file_size_is_an_error(void) {
    fixture at;
    start(&at);
    signal(SIGXFSZ, SIG_IGN);
    limit_file_size(0);
    clerk_config *config = sim_config();
    clerk_error *error = NULL;
    CHECK_STATUS(clerk_config_set_sqlite_path(config, clerk_str_of(at.path), &error), CLERK_E_CONFIG);
    CHECK(strstr(clerk_error_message(error).data, at.path) != NULL);
    clerk_error_free(error);
    clerk_config_free(config);
    CHECK(access(at.path, F_OK) != 0);
    limit_file_size(RLIM_INFINITY);
    clerk_client *client = client_at(at.path);
    limit_file_size(64 << 10);
    fill(client, &at, "limit on file sizes");
    limit_file_size(RLIM_INFINITY);
    for (int user = 0; user < USERS; user++) CHECK(failure_of(client, at.tokens[user]) == NULL);
    CHECK_INT(rows(&at), USERS);
    clerk_client_free(client);
    check_integrity(&at);
    signal(SIGXFSZ, SIG_DFL);
    end(&at);
}

/* A file system of its own, where this process may mount one. */
static void full_device_is_an_error(void) {
    fixture at;
    start(&at);
    if (mount("tmpfs", at.folder, "tmpfs", 0, "size=4m") != 0) {
        puts("no permission to mount: full_device_is_an_error is left out");
        end(&at);
        return;
    }
    clerk_client *client = client_at(at.path);
    char ballast[64], bytes[4096] = {0};
    snprintf(ballast, sizeof ballast, "%s/ballast", at.folder);
    sign_in_users(client, &at, 0, 1);
    int file = open(ballast, O_WRONLY | O_CREAT, 0600);
    while (write(file, bytes, sizeof bytes) == sizeof bytes) {}
    CHECK(ftruncate(file, lseek(file, 0, SEEK_CUR) - 5 * 4096) == 0);
    fill(client, &at, "no space is left");
    CHECK(ftruncate(file, 0) == 0 && close(file) == 0);
    for (int user = 0; user < USERS; user++) CHECK(failure_of(client, at.tokens[user]) == NULL);
    CHECK_INT(rows(&at), USERS);
    clerk_client_free(client);
    check_integrity(&at);
    CHECK(umount(at.folder) == 0);
    end(&at);
}

static void check_refused(const char *path, const char *cause) {
    clerk_config *config = sim_config();
    clerk_error *error = NULL;
    CHECK_STATUS(clerk_config_set_sqlite_path(config, clerk_str_of(path), &error), CLERK_E_CONFIG);
    const char *message = clerk_error_message(error).data;
    if (strstr(message, path) == NULL || strstr(message, cause) == NULL) check_failed(__FILE__, __LINE__, cause, message);
    clerk_error_free(error);
    clerk_config_free(config);
}

static void read_only_file_and_folder_are_errors(void) {
    fixture at;
    start(&at);
    clerk_client_free(client_at(at.path));
    CHECK(chmod(at.folder, 0777) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        /* To root, nothing is read-only. */
        if (geteuid() == 0) {
            CHECK(chown(at.path, 65534, 65534) == 0 && chown(at.folder, 65534, 65534) == 0);
            CHECK(setgid(65534) == 0 && setuid(65534) == 0);
        }
        char fresh[80];
        snprintf(fresh, sizeof fresh, "%s/fresh.db", at.folder);
        CHECK(chmod(at.path, 0400) == 0);
        check_refused(at.path, "read-only");
        CHECK(chmod(at.path, 0) == 0);
        check_refused(at.path, "cannot be opened");
        CHECK(chmod(at.path, 0600) == 0 && chmod(at.folder, 0500) == 0);
        check_refused(fresh, "cannot create the file");
        check_refused(at.path, "write to the file and to its folder");
        CHECK(chmod(at.folder, 0700) == 0);
        clerk_client *client = client_at(at.path);
        CHECK(chmod(at.folder, 0500) == 0);
        const char *message = failure_of(client, at.tokens[0]);
        CHECK(message != NULL && strstr(message, "write to the file and to its folder") != NULL);
        CHECK(chmod(at.folder, 0700) == 0);
        sign_in_users(client, &at, 0, 1);
        clerk_client_free(client);
        _exit(0);
    }
    wait_for(pid);
    CHECK_INT(rows(&at), 1);
    end(&at);
}

/* The setting `database` with the same file; a step by step call has no store requests then. */
static void url_of_the_file_is_the_same_store(void) {
    fixture at;
    start(&at);
    char url[128];
    snprintf(url, sizeof url, "sqlite:%s", at.path);
    clerk_config *config = sim_config();
    clerk_error *error = NULL;
    CHECK_STATUS(clerk_config_set_database(config, clerk_str_of(url), &error), CLERK_OK);
    CHECK(access(at.path, F_OK) != 0);
    clerk_client *client = client_of(config);
    sign_in_users(client, &at, 0, 1);
    CHECK_INT(rows(&at), 1);
    char line[2048];
    snprintf(line, sizeof line, "Bearer %s", at.tokens[1]);
    clerk_request request = bearer(line);
    clerk_result *result = NULL;
    clerk_pending *pending = NULL;
    CHECK_STATUS(clerk_authenticate_begin(client, &request, &result, &pending, &error), CLERK_PENDING);
    CHECK_INT(clerk_pending_next_action(pending), CLERK_STORE_REQUEST_KIND_FETCH_USER);
    CHECK_STATUS(clerk_pending_fetch(pending), CLERK_OK);
    CHECK_INT(clerk_pending_next_action(pending), CLERK_STORE_REQUEST_KIND_DONE);
    CHECK_STATUS(clerk_pending_finish(pending, &result, &error), CLERK_OK);
    CHECK_STR(clerk_result_user_key(result), "2");
    clerk_result_free(result);
    clerk_client_free(client);
    end(&at);
}

int main(void) {
    /* Processes whose parent has ended become children of this one. */
    CHECK(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
    daemon_keeps_its_rows(false);
    daemon_keeps_its_rows(true);
    workers_outlive_their_master();
    fork_beside_a_writing_thread();
    child_of_a_process_in_a_transaction_is_refused();
    application_uses_the_same_database();
    limit_on_file_size_is_an_error();
    full_device_is_an_error();
    read_only_file_and_folder_are_errors();
    url_of_the_file_is_the_same_store();
    return 0;
}
