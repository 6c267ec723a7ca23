/* Private to src/net: a training step played at planning time under a budget of memory (play.c, recompute.c). Times are
 * positions in the plain schedule: all forwards, all backwards. */
#ifndef IDDPM_NET_PLAY_H
#define IDDPM_NET_PLAY_H

#include "graph.h"

/* A value. What is found by a walk over others is kept for the round, in which nothing changes. */
struct item {
    size_t floats;
    double cost;             /* of making it when its inputs are there, in multiply-adds of the batch */
    int *reads, n_reads;     /* when it is read */
    int next_read;           /* of these */
    int *readers, n_readers; /* ops whose forward pass reads it */
    bool here, made;         /* in memory now; at least once before */
    int holders;             /* what needs it at the moment */
    int wanted;              /* when it is read next, by itself or to make what is not there */
    double price;            /* of making it and what is missing for that */
    unsigned wanted_round, price_round;
};

struct play {
    struct net *net;
    struct item *items;  /* [n_values] */
    int *numbers;        /* of the items */
    struct entry *plain; /* [n_plain], the first n_forward the forward pass */
    size_t n_plain, n_forward;
    size_t *between, *during; /* [n_plain] floats of gradients that are live just before each entry, and during it */
    uint64_t allowed;         /* multiply-adds of an image that may be made again */
    /* of the play that is on */
    int now;
    size_t budget, used, gradients; /* floats: in all; of the values that are here; of the gradients that are live */
    unsigned round;
};

/* Makes net->schedule and net->recomputed for a budget of floats. False when the budget is too small, or asks for more
 * to be made again than is allowed, or there is no memory for the schedule (net->status). */
bool play_schedule(struct play *play, size_t budget);

#endif
