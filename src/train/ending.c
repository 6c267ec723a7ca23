#include "ending.h"

#include <math.h>
#include <time.h>

#define RESERVE 10        /* seconds that the end of a program and its job script take */
#define GUESSED_SPEED 1e8 /* bytes/s to a disk that has not been seen yet */

static void raise_to(double *longest, double seconds)
{
    if (seconds > *longest) *longest = seconds;
}

/* Seconds, from the last check on. */
static double needed(const struct ending *ending)
{
    double save = ending->longest_save > 0 ? ending->longest_save : ending->guessed_save;
    return 1.5 * ending->work + 2 * save + RESERVE;
}

/* Before the first piece of a hook is known, a step counts. */
static double longest_piece(const struct ending *ending, int kind)
{
    double piece = ending->seen[kind].longest_piece;
    return piece > 0 ? piece : ending->seen[ENDING_STEP].longest;
}

bool ending_is_near(struct ending *ending, int kind, double now)
{
    if (ending->end <= 0) return false;
    bool inside = ending->began > 0;
    if (inside)
        raise_to(&ending->seen[kind].longest_piece, now - ending->checked);
    else
        ending->began = now;
    ending->checked = now;
    double whole = ending->seen[kind].longest;
    ending->work = inside || whole == 0 ? longest_piece(ending, kind) : whole;
    return ending->end - now < needed(ending);
}

void ending_done(struct ending *ending, int kind, double now)
{
    if (ending->began > 0) raise_to(&ending->seen[kind].longest, now - ending->began);
    ending->began = 0;
}

void ending_given_up(struct ending *ending)
{
    ending->began = 0;
}

void ending_saved(struct ending *ending, double seconds)
{
    raise_to(&ending->longest_save, seconds);
}

double ending_guess(double bytes)
{
    return bytes / GUESSED_SPEED;
}

void ending_too_short(const struct ending *ending, const char *work, char *out, size_t size)
{
    double left = ending->end - ending->began, need = ending->checked - ending->began + needed(ending);
    snprintf(out, size, "the limit leaves %.0f s, a %s and a checkpoint need %.0f s or more: ask for a longer limit",
             left > 0 ? floor(left) : 0, work, ceil(need));
}

void ending_text(const struct ending *ending, char *out, size_t size)
{
    double left = ending->end - clock_seconds();
    time_t end = time(NULL) + (time_t)left;
    struct tm local;
    char clock[16];
    strftime(clock, sizeof clock, "%H:%M:%S", localtime_r(&end, &local));
    snprintf(out, size, "the job ends at %s (in %.0f s)", clock, left > 0 ? left : 0);
}
