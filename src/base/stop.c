#include "iddpm/base.h"

#include <signal.h>
#include <string.h>

static volatile sig_atomic_t received;

static void on_signal(int number)
{
    if (received && number != SIGUSR1) { /* asked twice: no more waiting */
        signal(number, SIG_DFL);
        raise(number);
    }
    received = number;
}

void stop_install(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART; /* file and MPI calls go on; loops ask stop_signal */
    sigaction(SIGUSR1, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
}

int stop_signal(void)
{
    return received;
}
