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
        if (create_thread() != 0) _exit(77);
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
        watchdog_serve("", count_beat, said);
        if (create_thread() != 0) _exit(77);
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

static void old_words_go(void **state)
{
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        be(0, 2, 1);
        leave_word("start");
        char path[PATH_SIZE];
        strcpy(path, dog.folder);
        bool there = path_is_folder(path);
        watchdog_serve(path, NULL, NULL);
        _exit(there && !path_exists(path) ? 0 : 77);
    }
    assert_int_equal(status_of(child), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, start, end)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(many_ranks), TEST(one_missing), TEST(silence_ends), TEST(never),
                                       TEST(old_words_go)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
