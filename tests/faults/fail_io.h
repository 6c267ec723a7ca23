/* A library to preload (LD_PRELOAD) that makes one file operation fail: the k-th write, pwrite, writev, pwritev,
 * ftruncate, fallocate, fsync, fdatasync, rename or close on files under a folder, or the k-th read or pread.
 *
 * A test program arms it by the functions below, found by dlsym. Any other program is told by the environment:
 *   FAIL_IO_FOLDER=/path  FAIL_IO_CALL=17  [FAIL_IO_RANK=1]  [FAIL_IO_KIND=once|forever|short|read|hang]
 *   [FAIL_IO_ERRNO=28]  [FAIL_IO_COUNT=/path/of/a/file that gets the number of calls seen, at exit] */
#ifndef TESTS_FAIL_IO_H
#define TESTS_FAIL_IO_H

enum fail_io_kind {
    FAIL_IO_ONCE,    /* the k-th call fails */
    FAIL_IO_FOREVER, /* and all after it */
    FAIL_IO_SHORT,   /* the k-th call writes only half of its bytes; not an error by POSIX */
    FAIL_IO_READ,    /* the k-th read fails, once */
    FAIL_IO_HANG     /* the k-th read never returns */
};

/* Counts calls from now on; call number `call` (from 1) fails with `error`, an errno. */
typedef void fail_io_arm_fn(const char *folder, enum fail_io_kind kind, long call, int error);
/* No more; returns the calls counted since. */
typedef long fail_io_disarm_fn(void);

#endif
