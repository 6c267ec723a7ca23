/* The watchdog's thread and what it says, without MPI: the file under test is taken in whole. */
#include "../../src/parallel/watchdog.c"

#include "check.h"
#include "scratch.h"

#include <sys/wait.h>

static char folder[PATH_SIZE], said[PATH_SIZE];

static int start(void **state)
{
    (void)state;
    scratch_make(folder);
    must(path_join(said, folder, "said"));
    return 0;
}

static int end(void **state)
{
    (void)state;
    scratch_remove(folder);
    return 0;
}

/* In a child: standard error goes to the file `said`. */
static void be(int rank, int size, double seconds)
{
    char host[NAME_SIZE];
    if (!freopen(said, "a", stderr)) _exit(77);
    dog.rank = rank;
    dog.size = size;
    dog.seconds = seconds;
    dog.tick = seconds / 4;
    dog.hosts = calloc((size_t)size, NAME_SIZE);
    for (int i = 0; i < size; i++) {
        snprintf(host, sizeof host, "n%d", i / 4);
        strcpy(dog.hosts[i], host);
    }
    must(path_join(dog.folder, folder, "stalled"));
    atomic_store(&dog.step, -1);
    prepare_wake();
}

static void expect_said(const char *text)
{
    char *there;
    must(path_read_text(said, 1 << 20, &there));
    assert_string_equal(there, text);
    free(there);
}

static int status_of(pid_t child)
{
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* Equal places are one line, whatever the number of ranks. */
static void many_ranks(void **state)
{
    (void)state;
    enum { RANKS = 1024 };
    pid_t child = fork();
    if (child == 0) {
        be(0, RANKS, 1);
        for (int rank = 0; rank < RANKS; rank++) {
            dog.rank = rank;
            if (rank != 5 && (rank < 700 || rank > 703))
                leave_word(rank == 9 || rank == 11 ? "reading images of step 3" : "backward pass of step 3");
        }
        tell_all();
        _exit(0);
    }
    assert_int_equal(status_of(child), 0);
    expect_said("iddpm: no progress: ranks 0-4, 6-8, 10, 12-699, 704-1023: backward pass of step 3\n"
                "iddpm: ranks 5, 700-703 on n1, ... do not answer: stopped, or the node is lost\n"
                "iddpm: no progress: ranks 9, 11: reading images of step 3\n");
}

static void one_missing(void **state)
{
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        be(0, 2, 1);
        leave_word("start");
        tell_all();
        _exit(0);
    }
    assert_int_equal(status_of(child), 0);
    expect_said("iddpm: no progress: rank 0: start\n"
                "iddpm: rank 1 on n0 does not answer: stopped, or the node is lost\n");
}

/* It lets those live who report, however long they run; who falls silent ends, with the last place. */
static void silence_ends(void **state)
{
    (void)state;
    double before = clock_seconds();
    pid_t child = fork();
    if (child == 0) {
        be(0, 1, 2);
        if (create_thread(&dog.thread, watch, "watchdog") != 0) _exit(77);
        for (int i = 0; i < 40; i++) {
            watchdog_at("forward pass", 7);
            clock_sleep(0.1);
        }
        watchdog_at("backward pass", -1);
        clock_sleep(60);
        _exit(77);
    }
    assert_int_equal(status_of(child), IDDPM_FAILED);
    double took = clock_seconds() - before;
    assert_true(took > 5.5 && took < 30);
    expect_said("iddpm: rank 0 on n0: no progress for 2 s: backward pass of step 7\n");
}

static _Atomic int beats;

static void count_beat(void *context)
{
    assert_ptr_equal(context, said);
    beats++;
}

/* 0: never; the sign of life is given all the same, and the thread ends when told. */
static void never(void **state)
{
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        be(0, 1, 0);
        dog.tick = 0.05;
        must(watchdog_serve("", count_beat, said));
        if (create_thread(&dog.thread, watch, "watchdog") != 0) _exit(77);
        dog.started = true;
        double until = clock_seconds() + 20;
        while (!beats && clock_seconds() < until) clock_sleep(0.01);
        clock_sleep(0.5);
        watchdog_stop();
        int then = beats;
        watchdog_at("nobody listens", 1);
        _exit(then > 0 && !dog.hosts ? 0 : 77);
    }
    assert_int_equal(status_of(child), 0);
    expect_said("");
}

static void hang(void *context)
{
    (void)context;
    while (true) clock_sleep(60);
}

/* A sign of life on a disk that is gone takes the thread with it that gives it, and not the watchdog: of one rank as
 * well, and when the main thread has come to wait for that thread. */
static void beat_hangs(void **state)
{
    (void)state;
    for (int at_the_end = 0; at_the_end < 2; at_the_end++) {
        double before = clock_seconds();
        pid_t child = fork();
        if (child == 0) {
            be(0, 1, 1);
            must(watchdog_serve("", hang, NULL));
            if (create_thread(&dog.thread, watch, "watchdog") != 0) _exit(77);
            dog.started = true;
            watchdog_at("forward pass", 7);
            if (at_the_end) watchdog_stop();
            clock_sleep(40);
            _exit(77);
        }
        assert_int_equal(status_of(child), IDDPM_FAILED);
        assert_true(clock_seconds() - before < 30);
    }
    expect_said("iddpm: rank 0 on n0: no progress for 1 s: forward pass of step 7\n"
                "iddpm: rank 0 on n0: no progress for 1 s: waiting for the last sign of life of step 7\n");
}

/* Many ranks say nothing by themselves, unless nobody can tell of them. */
static void few_lines(void **state)
{
    (void)state;
    enum { RANKS = LINES_MAX + 1 };
    pid_t children[2];
    for (int rank = 0; rank < 2; rank++)
        if ((children[rank] = fork()) == 0) {
            be(rank, RANKS, 1);
            watchdog_at("forward pass", 3);
            end_process();
        }
    for (int rank = 0; rank < 2; rank++) assert_int_equal(status_of(children[rank]), IDDPM_FAILED);
    expect_said("iddpm: no progress: ranks 0-1: forward pass of step 3\n"
                "iddpm: ranks 2-16 on n0, ... do not answer: stopped, or the node is lost\n");
    unlink(said);
    pid_t child = fork();
    if (child == 0) {
        be(4, RANKS, 1);
        must(path_join(dog.folder, said, "no folder"));
        watchdog_at("forward pass", 3);
        end_process();
    }
    assert_int_equal(status_of(child), IDDPM_FAILED);
    expect_said("iddpm: rank 4 on n1: no progress for 1 s: forward pass of step 3\n");
}

/* Two jobs in one run do not meet. What one has left goes once it is old, and nothing else does. */
static void old_words_go(void **state)
{
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        char old[PATH_SIZE], young[PATH_SIZE], other[PATH_SIZE];
        const struct timespec long_ago[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
        be(0, 2, 1);
        dog.token = 1;
        must(watchdog_serve(folder, NULL, NULL));
        strcpy(old, dog.folder);
        bool there = leave_word("start") && utimensat(AT_FDCWD, old, long_ago, 0) == 0;
        dog.token = 2;
        must(watchdog_serve(folder, NULL, NULL));
        strcpy(young, dog.folder);
        there = there && !path_exists(old) && strcmp(old, young) != 0 && leave_word("start");
        must(path_join(other, folder, "stalled-engines"));
        must(path_make_folders(other));
        there = there && utimensat(AT_FDCWD, other, long_ago, 0) == 0;
        dog.token = 3;
        must(watchdog_serve(folder, NULL, NULL));
        _exit(there && path_is_folder(young) && path_is_folder(other) ? 0 : 77);
    }
    assert_int_equal(status_of(child), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, start, end)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(many_ranks), TEST(one_missing), TEST(silence_ends), TEST(never),
                                       TEST(beat_hangs), TEST(few_lines),   TEST(old_words_go)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
