/* What a training step costs on machines that are not here: costs measured on one, messages counted from the code that
 * sends them, and a network of which only latency and bandwidth are known.
 *
 * A step of B images on n ranks (a power of two) of t threads, each with B / n images in c leaves:
 *
 *   compute    B / n times the time of an image (noise, loss, forward, backward), measured on one core while the others
 *              were as busy; t threads take (s + (1 - s) / t) of it, s their measured serial share. The sums of its c
 *              leaves: c - 1 times the gradient is added to another and cleared.
 *   reduction  level k = 0, 1, ... of halving joins ranks r and r xor 2^k and moves P / 2^(k + 1) of the P padded
 *              parameters, in buckets (reduce.c); gathering the parameters goes the same way back, with as many bytes;
 *              so does gathering the norms of all blocks, 8 bytes each. Ranks are placed in order, so the lowest levels
 *              stay inside a node.
 *                inside a node   messages x local latency + bytes x 2 / copy rate (into shared memory and out of it)
 *                between nodes   messages x latency + ranks of a node x bytes / bandwidth (all of them share its link)
 *              and halving adds what arrives: bytes x 1.5 / copy rate (two arrays read, one written). No time is given
 *              back for what travels while the last leaf is computed, and the network is taken to be free of
 * congestion. update     P / n times the time of AdamW and the EMAs per parameter, t times faster by t threads packing
 * P times the time of packing weights for the kernels: every rank packs all agreement  one small MPI_Allreduce for each
 * microbatch, and an MPI_Allgather of 40 bytes an image: log2 n messages each
 *
 * A checkpoint writes parameters, two moments and the EMAs once, each rank its part, and reads them back:
 *   arrays x time of one + bytes / n x time of checksums and copies (both measured in memory) + 2 x bytes / disk
 *   bandwidth (of all ranks together, at most what the links of the nodes carry)
 *
 * Not in it: reading images (prefetched or in memory), stragglers, other jobs. */
#ifndef IDDPM_BENCH_SCALING_H
#define IDDPM_BENCH_SCALING_H

#include "iddpm/train.h"

#define SCALING_IMAGE_BYTES 40 /* that all ranks are told of each image of a batch */
#define SCALING_LEAF_BYTES 8   /* and of the gradient of each leaf */

/* ---- messages (traffic.c) ---------------------------------------------------------------------------------------- */

struct traffic {
    uint64_t messages, bytes; /* that one rank sends */
};
/* At one level of a step with a flat size of P = n floats: adding up the gradient, gathering the parameters, gathering
 * the blocks' norms. */
struct traffic traffic_halving(int rank, int level, size_t flat);
struct traffic traffic_doubling(int rank, int level, size_t flat);
struct traffic traffic_norms(int rank, int level, size_t flat);
/* All point-to-point messages of a step of the reproducible reduction. */
struct traffic traffic_step(int rank, int size, size_t flat);
int traffic_levels(int size); /* log2 */

/* ---- measured costs (costs.c) ------------------------------------------------------------------------------------ */

/* Of a machine, per core, while `processes` cores did the same. */
struct machine_costs {
    char isa[16];
    int processes;
    double copy;  /* bytes per second of a large memcpy */
    double store; /* seconds per byte of a checkpoint that a rank writes, checks and reads back, in memory */
    double array; /* seconds per array of a checkpoint */
    double disk;  /* bytes per second that the disk adds to that, written and read, all processes together */
};
/* Of a network on one core. */
struct network_costs {
    char model[32];
    int microbatch, threads; /* threads: with which `serial` was measured; 1: it was not */
    double image;            /* seconds */
    double serial;           /* share of it that threads do not speed up */
    double update, pack;     /* seconds per padded parameter */
};
/* Collective: every rank measures by itself, at the same time as the others; the slowest counts. `folder`: on the disk
 * for checkpoints. */
enum iddpm_status costs_measure_machine(const struct parallel *parallel, const char *folder, struct machine_costs *out);
enum iddpm_status costs_measure_network(const struct parallel *parallel, const char *folder, const char *model,
                                        int microbatch, int threads, struct network_costs *out);
void costs_print_machine(const struct machine_costs *costs); /* a JSON line */
void costs_print_network(const struct network_costs *costs);
/* From lines as printed. Of a network: the last of that name. */
enum iddpm_status costs_read_machine(const char *path, struct machine_costs *out);
enum iddpm_status costs_read_network(const char *path, const char *model, struct network_costs *out);

/* ---- prediction (predict.c) -------------------------------------------------------------------------------------- */

struct cluster {
    int cores;            /* of a node */
    double latency;       /* seconds of a message between nodes, */
    double local_latency; /* and inside one */
    double bandwidth;     /* bytes per second of a node's link, each way */
    double disk;          /* bytes per second of the file system, for this job */
};
struct layout {
    int ranks, ranks_per_node, threads, leaves;
    int64_t batch;
};
struct prediction {
    double compute, reduction, update, packing, agreement; /* seconds of a step */
    double step;                                           /* their sum */
    double efficiency;       /* images per second, over those that the same cores would do as runs of one rank each */
    double memory;           /* bytes per rank */
    double checkpoint;       /* seconds */
    double checkpoint_share; /* of run time at the configuration's save_interval */
    struct traffic sent;     /* per rank and step */
};
/* `config`: of the model; microbatch that of the costs. Says in words what such a job would be refused for. */
enum iddpm_status predict(const struct machine_costs *machine, const struct network_costs *network,
                          const struct cluster *cluster, struct config *config, const struct layout *layout,
                          struct prediction *out);

#endif
