/* Private to src/study: STUDY/lock, held by the one who changes a study. The kernel frees it with its holder. */
#ifndef IDDPM_STUDY_LOCK_H
#define IDDPM_STUDY_LOCK_H

#include "iddpm/study.h"

struct holder {
    int64_t pid;
    char host[256], since[32], what[16]; /* what it does: "submit", "local" */
};

/* Waits for up to 10 s, then IDDPM_FAILED naming the holder. */
enum iddpm_status lock_take(const char *folder, const char *what, int *fd);
void lock_release(int fd);
/* False when nobody holds it. */
bool lock_held(const char *folder, struct holder *holder);

#define TIME_TEXT 32
void time_text(char out[TIME_TEXT]); /* "2026-11-24T18:00:00+0000" */

#endif
