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

bool ending_is_near(struct ending *ending, double now)
{
    if (ending->end <= 0) return false;
    bool inside = ending->step_began > 0;
    if (inside)
        raise_to(&ending->longest_piece, now - ending->checked);
    else
        ending->step_began = now;
    ending->checked = now;
    ending->work = inside ? ending->longest_piece : ending->longest_step;
    return ending->end - now < needed(ending);
}

void ending_step_done(struct ending *ending, double now)
{
    if (ending->step_began > 0) raise_to(&ending->longest_step, now - ending->step_began);
    ending->step_began = 0;
}

void ending_saved(struct ending *ending, double seconds)
{
    raise_to(&ending->longest_save, seconds);
}

double ending_guess(double bytes)
{
    return bytes / GUESSED_SPEED;
}

void ending_too_short(const struct ending *ending, char *out, size_t size)
{
    double left = ending->end - ending->step_began, need = ending->checked - ending->step_began + needed(ending);
    snprintf(out, size, "the limit leaves %.0f s, a step and a checkpoint need %.0f s or more: ask for a longer limit",
             left > 0 ? floor(left) : 0, ceil(need));
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
