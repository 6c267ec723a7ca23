#include "iddpm/base.h"

#include <signal.h>
#include <string.h>
#include <time.h>

/* Launcher, batch system and terminal often deliver one request each: within this many seconds they are one. */
#define SAME_REQUEST 1

static volatile sig_atomic_t received;
static volatile time_t asked; /* when SIGINT or SIGTERM came first, 0 before */

static void on_signal(int number)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    received = number;
    if (number == SIGUSR1) return; /* a batch system's warning; the SIGTERM after it is the first request */
    if (!asked) {
        asked = now.tv_sec + 1;                         /* never 0 */
    } else if (now.tv_sec + 1 - asked > SAME_REQUEST) { /* asked again: no more waiting */
        signal(number, SIG_DFL);
        raise(number);
    }
}

void stop_install(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART; /* file and MPI calls go on; loops ask stop_signal */
    static const int signals[] = {SIGUSR1, SIGTERM, SIGINT};
    for (int i = 0; i < 3; i++) sigaddset(&action.sa_mask, signals[i]);
    for (int i = 0; i < 3; i++) sigaction(signals[i], &action, NULL);
}

int stop_signal(void)
{
    return received;
}
